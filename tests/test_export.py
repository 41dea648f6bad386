import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import s2s

from s2s_cli.commands.export import export
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError
from s2s_cli.export import proof
from s2s_cli.export.keras_models import require_plain
from s2s_cli.run import Run
from s2s_cli.text.tokenizer import EOS

WITHOUT_S2S = "import sys; sys.modules['s2s_cli'] = None; "


@pytest.mark.parametrize("export_format", ["keras", "saved_model"])
def test_an_export_is_proven_in_a_fresh_process_and_says_so(trained, tmp_path, export_format):
    process = s2s("export", trained, "--format", export_format, "-o", tmp_path / "out")
    assert process.returncode == 0, process.err
    assert "a fresh process gave the run's own translations for 24 of 24 sentences" in process.err
    assert not list(tmp_path.glob(".*")) and not list((tmp_path / "out").glob(".*"))


def test_a_saved_model_searches_with_the_beam_of_the_run(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = Run(run).config()
    decoding = config.decoding.model_copy(update={"beam_size": 4})
    Run(run).write_config(config.model_copy(update={"decoding": decoding}))
    output, _ = export(Run(run), "saved_model", None, "best")
    translator = Translator.from_run(Run(run))
    (source,) = translator._source.encode(["7 0 3 3"])
    (expected,) = translator.search([source])
    loaded = tf.saved_model.load(str(output / "saved_model"))
    served = loaded.serve(tf.constant([[*source, EOS]]))
    assert [i for i in served["ids"].numpy()[0].tolist() if i] == expected[0].ids
    assert float(served["log_probability"][0]) == pytest.approx(
        expected[0].log_probability, abs=1e-4
    )


def test_the_keras_export_translates_without_this_program(trained, tmp_path):
    export(Run(trained), "keras", tmp_path / "out", "best")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "training.keras", "encoder.keras", "decoder.keras", "source.model", "target.model",
        "s2s-export.yaml", "translate.py",
    }  # fmt: skip
    program = (
        WITHOUT_S2S + f"import runpy; runpy.run_path({str(tmp_path / 'out' / 'translate.py')!r},"
        " run_name='__main__')"
    )
    lines = "1 2 3\n\n4 5\n"
    process = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = Translator.from_run(Run(trained)).translate(lines.splitlines())
    assert process.stdout.splitlines() == [translation.text for translation in expected]


def test_the_exported_training_model_loads_with_keras_alone(trained, tmp_path):
    export(Run(trained), "keras", tmp_path / "out", "best")
    program = (
        WITHOUT_S2S
        + "import json, keras, numpy as np\n"
        + f"m = keras.saving.load_model({str(tmp_path / 'out' / 'training.keras')!r})\n"
        + "ids = {'source_ids': np.array([[5, 6, 3]]), 'target_in_ids': np.array([[2, 5]])}\n"
        + "print(json.dumps(np.array(m(ids)).tolist()))"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    model = keras.saving.load_model(tmp_path / "out" / "training.keras")
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 5]])}
    np.testing.assert_allclose(json.loads(process.stdout), np.array(model(inputs)), atol=1e-5)


def test_an_artefact_that_says_something_else_fails_and_leaves_what_was_there(
    trained, tmp_path, monkeypatch
):
    export(Run(trained), "saved_model", tmp_path / "out", "best")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    monkeypatch.setattr(proof, "_in_fresh_process", lambda folder, name, ids: [[9, 9]] * len(ids))
    with pytest.raises(ExportError, match="does not translate as the run does"):
        export(Run(trained), "saved_model", tmp_path / "out", "best")
    with pytest.raises(ExportError):
        export(Run(trained), "keras", tmp_path / "new", "best")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    after = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert before == after


def test_outputs_may_part_only_at_a_tie(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "_in_fresh_process", lambda folder, name, ids: [[9, 9]] * len(ids))
    monkeypatch.setattr(proof, "margin", lambda *_: 0.5e-3)
    _, found = export(Run(trained), "keras", tmp_path / "out", "best")
    assert found.ties == found.sentences == 24


def test_the_margin_is_the_distance_of_the_two_best_logits(trained):
    run = Run(trained)
    from s2s_cli.decoding.translator import load_model

    seq2seq, _, _ = load_model(run, run.config(), "best")
    inputs = {"source_ids": np.array([[5, 6, 3]]), "target_in_ids": np.array([[2, 7]])}
    second, best = np.sort(np.array(seq2seq.training_model(inputs))[0, -1, 1:])[-2:]
    assert proof.margin(seq2seq, [5, 6], [7]) == pytest.approx(best - second, abs=1e-6)


def test_a_layer_that_keras_does_not_know_is_refused():
    class Foreign(keras.layers.Layer):
        def call(self, inputs):
            return inputs + 1

    inputs = keras.Input((3,))
    with pytest.raises(ExportError, match="layers that Keras does not know: Foreign"):
        require_plain(keras.Model(inputs, Foreign()(inputs)))


def test_a_directory_that_is_no_export_is_never_replaced(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="there is something in its place that is not an export"):
        export(Run(trained), "keras", tmp_path, "best")
    assert (tmp_path / "thesis.txt").read_text() == "mine"
