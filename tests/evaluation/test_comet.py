"""COMET is used if its package is there; here a module in its place shows how it is called."""

import sys
from types import SimpleNamespace

import pytest

from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.evaluation.comet import Comet
from s2s_cli.evaluation.inputs import EvaluationSet

TEST_SET = EvaluationSet(["a house", "a dog"], [["ein Haus", "ein Hund"], ["Haus", "Hund"]])


class FakeComet(SimpleNamespace):
    """The two functions and the method that are used of the package, and the calls of them."""

    def __init__(self):
        super().__init__(calls=[])

    def download_model(self, name):
        if name == "no/model":
            raise KeyError("Model 'no/model' not supported by COMET")
        self.calls.append(("download", name))
        return "/cache/model.ckpt"

    def load_from_checkpoint(self, path):
        self.calls.append(("load", str(path)))
        return self

    def predict(self, samples, batch_size, gpus):
        self.calls.append(("predict", samples, batch_size, gpus))
        return SimpleNamespace(scores=[0.5, 0.75], system_score=0.625)


@pytest.fixture
def comet(monkeypatch) -> FakeComet:
    fake = FakeComet()
    monkeypatch.setitem(sys.modules, "comet", fake)
    return fake


def test_a_model_is_downloaded_loaded_and_given_sources_translations_and_references(comet):
    score = Comet("Unbabel/wmt22-comet-da")(["Haus", "ein Hund"], TEST_SET)
    assert (score.name, score.value) == ("comet", 0.625)
    assert score.signature == "model:Unbabel/wmt22-comet-da"
    samples = [
        {"src": "a house", "mt": "Haus", "ref": "ein Haus"},
        {"src": "a dog", "mt": "ein Hund", "ref": "ein Hund"},
    ]
    assert comet.calls == [
        ("download", "Unbabel/wmt22-comet-da"),
        ("load", "/cache/model.ckpt"),
        ("predict", samples, 8, 0),
    ]


def test_a_checkpoint_file_is_loaded_as_it_is(comet, tmp_path):
    path = tmp_path / "own.ckpt"
    path.write_bytes(b"")
    Comet(str(path))
    assert comet.calls == [("load", str(path))]


def test_a_model_that_cannot_be_loaded_is_one_message(comet):
    with pytest.raises(S2SError) as caught:
        Comet("no/model")
    assert caught.value.message == (
        "--comet no/model: the model cannot be loaded: \"Model 'no/model' not supported by COMET\"."
    )
    assert caught.value.hint == "Name one of https://huggingface.co/Unbabel, or a checkpoint file."


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "comet", None)
    with pytest.raises(ConfigError) as caught:
        Comet("Unbabel/wmt22-comet-da")
    assert caught.value.message == (
        "--comet needs the package unbabel-comet, which is not installed."
    )
    assert caught.value.hint == (
        "pip install torch transformers pytorch-lightning torchmetrics entmax jsonargparse pandas"
        " scipy && pip install --no-deps unbabel-comet"
    )
