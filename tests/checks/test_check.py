"""What the check finds in dirty corpora, and that training leaves out the same pairs."""

import gzip

import numpy as np
import pytest
from corpora import DirtyCorpus, lines_with_shared_names

from s2s_cli.checks.findings import KIND_BY_NAME, KINDS
from s2s_cli.config.load import load_config
from s2s_cli.config.schema import Files
from s2s_cli.text import corpus as corpus_module
from s2s_cli.text.corpus import sentences, training_pairs
from s2s_cli.text.filters import REASONS, Counts, Filters
from s2s_cli.text.store import build_store
from s2s_cli.text.tokenizer import Tokenizers, learn


@pytest.fixture
def dirty(tmp_path, corpus):
    """A corpus of 40 clean pairs: replace lines, `write` it, and `report` on it."""
    return DirtyCorpus(tmp_path, corpus)


def test_a_clean_corpus_passes_with_nothing_to_say(dirty):
    report, found = dirty.report(dirty.write())
    assert report.passes and found == {}
    assert [(s.name, s.read, s.used) for s in report.splits] == [
        ("training", 40, 40),
        ("validation", 24, 24),
    ]


@pytest.mark.parametrize(
    ("side", "line", "kind", "place", "text"),
    [
        ("b", b"one \xff two", "invalid_utf8", "b:9", r"one \xff two"),
        ("a", "4\u200b 5".encode(), "control", "a:9", r"4\u200b 5"),
        ("b", b"one\0", "control", "b:9", r"one\x00"),
        ("b", "o\u00adne".encode(), "control", "b:9", r"o\xadne"),
        ("b", "\ufeffone".encode(), "control", "b:9", r"\ufeffone"),
        ("b", "one \u202etwo".encode(), "control", "b:9", r"one \u202etwo"),
        ("a", b"1\t2", "tab_inside", "a:9", r"1\t2"),
        ("b", b"one\r", "carriage_return", "b:9", "one"),
        ("b", b"one </s>", "special_token", "b:9", "one </s>"),
        ("b", "one \u2581two".encode(), "special_token", "b:9", "one \u2581two"),
    ],
)
def test_a_line_is_named_with_what_is_wrong_in_it(dirty, side, line, kind, place, text):
    (dirty.sources if side == "a" else dirty.targets)[8] = line
    report, found = dirty.report(dirty.write())
    assert found.pop(kind) == (1, [(place, text)])
    # Normalization of the source removes a zero-width space.
    assert set(found) <= {"normalized_source"} and ("\u200b".encode() in line or not found)
    assert report.passes == (kind != "invalid_utf8")


def test_joiners_of_scripts_that_need_them_and_outer_tabs_are_no_finding(dirty):
    dirty.targets[8] = "one\u200dtwo\u200cthree\t".encode()
    assert dirty.report(dirty.write())[1] == {}


def test_the_word_level_has_one_more_mark_that_text_should_not_hold(dirty):
    dirty.targets[8] = "one\u2040two".encode()
    assert dirty.report(dirty.write())[1] == {}
    dirty.settings["tokenizer"]["type"] = "word"
    assert dirty.report(dirty.write())[1]["special_token"][0] == 1


def test_a_byte_order_mark_is_taken_off_the_first_line(dirty):
    dirty.sources[0] = b"\xef\xbb\xbf7 7 7"
    assert dirty.report(dirty.write())[1] == {"bom_at_start": (1, [("a:1", "7 7 7")])}


def test_pairs_are_judged_as_training_judges_them(dirty, tmp_path):
    dirty.sources[0], dirty.targets[1] = b"", b" "
    dirty.sources[2] = dirty.targets[2] = b""
    dirty.targets[3] = b"one " * 20
    dirty.sources[4] = dirty.targets[4] = b"4 5"
    dirty.sources[5], dirty.targets[5] = b"1", b"one two three"
    config = dirty.write(max_length=60, max_length_ratio=6.5, drop_identical=True)
    report, found = dirty.report(config)
    kinds = {kind: (count, [place for place, _ in e]) for kind, (count, e) in found.items()}
    assert kinds == {
        "empty_line": (1, ["a:3"]),
        "empty_side": (2, ["a:1", "b:2"]),
        "too_long": (1, ["b:4"]),
        "uneven": (1, ["a:6"]),
        "identical": (1, ["a:5"]),
    }
    assert {finding.outcome for finding in report.findings} == {"left out"}

    loaded, learned = load_config(config), []
    for side in ("source", "target"):
        text = [text for _, text in sentences(training_pairs(loaded.data, None), side)]
        path = tmp_path / f"{side}.model"
        learned.append(learn(text, loaded.tokenizer, path, side=side, seed=1, threads=1))
    store = build_store(
        tmp_path / "store",
        "key",
        training_pairs(loaded.data, None),
        Tokenizers(*learned),
        filters=Filters.from_settings(loaded.data, loaded.model),
        threads=1,
    )
    left_out = {"empty_side": 2, "too_long": 1, "uneven": 1, "identical": 1}
    split = report.splits[0]
    assert store.counts == Counts(read=39, used=34, left_out=left_out)
    assert (split.read, split.used, split.left_out) == (39, 34, left_out)
    assert split.source_tokens == len(store.source.values)


def test_without_the_settings_identical_and_uneven_pairs_are_used(dirty):
    dirty.sources[4] = dirty.targets[4] = b"4 5"
    dirty.sources[5], dirty.targets[5] = b"1", b"one two three"
    report, found = dirty.report(dirty.write())
    assert (found["identical"][0], found["uneven"][0]) == (1, 1)
    assert {finding.outcome for finding in report.findings} == {"used"}
    assert report.splits[0].used == 40


def test_repeats_within_training_and_in_the_held_out_sets_are_counted(dirty):
    dirty.sources[8], dirty.targets[8] = dirty.sources[2], dirty.targets[2]
    for name, lines in (("va", dirty.sources[:2]), ("vb", [dirty.targets[0], b"nine"])):
        (dirty.folder / name).write_bytes(b"\n".join(lines))
    held_out = {"source": str(dirty.folder / "va"), "target": str(dirty.folder / "vb")}
    report, _ = dirty.report(dirty.write(validation=held_out), Files(**held_out))
    found = [(f.split, f.kind, f.count) for f in report.findings]
    assert found == [
        ("training", "duplicate", 1),
        ("validation", "source_overlap", 2),
        ("test", "source_overlap", 2),
        ("validation", "pair_overlap", 1),
        ("test", "pair_overlap", 1),
    ]


def test_a_fraction_that_is_held_out_does_not_overlap_with_training(dirty):
    dirty.sources[8] = dirty.sources[2]
    report, found = dirty.report(dirty.write(validation={"fraction": 0.3}))
    assert found == {}
    training, validation = report.splits
    assert training.read + validation.read == 40 and validation.read > 0


def test_unequal_files_fail_and_so_does_a_missing_one(dirty):
    dirty.targets.append(b"one")
    report, found = dirty.report(dirty.write())
    assert not report.passes and found["unequal_lengths"][1][0][0] == "b:41"
    (dirty.folder / "b").unlink()
    report, found = dirty.report(dirty.folder / "c.yaml")
    assert not report.passes and list(found) == ["unreadable"]
    message = "there is no such file. Check the path; one in a config is relative to the config."
    assert found["unreadable"][1] == [("b", message)]


def test_a_damaged_archive_is_read_as_far_as_it_goes(dirty):
    config = dirty.write()
    whole = gzip.compress(b"".join(line + b"\n" for line in dirty.sources * 50))
    (dirty.folder / "a.gz").write_bytes(whole[: len(whole) // 2])
    config.write_text(config.read_text().replace(f"{dirty.folder}/a", f"{dirty.folder}/a.gz"))
    report, found = dirty.report(config)
    assert not report.passes and found["unreadable"][1][0][0] == "a.gz"


def test_rows_of_a_tsv_need_two_columns_and_a_weight_where_there_is_a_third(dirty):
    lines = (b"no tab", b"", b"1 2\tone two\theavy", b"2 2\ttwo two\t-1", b"3\tthree\t0.5")
    report, found = dirty.report(dirty.write_tsv(*lines))
    assert not report.passes
    assert found == {
        "missing_column": (1, [("t:41", "no tab")]),
        "bad_weight": (2, [("t:43", "heavy"), ("t:44", "-1")]),
        "empty_line": (1, [("t:42", "")]),
    }
    assert report.splits[0].used == 41
    _, found = dirty.report(dirty.write_tsv(*lines[1:], third_column="ignore"))
    assert list(found) == ["empty_line"]


def test_no_pair_at_all_or_none_left_fails(dirty):
    report, found = dirty.report(dirty.write(max_length=1))
    assert not report.passes and found["no_pairs"][0] == 1
    dirty.sources, dirty.targets = [b"", b""], [b"", b" "]
    report, found = dirty.report(dirty.write())
    assert not report.passes and set(found) == {"empty_line", "no_pairs"}


def test_a_vocabulary_that_training_could_not_learn_fails(dirty):
    dirty.settings["tokenizer"].update(type="unigram", vocab_size=8000)
    report, found = dirty.report(dirty.write())
    assert not report.passes
    assert "no more than" in found["no_tokenizer"][1][0][1]


def test_tokens_outside_the_vocabulary_are_counted(dirty):
    dirty.settings["tokenizer"]["vocab_size"] = 10
    training = dirty.report(dirty.write())[0].splits[0]
    assert 0 < training.source_unknown < training.source_tokens
    assert 0 < training.target_unknown < training.target_tokens


def test_a_shift_fails_though_the_files_are_equally_long(dirty):
    sources, targets = lines_with_shared_names(1_000, seed=9)
    del sources[400], targets[990]
    dirty.sources = [line.encode() for line in sources]
    dirty.targets = [line.encode() for line in targets]
    report, found = dirty.report(dirty.write())
    (place, text), *_ = found["shift"][1]
    assert not report.passes and report.findings[0].kind == "shift"
    assert abs(int(place.removeprefix("a:")) - 400) <= 30 and "line i+1" in text


def test_a_row_that_cannot_be_read_is_not_a_pair_that_was_read(dirty):
    dirty.targets[8] = b"\xff"
    report, _ = dirty.report(dirty.write())
    assert (report.splits[0].read, report.splits[0].used) == (39, 39)


def test_each_side_of_a_row_is_named_if_it_is_not_utf8(dirty):
    dirty.sources[8] = dirty.targets[8] = b"\xff"
    _, found = dirty.report(dirty.write())
    assert found["invalid_utf8"] == (2, [("a:9", r"\xff"), ("b:9", r"\xff")])


def test_every_problem_of_a_reader_and_every_reason_is_a_kind_of_finding():
    problems = {
        value
        for name, value in vars(corpus_module).items()
        if name.isupper() and name[0] != "_" and isinstance(value, str)
    }
    assert problems <= KIND_BY_NAME.keys()
    assert {reason.name for reason in REASONS} <= KIND_BY_NAME.keys()
    assert len(KIND_BY_NAME) == len(KINDS)


def test_weights_that_are_all_0_fail(dirty):
    pairs = zip(dirty.sources, dirty.targets, strict=True)
    lines = (b"%s\t%s\t0\n" % pair for pair in pairs)
    (dirty.folder / "w").write_bytes(b"".join(lines))
    report, found = dirty.report(dirty.write(train={"tsv": str(dirty.folder / "w")}))
    message = "the third column gives every pair the weight 0"
    assert found == {"no_weight": (1, [("training", message)])} and not report.passes


def test_a_large_share_of_unknown_tokens_is_reported_with_its_side(dirty):
    dirty.settings["tokenizer"] = {"type": "word", "vocab_size": 12, "shared": False}
    report, _ = dirty.report(dirty.write())
    (found,) = (f for f in report.findings if (f.kind, f.split) == ("many_unknown", "training"))
    split = report.splits[0]
    shares = {
        "source": split.source_unknown / split.source_tokens,
        "target": split.target_unknown / split.target_tokens,
    }
    assert report.passes and all(share > 0.1 for share in shares.values())
    assert {example.place: example.text for example in found.examples} == {
        side: f"{share:.1%} of the tokens; subwords (bpe, unigram) have hardly any"
        for side, share in shares.items()
    }


@pytest.mark.parametrize(
    ("content", "kind", "message", "passes"),
    [
        ("1 nan 0\n", "no_vectors", "1: the vector of '1' holds a value that is not finite", False),
        ("1 0 0 0\n", "no_vectors", "1: the vectors have 3 values; model.embedding.size is 2.", False),
        ("x 0 0\n", "unmatched_vectors", "0 of 15 tokens have a vector", True),
        ("1 0 0\n1 0 0\n2\n" + "".join(f"{i} 0 0\n" for i in range(2, 10)),
         "skipped_vectors", "1 line that repeat a word, 1 line of another length", True),
    ],
)  # fmt: skip
def test_word_vectors_are_read_as_training_would(dirty, content, kind, message, passes):
    path = dirty.folder / "v.vec"
    path.write_text(content)
    dirty.settings["model"]["embedding"] = {"size": 2, "vectors": {"source": str(path)}}
    report, found = dirty.report(dirty.write())
    ((count, [(place, text)]),) = found.values()
    assert (list(found), count, place) == ([kind], 1, "v.vec")
    assert message in text and report.passes == passes


def test_an_array_of_vectors_is_read_as_training_would(dirty):
    path = dirty.folder / "v.npy"
    np.save(path, np.ones((3, 2)))
    dirty.settings["model"]["embedding"] = {"size": 2, "vectors": {"source": str(path)}}
    report, found = dirty.report(dirty.write())
    ((count, [(place, text)]),) = found.values()
    assert (list(found), count, place) == (["no_vectors"], 1, "v.npy")
    assert "the array has shape (3, 2), the table (" in text and not report.passes


@pytest.mark.parametrize(
    ("cell", "is_quoted"),
    [
        (b'"one ""two"""', True),
        (b'"one"', False),
        (b'""', False),
        (b'he said "one" and "two"', False),
        (b'"one" and "two"', False),
    ],
)
def test_cells_that_a_spreadsheet_has_quoted_are_named(dirty, cell, is_quoted):
    report, found = dirty.report(dirty.write_tsv(b"1 2\t" + cell))
    assert ("quoted_cell" in found) == is_quoted and report.passes


def test_one_file_is_checked_as_it_is_read(dirty, tmp_path):
    rows = [f"{a.decode()},{b.decode()}" for a, b in zip(dirty.sources, dirty.targets, strict=True)]
    bad = ['"1\n2",one two', "3,th\u200bree", "4", "5,<unk>", '6666666,"""si""""x"""']
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join([*rows, *bad]) + "\n", encoding="utf-8")
    report, found = dirty.report(dirty.write(train={"path": str(table)}))
    assert report.read_as == {
        str(table): "CSV: columns 1 and 2, no header, comma between columns, quotes around cells"
    }
    assert not report.passes
    assert found == {
        "missing_column": (1, [("pairs.csv:44", "4")]),
        "line_end_inside": (1, [("pairs.csv:41", "1 2 | one two")]),
        "control": (1, [("pairs.csv:43", "th\\u200bree")]),
        "special_token": (1, [("pairs.csv:45", "<unk>")]),
        "quoted_cell": (1, [("pairs.csv:46", '"si""x"')]),
    }
