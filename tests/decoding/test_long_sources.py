"""Sources that are longer than the model was trained on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.decoding.long_sources import join_parts
from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.runs.run import Run
from s2s_cli.text.splitting import split_source


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9))
def test_the_parts_are_the_whole_and_none_is_too_long(ids, size):
    tokens = ["\u2581a", "b", ".", "\u2581c", "d!", "\u2581"]
    found = split_source(ids, tokens, size)
    assert [i for part in found for i in part] == ids
    assert all(1 <= len(part) <= size for part in found) or not ids
    assert len(found) <= 1 + 2 * len(ids) // size


def test_a_part_ends_after_a_sentence_else_before_a_word():
    tokens = ["\u2581a", "b", "."]
    assert split_source([0, 1, 0, 1, 2, 0, 1, 1], tokens, 7)[0] == [0, 1, 0, 1, 2]
    assert split_source([0, 1, 0, 1, 0, 1, 1], tokens, 6)[0] == [0, 1, 0, 1]
    assert split_source([1] * 9, tokens, 4) == [[1] * 4, [1] * 4, [1]]


@pytest.mark.parametrize(
    ("tokens", "size", "first"),
    [
        # Behind the end of a sentence, without a space behind it.
        (["▁我", "们", "走", "。", "他", "来", "了", "。"], 6, 4),
        (["▁我", "们", "走", "!", "他", "来", "了", "。"], 6, 4),
        (["▁「", "走", "。", "」", "他", "来", "了"], 5, 4),
        # Else behind a clause, and not before a decimal point.
        (["▁我", "们", "走", "，", "他", "来", "了"], 6, 4),
        (["▁圆", "周", "率", "3", ".", "14", "以", "上"], 6, 6),
    ],
)
def test_scripts_without_spaces_are_cut_after_a_sentence_or_a_clause(tokens, size, first):
    parts = split_source(range(len(tokens)), tokens, size)
    assert len(parts[0]) == first


def test_parts_in_scripts_without_spaces_are_joined_without_one():
    def joined(*texts: str) -> str:
        parts = [[hypothesis(-1, 1, text)] for text in texts]
        return join_parts(parts, 1.0, is_long=True)[0].text

    assert joined("我们走。", "他来了。") == "我们走。他来了。"
    assert joined("行きます。", "", "Python を使う。") == "行きます。Python を使う。"
    assert joined("Wir gehen.", "Er kommt.") == "Wir gehen. Er kommt."
    assert joined("เราไป", "เขามา") == "เราไป เขามา"  # Thai has spaces between clauses


def hypothesis(log_probability: float, length: int, text: str = "x") -> Translation:
    return Translation(
        text,
        log_probability / length,
        log_probability,
        length,
        ("s", "t"),
        ("u",) * length,
        (log_probability / length,) * length,
        ((1, 0),),
    )


def test_parts_are_joined_with_their_texts_tokens_scores_and_alignments():
    (joined,) = join_parts([[hypothesis(-2, 2, "a")], [hypothesis(-3, 1, "b")]], 1.0, is_long=True)
    assert joined == Translation(
        "a b",
        score=-5 / 3,
        log_probability=-5,
        length=3,
        source_tokens=("s", "t", "s", "t"),
        tokens=("u", "u", "u"),
        token_scores=(-1, -1, -3),
        alignment=((1, 0), (3, 2)),
        is_long=True,
    )


def test_the_joined_list_is_best_first_though_ranks_of_the_parts_may_join_to_another_order():
    # Mean a token: -1.0 and -1.1 in the first part, -2.0 and -2.1 in the second one. Joined,
    # the second ones are better, as the long first part weighs more in them.
    first = [hypothesis(-1.0, 1), hypothesis(-11.0, 10)]
    second = [hypothesis(-20.0, 10), hypothesis(-2.1, 1)]
    assert first[0].score > first[1].score and second[0].score > second[1].score
    joined = join_parts([first, second], 1.0, is_long=True)
    assert [t.score for t in joined] == [pytest.approx(-13.1 / 11), pytest.approx(-21.0 / 11)]


def test_a_part_with_fewer_hypotheses_repeats_its_last():
    parts = [[hypothesis(-1, 1, "a")], [hypothesis(-1, 1, "b"), hypothesis(-2, 1, "c")]]
    assert [t.text for t in join_parts(parts, 1.0, is_long=True)] == ["a b", "a c"]


def test_a_source_that_is_not_long_keeps_its_list():
    parts = [[hypothesis(-1, 1, "a"), hypothesis(-2, 1, "b")]]
    assert join_parts(parts, 1.0, is_long=False) == parts[0]


# With a model.


def translator(trained, **changes) -> Translator:
    run = Run(trained)
    given = {"max_source_length": 6, "beam_size": 3, "n_best": 3, **changes}
    return Translator.from_run(run, decoding=run.config().decoding.model_copy(update=given))


@pytest.fixture(scope="module")
def splitting(trained) -> Translator:
    return translator(trained)


@pytest.mark.slow
def test_a_long_source_is_the_translation_of_its_parts(splitting):
    whole, *parts = (row[0] for row in splitting.n_best(["1 2 3 4 5 6", "1 2 3", "4 5 6"]))
    assert whole.is_long and not parts[0].is_long
    assert whole.text == " ".join(part.text for part in parts if part.text)
    assert whole.tokens == parts[0].tokens + parts[1].tokens
    total = sum(part.log_probability for part in parts)
    assert whole.log_probability == pytest.approx(total, abs=1e-4)
    assert whole.score == pytest.approx(total / sum(part.length for part in parts), abs=1e-4)
    assert whole.source_tokens == parts[0].source_tokens + parts[1].source_tokens
    source, target = len(parts[0].source_tokens), len(parts[0].tokens)
    moved = tuple((i + source, j + target) for i, j in parts[1].alignment)
    assert whole.alignment == parts[0].alignment + moved


@pytest.mark.slow
def test_n_best_lists_of_long_sources_are_best_first(splitting):
    sources = [" ".join(str((i * k) % 10) for k in range(3, 9 + i % 7)) for i in range(40)]
    found = splitting.n_best(sources)
    assert all(row[0].is_long for row in found) and len(found) == 40
    for row in found:
        scores = [translation.score for translation in row]
        assert len(row) == 3 and scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_a_truncated_source_is_its_first_part(trained, splitting):
    truncating = translator(trained, long_sources="truncate")
    whole, part = (row[0] for row in truncating.n_best(["1 2 3 4 5 6", "1 2 3"]))
    assert whole.is_long and whole.text == part.text
    assert whole.source_tokens == part.source_tokens
