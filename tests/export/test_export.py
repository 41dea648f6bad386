"""Exports: what they hold, that others can load them, and the proof that they translate alike."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import MODELS, made_once
from model_cases import (
    VARIANTS,
    by_encoder_and_decoder,
    by_training_model,
    make_model,
    model_settings,
    name_of,
    randomised,
)

from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError, RunError
from s2s_cli.export import keras_models, proof
from s2s_cli.export.export import export, load_model
from s2s_cli.runs.run import Run
from s2s_cli.text.tokenizer import EOS, Tokenizers

pytestmark = pytest.mark.slow

WITHOUT_S2S = "import sys; sys.modules['s2s_cli'] = None\n"


@pytest.fixture(scope="module", params=MODELS)
def trained(request, trained_as) -> Path:
    """A finished run of each family."""
    return trained_as(request.param)


@pytest.fixture(scope="module")
def artefacts(trained, tmp_path_factory) -> dict[str, Path]:
    """The default export of each format."""

    def make(folder: Path) -> None:
        for export_format in ("keras", "saved_model"):
            output, result = export(Run(trained), export_format, folder / export_format)
            assert output == folder / export_format
            assert (result.sentences, result.ties) == (24, 0)
        assert not list(folder.glob(".*"))

    folder = made_once(tmp_path_factory, f"artefacts-of-{trained.parent.name}", make)
    return {export_format: folder / export_format for export_format in ("keras", "saved_model")}


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


def fake_proof(monkeypatch, found: list[int]) -> None:
    """Makes the fresh process of a proof give these ids for every sentence."""
    monkeypatch.setattr(
        proof,
        "_run_in_fresh_process",
        lambda folder, name, runner, sources: [found] * len(sources),
    )


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is written.


def test_an_export_holds_its_model_the_tokenizers_and_how_to_use_them(trained, artefacts):
    common = {"s2s-export.yaml", "source.model", "target.model"}
    names = {kind: {path.name for path in folder.iterdir()} for kind, folder in artefacts.items()}
    models = {"training.keras", "encoder.keras", "decoder.keras"}
    assert names["keras"] == common | models | {"translate.py", "marks.py", "splitting.py"}
    assert names["saved_model"] == common | {"saved_model"}
    for kind, folder in artefacts.items():
        assert (folder / "source.model").read_bytes() == (
            trained / "tokenizer" / "source.model"
        ).read_bytes()
        description = yaml.safe_load((folder / "s2s-export.yaml").read_text())
        assert description["format"] == kind
        assert (description["beam_size"], description["max_length"]) == (1, 20)


def test_a_keras_export_loads_and_translates_without_s2s(trained, artefacts):
    folder = str(artefacts["keras"])
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
    expected = Translator.from_run(Run(trained)).translate(lines.splitlines())
    assert found == [translation.text for translation in expected]
    assert expected[-1].is_long
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 5]])}
    expected = np.array(load_model(Run(trained)).training_model(inputs))
    np.testing.assert_allclose(json.loads(logits), expected, atol=1e-5)


def test_a_keras_export_consists_of_layers_that_keras_knows(artefacts):
    for name in ("training", "encoder", "decoder"):
        model = keras.saving.load_model(artefacts["keras"] / f"{name}.keras")
        assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


@pytest.mark.parametrize("changes", [VARIANTS[0], VARIANTS[9], VARIANTS[-1]], ids=name_of)
def test_the_models_of_a_recurrent_variant_load_without_its_layers_or_are_left_out(
    changes, tmp_path, monkeypatch
):
    seq2seq = randomised(make_model(model_settings(**changes)))
    monkeypatch.setattr(keras_models, "write_description", lambda *_: None)
    left_out = keras_models.write(tmp_path, seq2seq, None, None)
    is_scanned = "decoder__input_feeding" in changes
    assert left_out.startswith("training.keras is left out") == is_scanned
    assert (tmp_path / "training.keras").exists() != is_scanned
    loaded = SimpleNamespace(
        encoder=keras.saving.load_model(tmp_path / "encoder.keras"),
        decoder=keras.saving.load_model(tmp_path / "decoder.keras"),
    )
    found = by_encoder_and_decoder(loaded)
    np.testing.assert_allclose(found, by_training_model(seq2seq), atol=1e-5)


def test_a_saved_model_searches_with_the_beam_of_the_run(trained, tmp_path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    config = run.config()
    changed = {"beam_size": 4, "n_best": 2, "min_length": 3, "length_penalty": 0.5}
    decoding = config.decoding.model_copy(update=changed)
    run.write_config(config.model_copy(update={"decoding": decoding}))
    output, result = export(run, "saved_model", None)
    assert output == run.export("saved_model") and result.sentences == 24
    source, target = (run.tokenizer_file(side) for side in ("source", "target"))
    tokenizers = Tokenizers.load(source, target, config.tokenizer.type)
    (ids,) = tokenizers.source.encode(["7 0 3 3"])
    ((expected, _),) = Translator.from_run(run).search([ids])
    # Padding and another sentence beside it change nothing.
    rows = tf.constant([[*ids, EOS, 0, 0], [*ids[:2], EOS, *[0] * len(ids)]])
    loaded = tf.saved_model.load(str(output / "saved_model"))  # it owns the variables of `serve`
    served = loaded.serve(rows)
    assert [i for i in served["ids"].numpy()[0].tolist() if i] == expected.ids
    assert float(served["log_probability"][0]) == pytest.approx(expected.log_probability, abs=1e-4)


# The proof.


def test_an_artefact_that_translates_otherwise_is_not_written_and_the_earlier_one_stays(
    trained, artefacts, tmp_path, monkeypatch
):
    output = shutil.copytree(artefacts["keras"], tmp_path / "out")
    before = files(output)
    fake_proof(monkeypatch, [9, 9])
    for folder in ("out", "new"):
        with pytest.raises(ExportError, match="does not translate as the run does"):
            export(Run(trained), "keras", tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert files(output) == before


def test_an_artefact_that_fails_to_load_is_reported_with_its_error(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "_BEGINNING", "raise RuntimeError('no such operation')")
    with pytest.raises(
        ExportError, match="does not load in a fresh process: RuntimeError: no such"
    ):
        export(Run(trained), "keras", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_outputs_may_differ_only_at_a_tie(trained, tmp_path, monkeypatch):
    fake_proof(monkeypatch, [9, 9])
    monkeypatch.setattr(proof, "margin", lambda *_: 0.5e-3)
    _, found = export(Run(trained), "keras", tmp_path / "out")
    assert found.ties == found.sentences == 24


def test_an_artefact_that_gives_nothing_is_no_tie(trained, tmp_path, monkeypatch):
    fake_proof(monkeypatch, [])
    monkeypatch.setattr(proof, "margin", lambda *_: 0.0)
    with pytest.raises(ExportError, match="does not translate as the run does"):
        export(Run(trained), "keras", tmp_path / "out")


def test_the_margin_is_the_distance_of_the_two_best_logits(trained):
    seq2seq = load_model(Run(trained))
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 7]])}
    logits = np.array(seq2seq.training_model(inputs), np.float64)[0]
    second, best = np.sort(logits[-1, 1:])[-2:]
    assert proof.margin(seq2seq, [5, 6], [7]) == pytest.approx(best - second, abs=1e-6)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = logs[0, 7] + logs[1, 9]
    assert proof.log_probability(seq2seq, [5, 6], [7, 9]) == pytest.approx(expected, abs=1e-5)


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
