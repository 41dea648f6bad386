"""Settings, prefixes and glossaries of a trained model's search, and their options."""

import shutil

import pytest
import tensorflow as tf
from conftest import s2s_here

from s2s_cli.config.load import load_config, override_decoding
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ConfigError, DataError, ExportError
from s2s_cli.export.export import export
from s2s_cli.runs.run import Run
from s2s_cli.text.tokenizer import UNK

pytestmark = pytest.mark.slow

SENTENCES = ["1 2", "", "7 0 3 3 9 4", "5"]
GLOSSARY = {"7": "five six", "3 3": "one", "5": "two"}


def make_translator(trained, **changes) -> Translator:
    run = Run(trained)
    return Translator.from_run(run, decoding=override_decoding(run.config(), **changes))


@pytest.mark.parametrize(
    "changes",
    [{}, {"beam_size": 4, "n_best": 2, "shortlist": 1, "precision": "bfloat16"}],
    ids=str,
)
def test_translations_hold_the_terms_of_their_sentences_and_begin_with_their_prefixes(
    trained, changes
):
    translator = make_translator(trained, max_length=40, **changes)
    glossary = translator.glossary(GLOSSARY)
    prefixes = ["zero", "nine", "", "three"]
    found = translator.n_best(SENTENCES, prefixes=prefixes, glossary=glossary)
    for row, prefix, terms in zip(
        found, prefixes, [(), (), ("five six", "one"), ("two",)], strict=True
    ):
        for translation in row if row[0].source_tokens else ():
            assert translation.text.startswith(prefix)
            assert all(term in translation.text for term in terms)
            assert translation.missing_terms == ()
            # Its probability is the model's.
            assert sum(translation.token_scores) == pytest.approx(
                translation.log_probability, abs=1e-3
            )
    assert found[1][0].text == ""
    alone = translator.n_best(SENTENCES[3:], prefixes=["three"], glossary=glossary)
    assert [t.tokens for t in alone[0]] == [t.tokens for t in found[3]]
    plain = make_translator(trained, max_length=40, **changes).n_best(SENTENCES)
    assert [t.text for t in translator.n_best(SENTENCES)[0]] == [t.text for t in plain[0]]


def test_each_part_of_a_long_source_has_its_terms_and_the_first_the_prefix(trained):
    translator = make_translator(trained, max_source_length=8, max_length=40)
    glossary = translator.glossary({"7": "seven", "4": "four"})
    sentence = "7 1 2 3 5 8 4 1 2"
    (found,) = translator.translate([sentence], prefixes=["nine"], glossary=glossary)
    assert found.is_long and found.text.startswith("nine")
    assert "seven" in found.text and "four" in found.text.removeprefix("nine")


def test_terms_without_room_are_named(trained):
    translator = make_translator(trained, max_length=6)
    (found,) = translator.translate(["7"], glossary=translator.glossary({"7": "five six"}))
    assert found.missing_terms == ("five six",)


def test_a_prefix_that_cannot_be_is_refused(trained):
    translator = make_translator(trained, max_length=6)
    with pytest.raises(DataError, match="the prefix 'Ж' has characters that the target vocabulary"):
        translator.translate(["7"], prefixes=["Ж"])
    with pytest.raises(DataError, match="the prefix 'seven seven' has 12 tokens, more than"):
        translator.translate(["7"], prefixes=["seven seven"])


def test_samples_are_the_same_in_every_batch_and_differ_between_seeds(trained):
    def texts(sentences, **changes):
        translator = make_translator(trained, sampling=True, n_best=3, **changes)
        return [sorted(t.text for t in row) for row in translator.n_best(sentences)]

    together = texts(SENTENCES)
    assert texts(SENTENCES[::-1], batch_size=1) == together[::-1]
    assert len(set(together[2])) == 3
    assert texts(SENTENCES, seed=2)[2] != together[2]


def test_unknown_tokens_are_suppressed_or_replaced_by_words_of_the_source(trained, monkeypatch):
    translator = make_translator(trained, unknown="replace")
    ids = translator.search([translator._tokenizers.source.encode(["7 0"])[0]])[0][0].ids
    monkeypatch.setattr(
        translator, "search", lambda sources, required: [
            [_with_unknown(h) for h in make_translator(trained).search([source])[0]]
            for source in sources
        ],
    )  # fmt: skip
    assert ids
    (found,) = translator.translate(["7 0"])
    assert found.text == "7" and found.tokens == ("<unk>", "<unk>") and found.replaced == 1
    monkeypatch.undo()


def _with_unknown(hypothesis):
    return type(hypothesis)([UNK, UNK, 3], 0.0, 0.0, [0, 1, 2], [0.0, 0.0, 0.0])


# Options.


def test_the_options_for_prefixes_and_a_glossary(trained, tmp_path):
    (tmp_path / "in").write_text("1 2\n7\n\n5 7\n")
    (tmp_path / "prefixes").write_text("nine\n\n\nsix\n")
    (tmp_path / "terms").write_text("7\tzero zero\n")
    given = ["translate", trained, "-i", tmp_path / "in"]
    found = s2s_here(
        *given, "--prefix", tmp_path / "prefixes", "--glossary", tmp_path / "terms",
        "--max-length", 9,
    )  # fmt: skip
    assert found.returncode == 0, found.err
    lines = found.out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("nine") and lines[3].startswith("six")
    assert "2 lines are translated without all terms of the glossary" in found.err
    (tmp_path / "prefixes").write_text("nine\n")
    found = s2s_here(*given, "--prefix", tmp_path / "prefixes")
    assert found.returncode == 1 and not found.out
    assert f"{tmp_path}/prefixes has 1 lines, and there are 4 sentences." in found.err
    (tmp_path / "terms").write_text("7 zero\n")
    found = s2s_here(*given, "--glossary", tmp_path / "terms")
    assert found.returncode == 1
    assert f"{tmp_path}/terms:1: this is no entry of a glossary: '7 zero'." in found.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sampling": True, "beam_size": 4},
            "decoding.beam_size is 4, but with decoding.sampling, samples are drawn without a beam;"
            " set it to 1",
        ),
        (
            {"diversity": 0.5},
            "decoding.diversity is 0.5, which needs a beam; raise decoding.beam_size",
        ),
        ({"top_p": 0.5}, "decoding.top_p is 0.5, which needs decoding.sampling: true"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_together_are_refused(trained, changes, message):
    with pytest.raises(ConfigError) as caught:
        override_decoding(Run(trained).config(), **changes)
    assert message in caught.value.message


@pytest.mark.parametrize("setting", ["unknown=replace", "coverage_penalty=0.2"])
def test_what_needs_attention_is_refused_for_a_model_without(setting, tmp_path, corpus, settings):
    from s2s_cli.decoding.model_search import ModelSearch
    from s2s_cli.model.family import VocabSizes

    settings["model"]["decoder"]["attention"] = "none"
    from conftest import write_config

    config = load_config(
        write_config(tmp_path / "c.yaml", settings),
        (f"decoding.{setting}", "decoding.beam_size=2"),
    )
    with pytest.raises(
        ConfigError, match="which needs attention, and this model has none"
    ) as caught:
        ModelSearch((config.model,), VocabSizes(15, 20), config.decoding)
    assert setting.partition("=")[0] in caught.value.message


# Exports.


@pytest.mark.parametrize(
    ("export_format", "changes"),
    [
        ("keras", {"no_repeat_ngram_size": 3}),
        ("keras", {"unknown": "replace"}),
        ("saved_model", {"unknown": "replace"}),
        ("saved_model", {"sampling": True}),
    ],
    ids=str,
)
def test_an_export_that_cannot_do_what_the_run_does_is_refused(
    trained, tmp_path, export_format, changes
):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    config = run.config()
    decoding = config.decoding.model_copy(update=changes)
    run.write_config(config.model_copy(update={"decoding": decoding}))
    (name,) = changes
    with pytest.raises(
        ExportError, match=f"decoding.{name} is .* in format {export_format} cannot"
    ):
        export(run, export_format, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_saved_model_has_the_constraints_and_penalties_of_the_run(trained, tmp_path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    config = run.config()
    changes = {
        "beam_size": 4, "no_repeat_ngram_size": 2, "coverage_penalty": 0.2, "diversity": 0.3,
        "unknown": "suppress", "n_best": 2, "shortlist": 8,
    }  # fmt: skip
    decoding = config.decoding.model_copy(update=changes)
    run.write_config(config.model_copy(update={"decoding": decoding}))
    output, proof = export(run, "saved_model", None)
    assert proof.sentences > 24 and proof.ties == 0
    # What an export never has.
    assert [note.partition(":")[0] for note in proof.notes] == ["n_best is 2", "shortlist is 8"]
    run.write_config(
        config.model_copy(update={"decoding": decoding.model_copy(update={"shortlist": None})})
    )
    translator = Translator.from_run(run)
    (ids,) = translator._tokenizers.source.encode(["7 0 3 3"])
    ((expected, _),) = translator.search([ids])
    loaded = tf.saved_model.load(str(output / "ids"))
    served = loaded.serve(tf.constant([[*ids, 3]]))
    assert [i for i in served["ids"].numpy()[0].tolist() if i] == expected.ids
