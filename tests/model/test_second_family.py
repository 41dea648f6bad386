"""A second family of models works with nothing edited: see `bag_of_embeddings`."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_of_embeddings import BagModel
from conftest import made_once, tiny_settings, train_in_process, write_config
from model_cases import SIZES, WAYS, by_training_model, randomised

from s2s_cli.config.load import override_decoding
from s2s_cli.config.schema import RecurrentModel
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import RunError
from s2s_cli.export.export import export
from s2s_cli.model.family import family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run
from s2s_cli.training.events import Progress, Validated, VectorsMatched

pytestmark = pytest.mark.slow

FAMILIES = (RecurrentModel, BagModel)
SENTENCES = ["1 2", "", "7 0 3 3 9 4"]


def write_bag_config(corpus: Path, folder: Path) -> Path:
    settings = tiny_settings(corpus)
    settings["training"] |= {"optimizer": {"learning_rate": 0.05}, "batch_tokens": "auto"}
    del settings["training"]["batch_size"]
    vectors = folder / "digits.vec"
    vectors.write_text("".join(f"{i} {' '.join([str(i / 10)] * 8)}\n" for i in range(10)))
    embedding = {"size": 8, "vectors": {"source": str(vectors)}}
    settings["model"] = {"architecture": "bag", "embedding": embedding, "dropout": 0.2}
    return write_config(folder / "bag.yaml", settings)


@pytest.fixture(scope="module")
def bag(corpus, tmp_path_factory) -> tuple[Run, Path, list]:
    """A finished run of the second family, its config file, and its events."""

    def make(folder: Path) -> None:
        config = write_bag_config(corpus, folder)
        events = train_in_process(config, folder / "run", families=FAMILIES)
        (folder / "events").write_bytes(pickle.dumps(events))

    folder = made_once(tmp_path_factory, "bag", make)
    events = pickle.loads((folder / "events").read_bytes())
    return Run(folder / "run", FAMILIES), folder / "bag.yaml", events


def test_it_trains_and_begins_with_vectors_from_a_file(bag):
    run, _, events = bag
    assert isinstance(run.config().model, BagModel)
    assert next(e for e in events if isinstance(e, VectorsMatched)).matched == 10
    losses = [event.loss for event in events if isinstance(event, Progress)]
    assert len(losses) > 1 and losses[-1] < losses[0]
    assert any(isinstance(event, Validated) for event in events)


def test_its_run_is_refused_where_the_family_is_unknown(bag):
    with pytest.raises(RunError, match=r"model\.architecture is 'bag'"):
        Translator.from_run(Run(bag[0].root))


def test_it_resumes_as_if_it_had_not_been_stopped(bag, tmp_path):
    whole, config, _ = bag
    train_in_process(config, tmp_path / "run", stop_after=5, families=FAMILIES)
    assert Run(tmp_path / "run").find_checkpoint("latest").name == "step-00000005"
    train_in_process(config, tmp_path / "run", families=FAMILIES)
    expected, found = (r.find_checkpoint("latest") for r in (whole, Run(tmp_path / "run")))
    assert expected.name == found.name == "step-00000012"
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (found / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize("search", [{}, {"beam_size": 3, "n_best": 2}, {"shortlist": 64}], ids=str)
def test_it_translates(bag, search):
    run = bag[0]
    decoding = override_decoding(run.config(), **search)
    found = Translator.from_run(run, decoding=decoding).n_best(SENTENCES)
    assert [bool(row[0].tokens) for row in found] == [True, False, True]
    assert all(not translation.alignment for row in found for translation in row)
    assert len(found[0]) == decoding.n_best


@pytest.mark.parametrize("export_format", ["keras", "saved_model"])
def test_it_exports_with_proof(bag, tmp_path, export_format):
    output, proof = export(bag[0], export_format, tmp_path / "out")
    assert proof.sentences > 20 and proof.ties == 0
    description = yaml.safe_load((output / "s2s-export.yaml").read_text())
    assert description["format"] == export_format


def test_every_way_through_it_gives_the_same_logits():
    settings = BagModel.model_validate({"embedding": {"size": 6}})
    seq2seq = randomised(Seq2Seq(settings, SIZES, LayerFactory.for_training("float32", 1)))
    expected = by_training_model(seq2seq)
    for way in WAYS.values():
        np.testing.assert_allclose(way(seq2seq), expected, atol=1e-5, rtol=0)
    parameters = family_of(settings).parameter_count(settings, SIZES)
    assert parameters == seq2seq.training_model.count_params()
