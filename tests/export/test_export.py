"""Exports: what they hold, that others can load them, and the proof that they translate alike."""

import dataclasses
import io
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import yaml
from conftest import MODELS
from light_training import damage
from model_cases import (
    VARIANTS,
    by_encoder_and_decoder,
    by_training_model,
    make_model,
    model_settings,
    name_of,
    randomised,
)

from s2s_cli.cli.app import main
from s2s_cli.config.load import override_decoding
from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.search import Search, StepOutput, length_limits
from s2s_cli.decoding.translation import Hypothesis, Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError, RunError
from s2s_cli.export import FORMAT_NAMES, NOTED_SETTINGS, SAMPLING_SETTINGS, fresh_process, proof
from s2s_cli.export.artefact import write_checksums
from s2s_cli.export.export import export
from s2s_cli.export.format import PROGRAM_SETTINGS, SEARCH_SETTINGS
from s2s_cli.export.formats import FORMATS
from s2s_cli.export.fresh_process import Answer
from s2s_cli.export.keras_models import KerasModels
from s2s_cli.export.runners import keras_runner as keras_runner_module
from s2s_cli.export.verify import verify
from s2s_cli.runs.run import Run
from s2s_cli.text.tokenizer import EOS, Tokenizers

pytestmark = pytest.mark.slow

# Those of the proof: 24 samples, odd ones, and one that is too long.
SENTENCES = 24 + len(proof.ODD) + 1
WITHOUT_S2S = "import sys; sys.modules['s2s_cli'] = None\n"


@pytest.fixture(scope="module", params=MODELS)
def architecture(request) -> str:
    """Each family."""
    return request.param


@pytest.fixture(scope="module")
def each(architecture, trained_as) -> Path:
    """A finished run of each family."""
    return trained_as(architecture)


@pytest.fixture(scope="module")
def artefacts_of_each(architecture, artefacts_of) -> dict[str, Path]:
    """Artefacts of a run of each family."""
    return artefacts_of(architecture)


def run_without_s2s(program: str, stdin: str = "") -> str:
    """What a Python program writes that cannot import s2s_cli."""
    process = subprocess.run(
        [sys.executable, "-IB", "-c", WITHOUT_S2S + program],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return process.stdout


def fake_proof(monkeypatch, text: str, ids: list[int], of_run: Translation | None = None) -> None:
    """Makes the fresh process of a proof give this text, and these ids, for every sentence; and the
    run the translation `of_run`, if it is given."""
    translate = Translator.translate

    def translated(self, sentences) -> list[Translation]:
        found = [of_run] * len(sentences) if of_run else translate(self, sentences)
        tokens = tuple(self._source_tokens[5:7])
        return [dataclasses.replace(one, source_tokens=tokens) for one in found]

    def answer(folder, name, sentences, **named) -> Answer:
        return Answer([text] * len(sentences), [[[[5, 6], ids]]] * len(sentences), (1.0, 1.0))

    monkeypatch.setattr(Translator, "translate", translated)
    monkeypatch.setattr(proof, "translate_in_fresh_process", answer)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is written.


def test_the_command_offers_the_formats_that_there_are():
    assert tuple(FORMATS) == FORMAT_NAMES


def test_an_export_holds_its_model_the_tokenizers_and_how_to_use_them(each, artefacts_of_each):
    common = {
        "s2s-export.yaml", "source.model", "target.model", "translate.py", "runner.py", "marks.py",
        "splitting.py", "README.md", "proof.json", "proof-sentences.jsonl", "checksums.json",
    }  # fmt: skip
    names = {
        kind: {path.name for path in folder.iterdir()} for kind, folder in artefacts_of_each.items()
    }
    models = {
        "keras": {"training.keras", "encoder.keras", "decoder.keras"},
        "saved_model": {"ids", "text"},
        "onnx": {"search.onnx", "encoder.onnx", "decoder.onnx"},
        "litert": {"model.tflite"},
        "ctranslate2": {"ctranslate2"},
    }
    if each.parent.name == "trained-lstm":
        del models["ctranslate2"]
    assert names == {kind: common | files for kind, files in models.items()}
    for kind, folder in artefacts_of_each.items():
        assert (folder / "source.model").read_bytes() == (
            each / "tokenizer" / "source.model"
        ).read_bytes()
        description = yaml.safe_load((folder / "s2s-export.yaml").read_text())
        assert description["format"] == kind
        assert (description["beam_size"], description["max_length"]) == (1, 20)


def test_a_keras_export_loads_and_translates_without_s2s(each, artefacts_of_each):
    folder = str(artefacts_of_each["keras"])
    program = (
        "import json, keras, numpy as np, runpy\n"
        # As where the locale is ASCII.
        "for stream in (sys.stdin, sys.stdout): stream.reconfigure(encoding='ascii')\n"
        f"runpy.run_path({folder!r} + '/translate.py', run_name='__main__')\n"
        f"m = keras.saving.load_model({folder!r} + '/training.keras')\n"
        "ids = {'source_ids': np.array([[5, 6, 3]]), 'target_in_ids': np.array([[2, 5]])}\n"
        "print(json.dumps(np.array(m(ids)).tolist()))"
    )
    longer_than_max_source_length = " ".join("1234567890" * 6)
    lines = f"1 2 3\n\n4 5\né 6\n{longer_than_max_source_length}\n"
    *found, logits = run_without_s2s(program, lines).splitlines()
    expected = Translator.from_run(Run(each)).translate(lines.splitlines())
    assert found == [translation.text for translation in expected]
    assert expected[-1].is_long
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 5]])}
    expected = np.array(load_model(Run(each)).training_model(inputs))
    np.testing.assert_allclose(json.loads(logits), expected, atol=1e-5)


def test_a_keras_export_consists_of_layers_that_keras_knows(artefacts_of_each):
    for name in ("training", "encoder", "decoder"):
        model = keras.saving.load_model(artefacts_of_each["keras"] / f"{name}.keras")
        assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


@pytest.mark.parametrize("changes", [VARIANTS[0], VARIANTS[9], VARIANTS[-1]], ids=name_of)
def test_the_models_of_a_recurrent_variant_load_without_its_layers_or_are_left_out(
    changes, tmp_path
):
    seq2seq = randomised(make_model(model_settings(**changes)))
    left_out = KerasModels().write(tmp_path, seq2seq, None, "float32")
    is_scanned = "decoder__input_feeding" in changes
    assert ["training.keras is left out" in sentence for sentence in left_out] == [
        True
    ] * is_scanned
    assert (tmp_path / "training.keras").exists() != is_scanned
    loaded = SimpleNamespace(
        encoder=keras.saving.load_model(tmp_path / "encoder.keras"),
        decoder=keras.saving.load_model(tmp_path / "decoder.keras"),
    )
    found = by_encoder_and_decoder(loaded)
    np.testing.assert_allclose(found, by_training_model(seq2seq), atol=1e-5)


# They change translations.
GREEDY = {"min_length": 9, "unknown": "suppress"}
BEAM = {"beam_size": 4, "length_penalty": 0.5, **GREEDY}


@pytest.mark.parametrize(
    ("architecture", "export_format", "search"),
    [
        ("transformer", "keras", BEAM),
        ("transformer", "onnx", BEAM),
        ("lstm", "litert", GREEDY),
        ("transformer", "ctranslate2", {"no_repeat_ngram_size": 2, **GREEDY}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_artefact_searches_as_it_is_asked_to(
    trained_as, tmp_path, architecture, export_format, search
):
    run = Run(trained_as(architecture))
    decoding = override_decoding(run.config(), **search)
    output, result = export(run, export_format, tmp_path / "out", decoding=decoding)
    assert (result.sentences, result.ties) == (SENTENCES, 0)
    assert not result.notes
    lines = (output / "proof-sentences.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    plain = Translator.from_run(run).translate([row["source"] for row in rows])
    assert sum(row["run"] != one.text for row, one in zip(rows, plain, strict=True)) > 10


def served_by(artefacts: dict[str, Path], kind: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What the graph of an artefact makes of rows of source ids."""
    if kind == "onnx":
        session = onnxruntime.InferenceSession(artefacts["onnx"] / "search.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"source_ids": rows}), strict=True))
    loaded = tf.saved_model.load(str(artefacts["saved_model"] / "ids"))
    return {name: value.numpy() for name, value in loaded.serve(rows).items()}


@pytest.mark.parametrize("kind", ["saved_model", "onnx"])
def test_a_graph_gives_log_probabilities_whatever_stands_beside_a_sentence(
    each, artefacts_of_each, kind
):
    run = Run(each)
    source, target = (run.tokenizer_file(side) for side in ("source", "target"))
    tokenizers = Tokenizers.load(source, target, run.config().tokenizer.type)
    (ids,) = tokenizers.source.encode(["7 0 3 3"])
    ((expected,),) = Translator.from_run(run).search([ids])
    rows = np.array([[*ids, EOS, 0, 0], [*ids[:2], EOS, *[0] * len(ids)]], np.int32)
    served = served_by(artefacts_of_each, kind, rows)
    assert [i for i in served["ids"][0].tolist() if i] == expected.ids
    assert float(served["log_probability"][0]) == pytest.approx(expected.log_probability, abs=1e-4)


VOCABULARY = 6


def keras_runner(table: np.ndarray, **settings) -> keras_runner_module.Runner:
    """A runner whose decoder gives each token the logits of its row in a table."""
    runner = object.__new__(keras_runner_module.Runner)
    plain = {"beam_size": 1, "length_penalty": 1.0, "min_length": 0, "unknown": "allow"}
    runner._settings = {**plain, **settings}
    runner._limit = len
    runner._encoder = lambda given: {"constant": tf.cast(given["source_ids"], tf.float32)}
    runner._decoder = lambda given: {"logits": table[np.array(given["target_in_ids"])[:, 0]]}
    return runner


def searched(table: np.ndarray, limits: list[int], **settings) -> list[list[int]]:
    """What the search of the package finds with the same step."""

    def step(last_ids, cache, constants, rows) -> StepOutput:
        return StepOutput(tf.gather(tf.constant(table), tf.gather(last_ids, rows)), cache)

    search = Search(step, **settings)
    found = search({"rows": tf.zeros([len(limits), 1])}, {}, tf.constant(limits))
    return [[int(i) for i in row[0] if i] for row in found.ids.numpy()]


@pytest.mark.parametrize("beam_size", [1, 2, 4, 9])
@pytest.mark.parametrize(
    "settings",
    [{}, {"length_penalty": 0.0}, {"length_penalty": 2.0}, {"min_length": 3}, {"unknown": "suppress"}],
    ids=str,
)  # fmt: skip
def test_the_keras_runner_searches_as_the_package_does(beam_size, settings):
    is_changed = False
    # Translations of at most 2, 3 and 6 tokens, in one batch.
    sources, named = [[4] * limit for limit in (2, 3, 6)], dict(settings)
    if named.pop("unknown", None):
        named["suppress_unknown"] = True
    for seed in range(30):
        table = 2 * np.random.default_rng(seed).normal(size=(VOCABULARY, VOCABULARY))
        table = table.astype(np.float32)
        found = keras_runner(table, beam_size=beam_size, **settings).search(sources)
        if seed < 4:  # a search that is not compiled takes its time
            assert found == searched(table, [2, 3, 6], beam_size=beam_size, **named), seed
        is_changed |= found != keras_runner(table, beam_size=beam_size).search(sources)
    assert is_changed == (bool(settings) and (beam_size > 1 or "length_penalty" not in settings))


def test_the_keras_runner_has_the_length_limits_of_the_package():
    runner = object.__new__(keras_runner_module.Runner)
    runner._settings = {"max_length": 25, "max_length_ratio": 1.7}
    for tokens in (1, 2, 5, 10):
        source_ids = tf.constant([[5] * tokens + [EOS, 0]])
        assert runner._limit([5] * tokens) == int(length_limits(source_ids, 25, 1.7)[0])


def test_the_program_translates_parts_in_batches_and_lines_as_they_arrive(
    artefacts, tmp_path, monkeypatch
):
    program = runpy.run_path(str(artefacts["keras"] / "translate.py"))
    translator, sizes = program["Translator"](artefacts["keras"]), []
    search = translator.runner.search

    def counted(sources) -> list:
        sizes.append(len(sources))
        return search(sources)

    monkeypatch.setattr(translator.runner, "search", counted)
    monkeypatch.setitem(translator.settings, "batch_size", 3)
    long = " ".join("1234567890" * 20)
    found = translator.translate([long, "", "1 2", "3"])
    assert len(found) == 4 and not found[1]
    assert max(sizes) == 3 and sum(sizes) > 4
    arrived = program["arrived_lines"](io.BufferedReader(io.BytesIO(b"\xef\xbb\xbfa\nb\r\n\xff")))
    assert list(arrived) == [["a", "b\r"], ["\ufffd"]]


def test_every_setting_of_a_search_is_followed_refused_or_noted():
    known = {*SEARCH_SETTINGS, *PROGRAM_SETTINGS, *NOTED_SETTINGS, *SAMPLING_SETTINGS}
    assert known == set(Decoding.model_fields)
    for one in FORMATS.values():
        assert set(one.follows) <= set(SEARCH_SETTINGS)


# The proof.


def test_a_proof_records_what_was_compared(artefacts_of_each):
    for kind, folder in artefacts_of_each.items():
        found = json.loads((folder / "proof.json").read_text())
        assert found["identical"] == found["sentences"] == SENTENCES
        assert found["versions"].keys() >= {"sentencepiece", "numpy"}
        lines = (folder / "proof-sentences.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == SENTENCES
        assert [row["artefact"] for row in rows] == [row["run"] for row in rows]
        empty = [row["run"] for row in rows if not row["source"].strip()]
        assert empty and not any(empty)
        if kind in ("keras", "onnx"):  # they have a step
            assert 0 < found["logit_difference"] < 1e-4
        else:
            assert found["logit_difference"] is None


def test_an_artefact_that_translates_otherwise_is_not_written_and_the_earlier_one_stays(
    trained, artefacts, tmp_path, monkeypatch
):
    output = shutil.copytree(artefacts["keras"], tmp_path / "out")
    before = files(output)
    fake_proof(monkeypatch, "nine nine", [9, 9])
    for folder in ("out", "new"):
        with pytest.raises(ExportError, match="does not translate as the run does"):
            export(Run(trained), "keras", tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert files(output) == before


def test_an_artefact_that_fails_to_load_is_reported_with_its_error(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_process, "PROGRAM", "raise RuntimeError('no such operation')")
    with pytest.raises(ExportError, match="fails in a fresh process: RuntimeError: no such"):
        export(Run(trained), "keras", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_outputs_may_differ_only_at_a_tie(trained, tmp_path, monkeypatch):
    fake_proof(monkeypatch, "nine nine", [9, 9])
    monkeypatch.setattr(proof, "distance", lambda *_: 0.5e-3)
    _, found = export(Run(trained), "keras", tmp_path / "out")
    assert found.ties == found.sentences == SENTENCES


def test_what_the_run_gives_without_a_batch_is_a_tie(trained, tmp_path, monkeypatch):
    fake_proof(monkeypatch, "nine nine", [9, 9])
    batched = Translator.translate

    def translated(self, sentences) -> list[Translation]:
        found = batched(self, sentences)
        alone = dataclasses.replace(found[0], text="nine nine")
        return [alone] if len(found) == 1 else found

    monkeypatch.setattr(Translator, "translate", translated)
    _, found = export(Run(trained), "keras", tmp_path / "out")
    assert found.ties == SENTENCES


def test_other_tokens_of_a_source_are_no_tie(trained, tmp_path, monkeypatch):
    fake_proof(monkeypatch, "nine nine", [9, 9], of_run=Translation("nine nine"))
    answer = proof.translate_in_fresh_process

    def otherwise(*given, **named) -> Answer:
        found = answer(*given, **named)
        return dataclasses.replace(found, parts=[[[[6, 5], [9, 9]]]] * len(found.texts))

    monkeypatch.setattr(proof, "translate_in_fresh_process", otherwise)
    with pytest.raises(ExportError, match="does not translate as the run does"):
        export(Run(trained), "keras", tmp_path / "out")


@pytest.mark.parametrize("value", [1e-2, float("nan")])
def test_a_step_that_computes_otherwise_is_refused(trained, value):
    run = Run(trained)
    subject = SimpleNamespace(seq2seq=load_model(run), export_format=SimpleNamespace(name="onnx"))
    logits = np.array(proof._logits(subject.seq2seq, [5, 6], [7]))
    answer = Answer([], [], (1.0, 1.0), [[[5, 6], [7], logits.tolist()]])
    assert proof.logit_difference(subject, answer, "float32") < 1e-5
    logits[1, 3] += value
    answer = Answer([], [], (1.0, 1.0), [[[5, 6], [7], logits.tolist()]])
    with pytest.raises(ExportError, match=r"The decoder step of the onnx export does not compute"):
        proof.logit_difference(subject, answer, "float32")


@pytest.mark.parametrize("ids", [[], [9, 9]], ids=["nothing", "other text for the same ids"])
def test_what_does_not_follow_from_a_tie_is_none(trained, tmp_path, monkeypatch, ids):
    fake_proof(monkeypatch, "nine nine", ids, of_run=Translation("eight"))
    monkeypatch.setattr(proof, "distance", lambda *_: 0.0)
    if ids:  # the run's own
        same = [[Hypothesis(ids, 0.0, 0.0, [0, 0], [0.0, 0.0])]]
        monkeypatch.setattr(Translator, "search", lambda self, sources, required=None: same)
    with pytest.raises(ExportError, match="does not translate as the run does"):
        export(Run(trained), "keras", tmp_path / "out")


def test_the_distance_of_two_outputs_is_that_of_their_scores_in_the_run(trained):
    run = Run(trained)
    seq2seq, greedy = load_model(run), run.config().decoding
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 7]])}
    logits = np.array(seq2seq.training_model(inputs), np.float64)[0]
    found = proof.distance(seq2seq, [5, 6], [7, 9], [7, 8, 3], greedy)
    assert found == pytest.approx(abs(logits[1, 9] - logits[1, 8]), abs=1e-6)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = logs[0, 7] + logs[1, 9]
    assert proof.log_probability(seq2seq, [5, 6], [7, 9]) == pytest.approx(expected, abs=1e-5)
    beam = greedy.model_copy(update={"beam_size": 2, "length_penalty": 0.0})
    found = proof.distance(seq2seq, [5, 6], [7, 9], [7, 8], beam)
    assert found == pytest.approx(abs(logs[1, 9] - logs[1, 8]), abs=1e-5)
    assert proof.distance(seq2seq, [5, 6], [7], [7, 8], greedy) == float("inf")


# Verifying.


@pytest.mark.parametrize("export_format", ["keras", "onnx"])
def test_an_artefact_is_verified_by_what_it_holds(artefacts, tmp_path, capsys, export_format):
    folder = shutil.copytree(artefacts[export_format], tmp_path / "moved")
    (folder / "README.md").write_text("Languages: digits, English. Licence: MIT")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "runner.cpython-311.pyc").write_bytes(b"not what runner.py says")
    before = files(folder)
    assert main(["verify", str(folder)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"all {SENTENCES} sentences are translated as when this {export_format} export was made",
        f"{folder} is undamaged",
    ]
    assert files(folder) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: damage(folder / "decoder.keras"), "decoder.keras is damaged."),
        (lambda folder: (folder / "target.model").unlink(), "target.model is missing."),
        (lambda folder: (folder / "a.txt").write_text("a"), "a.txt was added."),
        (lambda folder: (folder / "checksums.json").unlink(), "checksums.json is missing or damaged."),
        (lambda folder: (folder / "proof.json").write_text("{"), "proof.json is damaged."),
        (lambda folder: (folder / "s2s-export.yaml").unlink(), "this is no artefact of `s2s export`"),
    ],
    ids=["a bit", "a file that is missing", "a new file", "checksums", "proof", "description"],
)  # fmt: skip
def test_damage_is_named(artefacts, tmp_path, change, message):
    folder = shutil.copytree(artefacts["keras"], tmp_path / "out")
    change(folder)
    with pytest.raises(ExportError) as caught:
        verify(folder)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"versions": [[1, 2]]}', '{"versions": {"": "1"}}']
)
def test_a_record_that_cannot_be_read_is_no_crash(artefacts, tmp_path, content):
    folder = shutil.copytree(artefacts["keras"], tmp_path / "out")
    (folder / "proof.json").write_text(content)
    write_checksums(folder)
    with pytest.raises(ExportError, match=r"cannot be read|not installed"):
        verify(folder)


def test_another_version_and_another_translation_are_named(artefacts, tmp_path):
    folder = shutil.copytree(artefacts["keras"], tmp_path / "out")
    record = json.loads((folder / "proof.json").read_text())
    record["versions"]["keras"] = "3.0"
    (folder / "proof.json").write_text(json.dumps(record))
    write_checksums(folder)
    assert [sentence.split(";")[0] for sentence in verify(folder).versions] == ["keras 3.0"]
    sentences = folder / "proof-sentences.jsonl"
    first, rest = sentences.read_text().split("\n", 1)
    changed = json.dumps({**json.loads(first), "artefact": "twelve"})
    sentences.write_text(f"{changed}\n{rest}")
    write_checksums(folder)
    with pytest.raises(ExportError) as caught:
        verify(folder)
    assert f"1 of {SENTENCES} sentences are not translated as when" in caught.value.message
    assert "not 'twelve'. It was made with keras 3.0" in caught.value.message
    record["versions"]["no-such-package"] = "1.0"
    (folder / "proof.json").write_text(json.dumps(record))
    write_checksums(folder)
    with pytest.raises(ExportError, match=r"that are not installed: no-such-package==1\.0"):
        verify(folder)


# What is refused.


def test_a_folder_that_is_no_export_is_never_replaced(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="there is something here that is not an export"):
        export(Run(trained), "keras", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_checkpoint_that_does_not_exist_is_refused_before_anything_is_written(trained, tmp_path):
    with pytest.raises(RunError, match="there is no checkpoint `7`"):
        export(Run(trained), "keras", tmp_path / "out", "7")
    assert not list(tmp_path.iterdir())
