"""What `s2s inspect` shows: who shares which layer, and the states on the way to a translation."""

import json
import xml.etree.ElementTree as ET

import keras
import numpy as np
import pytest
from conftest import MODELS, s2s_here, tiny_settings, write_config

import s2s_cli as s2s
from s2s_cli.decoding.loading import load_model
from s2s_cli.inspection.picture import picture
from s2s_cli.inspection.structure import shared_layers, structure_of_config
from s2s_cli.runs.run import Run

SENTENCES = ["1 2 3 4", "7"]


@pytest.fixture(scope="module", params=MODELS)
def run(request, trained_as) -> Run:
    """A finished run of each family."""
    return Run(trained_as(request.param))


def rows_of(run: Run) -> list[dict]:
    found = s2s_here("inspect", run.root, "--json")
    assert found.returncode == 0
    return json.loads(found.out)["layers"]


# Structure.


def test_every_layer_is_listed_once_with_the_models_that_call_it(run):
    seq2seq, rows = load_model(run), rows_of(run)
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names))
    assert sum(row["parameters"] for row in rows) == seq2seq.training_model.count_params()
    assert {path for row in rows for path in row["weights"]} == set(seq2seq.weights)
    # The training model calls all of them; so the other two have no weights of their own.
    assert all("training" in row["models"] for row in rows)
    assert {tuple(row["models"][1:]) for row in rows} >= {("encoder",), ("decoder",)}
    by_name = {row["name"]: row for row in rows}
    if "embedding" in by_name:  # one table for both sides
        assert by_name["embedding"]["models"] == ["training", "encoder", "decoder"]
    encoder = sum(row["parameters"] for row in rows if "encoder" in row["models"])
    assert encoder == seq2seq.encoder.count_params()


def test_a_layer_that_is_not_the_same_object_would_be_another_row(run):
    seq2seq = load_model(run)
    whole = shared_layers(seq2seq)
    vars(seq2seq)["encoder"] = keras.models.clone_model(seq2seq.encoder)
    copied = shared_layers(seq2seq)
    assert len(copied) > len(whole)
    assert any(layer.models == ("encoder",) for layer in copied)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MODELS)
def test_a_config_is_shown_before_training_with_bounds(corpus, tmp_path, architecture):
    config = write_config(tmp_path / "c.yaml", tiny_settings(corpus, architecture))
    lines = s2s_here("inspect", config).out.splitlines()
    assert lines[0].split()[:5] == ["layer", "weights", "parameters", "share", "training"]
    assert lines[0].split()[5:] == ["encoder", "decoder"]
    assert "The vocabularies are not learned yet; at most 60 tokens are counted for each." in lines
    (total,) = (line for line in lines if line.startswith("all, each once"))
    assert int(total.split()[3].replace(",", "")) > 0


def test_the_picture_has_each_layer_once_and_a_station_for_each_call(run, tmp_path):
    done = s2s_here("inspect", run.root, "--svg", tmp_path / "p.svg")
    assert (done.returncode, done.out) == (0, "")
    text, rows = (tmp_path / "p.svg").read_text(), rows_of(run)
    root = ET.fromstring(text)
    space = {"s": "http://www.w3.org/2000/svg"}
    shown = [element.text for element in root.iterfind("s:text", space)]
    assert all(shown.count(row["name"]) == 1 for row in rows)
    stations = root.findall("s:circle", space)
    assert len(stations) == sum(len(row["models"]) for row in rows)
    assert root.find("s:title", space).text == f"The models of {run.root}"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_in_a_picture_are_escaped(corpus, tmp_path):
    from s2s_cli.config.load import load_config

    config = load_config(write_config(tmp_path / "c.yaml", tiny_settings(corpus)), ())
    found = ET.fromstring(picture(structure_of_config(config), "<a & b>"))
    assert found.find("{http://www.w3.org/2000/svg}title").text == "<a & b>"


# States.


def cut(seq2seq, ids: dict) -> dict[str, np.ndarray]:
    """The states of the training model, by Keras models that end where each of them is made."""
    model = seq2seq.training_model
    names = [layer.name for layer in model.layers]
    ends = {}
    for side in ("encoder", "decoder"):
        count = len([n for n in names if n.startswith(f"{side}_") and n.endswith("_contract")])
        for index in range(count):
            before = f"{side}_embedding" if index == 0 else f"{side}_{index - 1}"
            ends[before] = model.get_layer(f"{side}_{index}_attention_norm").input
        if count:  # a Transformer, which normalises first
            ends[f"{side}_{count - 1}"] = model.get_layer(f"{side}_norm").input
            ends[f"{side}_norm"] = model.get_layer(f"{side}_norm").output
    if not ends:
        ends = {
            "encoder_embedding": model.get_layer("source_dropout").output,
            "decoder_embedding": model.get_layer("target_dropout").output,
            "decoder_0": model.get_layer("decoder_0").output[0],
            "readout": model.get_layer("readout").output,
        }
    values = keras.Model(model.inputs, list(ends.values()))(ids)
    return {name: np.asarray(value) for name, value in zip(ends, values, strict=True)}


def test_the_states_are_those_of_the_model_cut_at_each_layer(run):
    translator = s2s.load(run)
    states = translator.states(SENTENCES)
    source, target = translator._tokenizers.source, translator._tokenizers.target
    ids = {
        side: np.array([
            [numbers.index(token) if token else 0 for token in [*row, *[""] * (longest - len(row))]]
            for row in rows
        ], np.int32)
        for side, rows, numbers in (
            ("source_ids", states.source_tokens, source.tokens()),
            ("target_in_ids", states.target_tokens, target.tokens()),
        )
        for longest in [max(map(len, rows))]
    }  # fmt: skip
    np.testing.assert_array_equal(states.source_mask, ids["source_ids"] != 0)
    expected = cut(translator.models, ids)
    assert len(expected) >= 4 and expected.keys() <= states.hidden.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(states.hidden[name], values, atol=1e-6, err_msg=name)


def test_padding_beside_a_sentence_changes_none_of_its_states(run):
    translator = s2s.load(run)
    both = translator.states(SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        alone = translator.states([sentence])
        for name, values in alone.hidden.items():
            kept = both.hidden[name][row, : values.shape[1]]
            np.testing.assert_allclose(kept, values[0], atol=1e-6, err_msg=name)
            np.testing.assert_allclose(both.mean(name)[row], values[0].mean(axis=0), atol=1e-5)
    shorter = both.mean("encoder_embedding")[1] - both.mean_over_padding("encoder_embedding")[1]
    assert np.abs(shorter).max() > 1e-3


def test_attentions_of_all_heads_sum_to_one_and_leave_padding_out(run):
    states = s2s.load(run).states(SENTENCES)
    is_transformer = "decoder_0_memory_attention" in states.attentions
    names = {"attention"}
    if is_transformer:
        names |= {"encoder_0_self_attention", "decoder_0_self_attention",
                  "decoder_0_memory_attention"}  # fmt: skip
    assert states.attentions.keys() == names
    for name, weights in states.attentions.items():
        assert weights.ndim == 4 and weights.shape[1] == (1 if name == "attention" else 2)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
        if name in ("attention", "decoder_0_memory_attention", "encoder_0_self_attention"):
            assert not weights[1][..., ~states.source_mask[1]].any()


def test_states_are_written_to_a_file_and_listed(run, tmp_path):
    file = tmp_path / "out.npz"
    done = s2s_here("inspect", run.root, "--states", file, *SENTENCES)
    assert done.returncode == 0 and "encoder_embedding" in done.out
    with np.load(file) as found:
        assert found["source_tokens"].shape == found["source_mask"].shape
        assert found["encoder_0"].dtype == np.float32
        assert "".join(found["source_tokens"][0]).startswith("▁1▁2▁3▁4")
    done = s2s_here("inspect", run.root, "--mean", "encoder_0", *SENTENCES)
    assert "padding; a plain average differs by up to" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--states", "o.npz"], "--states and --mean need a sentence."),
        (["1 2"], "TEXT is for --states and --mean."),
        (["--mean", "encoder_9", "1"], "There is no hidden state 'encoder_9'."),
        (["--mean", "encoder_0", " "], "There are no states of an empty sentence."),
    ],
)
def test_what_cannot_be_shown_is_said(trained, arguments, message):
    done = s2s_here("inspect", trained, *arguments)
    assert done.returncode == 1 and done.err.startswith(f"error: {message}")


def test_an_ensemble_has_no_models_of_its_own(trained):
    with pytest.raises(s2s.S2SError, match="An ensemble has no models of its own"):
        _ = s2s.load([trained, trained]).models


def test_the_models_are_layers_of_another_model(trained):
    """A classifier on the frozen encoder: its weights stay, and those of the classifier change."""
    models = s2s.load(trained).models
    encoder = models.encoder
    encoder.trainable = False
    ids = keras.Input((None,), dtype="int32")
    memory = encoder({"source_ids": ids})["memory"]
    pooled = keras.layers.GlobalAveragePooling1D()(memory)
    classifier = keras.Model(ids, keras.layers.Dense(1, activation="sigmoid")(pooled))
    assert len(classifier.trainable_weights) == 2
    found = classifier(np.array([[5, 6, 3]], np.int32))
    assert found.shape == (1, 1)
