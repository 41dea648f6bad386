import itertools
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.vectors import start_from_vectors
from s2s_cli.schema import Model, SideFiles
from s2s_cli.schema import Tokenizer as TokenizerConfig
from s2s_cli.text.tokenizer import Tokenizer, learn

SOURCE_TYPES, TARGET_TYPES = 11, 13
SOURCE = np.array([[5, 6, 7, 3, 0, 0], [8, 9, 10, 4, 5, 3]], np.int32)
TARGET_IN = np.array([[2, 5, 6, 7], [2, 8, 12, 0]], np.int32)


def model_config(**changes) -> Model:
    settings = {
        "architecture": "lstm",
        "embedding": {"size": 6, "initializer": "random_normal"},
        "encoder": {"units": 4},
        "decoder": {"units": 8},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            settings[section] = {**settings.get(section, {}), name: value}
        else:
            settings[section] = value
    return Model.model_validate(settings)


ARCHITECTURES = [
    {"architecture": architecture, "decoder__attention": attention}
    for architecture, attention in itertools.product(
        ("lstm", "gru"), ("none", "dot", "general", "additive")
    )
] + [
    {"decoder__initial_state": "mean"},
    {"decoder__initial_state": "mean", "decoder__attention": "none", "architecture": "gru"},
    {"encoder__bidirectional": False, "encoder__units": 8},
    {"encoder__bidirectional": False},
    {"encoder__layers": 2, "decoder__layers": 3},
    {"encoder__layers": 3, "decoder__layers": 1, "architecture": "gru"},
    {"embedding__tied": True},
    {"embedding__tied": True, "decoder__attention": "none"},
]


def name_of(changes) -> str:
    return ",".join(str(value) for value in changes.values())


def teacher_forced(seq2seq, source_ids=SOURCE, target_in_ids=TARGET_IN) -> np.ndarray:
    inputs = {"source_ids": source_ids, "target_in_ids": target_in_ids}
    return np.array(seq2seq.training_model(inputs, training=False))


def step_by_step(seq2seq, source_ids=SOURCE, target_in_ids=TARGET_IN) -> np.ndarray:
    known, logits = dict(seq2seq.encoder({"source_ids": source_ids}, training=False)), []
    for position in range(target_in_ids.shape[1]):
        last_ids = keras.ops.convert_to_tensor(target_in_ids[:, position, None])
        outputs = seq2seq.decoder({"target_in_ids": last_ids, **known}, training=False)
        known |= {name: outputs[name] for name in known.keys() & outputs.keys()}
        logits.append(np.array(outputs["logits"]))
    return np.stack(logits, axis=1)


@pytest.mark.parametrize("changes", ARCHITECTURES, ids=name_of)
def test_step_by_step_logits_are_the_teacher_forced_ones(changes):
    seq2seq = Seq2Seq(model_config(**changes), SOURCE_TYPES, TARGET_TYPES)
    np.testing.assert_allclose(step_by_step(seq2seq), teacher_forced(seq2seq), atol=1e-5, rtol=0)


@pytest.mark.parametrize("changes", ARCHITECTURES, ids=name_of)
def test_more_padding_changes_no_number(changes):
    seq2seq = Seq2Seq(model_config(**changes), SOURCE_TYPES, TARGET_TYPES)
    wider = np.pad(SOURCE, ((0, 0), (0, 5)))
    longer = np.pad(TARGET_IN, ((0, 0), (0, 3)))
    padded = teacher_forced(seq2seq, wider, longer)[:, : TARGET_IN.shape[1]]
    np.testing.assert_allclose(padded, teacher_forced(seq2seq), atol=1e-6, rtol=0)


def test_a_short_row_beside_a_long_one_gets_what_it_gets_alone():
    seq2seq = Seq2Seq(model_config(), SOURCE_TYPES, TARGET_TYPES)
    alone = teacher_forced(seq2seq, SOURCE[:1, :4], TARGET_IN[:1])
    np.testing.assert_allclose(teacher_forced(seq2seq)[:1], alone, atol=1e-6, rtol=0)


def test_the_three_models_are_made_of_the_same_layer_objects():
    seq2seq = Seq2Seq(model_config(), SOURCE_TYPES, TARGET_TYPES)
    trained = {id(layer) for layer in seq2seq.training_model.layers if layer.weights}
    for model in (seq2seq.encoder, seq2seq.decoder):
        with_weights = {id(layer) for layer in model.layers if layer.weights}
        assert with_weights and with_weights <= trained
    trained_weights = {id(weight) for weight in seq2seq.training_model.weights}
    used = {id(weight) for model in (seq2seq.encoder, seq2seq.decoder) for weight in model.weights}
    dropout = {id(w) for w in seq2seq.training_model.weights if "seed_generator" in w.path}
    assert trained_weights - dropout <= used


def test_a_shared_and_tied_embedding_is_one_weight():
    config = model_config(embedding__shared=True, embedding__tied=True)
    seq2seq = Seq2Seq(config, TARGET_TYPES, TARGET_TYPES)
    tables = [w for w in seq2seq.training_model.weights if TARGET_TYPES in w.shape]
    assert len(tables) == 1


NEW_PROCESS = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from s2s_cli import runtime; runtime.start(1)
import numpy as np
import test_model as t
from s2s_cli.model.seq2seq import Seq2Seq
for folder in map(pathlib.Path, sys.argv[2:]):
    case = json.loads((folder / "case.json").read_text())
    seq2seq = Seq2Seq(t.model_config(**case["changes"]), t.SOURCE_TYPES, t.TARGET_TYPES)
    assert not np.allclose(t.step_by_step(seq2seq), case["expected"], atol=1e-5)
    seq2seq.training_model.load_weights(folder / "model.weights.h5")
    for found in (t.step_by_step(seq2seq), t.teacher_forced(seq2seq)):
        np.testing.assert_allclose(found, case["expected"], atol=1e-5, rtol=0)
    print("same", case["changes"])
"""


def test_parity_holds_in_a_new_process_that_loads_the_saved_weights(tmp_path):
    folders = []
    for index, changes in enumerate(ARCHITECTURES):
        folder = tmp_path / str(index)
        folder.mkdir()
        seq2seq = Seq2Seq(model_config(**changes), SOURCE_TYPES, TARGET_TYPES)
        seq2seq.training_model.save_weights(folder / "model.weights.h5")
        case = {"changes": changes, "expected": teacher_forced(seq2seq).tolist()}
        (folder / "case.json").write_text(json.dumps(case))
        folders.append(str(folder))
    process = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, str(Path(__file__).parent), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.count("same") == len(ARCHITECTURES), process.stderr[-2000:]


@pytest.mark.parametrize("tied", [True, False])
def test_bfloat16_computes_in_bfloat16_and_keeps_weights_and_logits_in_float32(tied):
    config = model_config(embedding__tied=tied)
    seq2seq = Seq2Seq(config, SOURCE_TYPES, TARGET_TYPES, precision="bfloat16")
    assert seq2seq.layers.decoder_layers[0].compute_dtype == "bfloat16"
    assert {w.dtype for w in seq2seq.training_model.trainable_weights} == {"float32"}
    assert teacher_forced(seq2seq).dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"


def test_an_initializer_takes_its_arguments_and_a_wrong_one_is_named():
    config = model_config(embedding__initializer={"name": "constant", "value": 0.25})
    seq2seq = Seq2Seq(config, SOURCE_TYPES, TARGET_TYPES)
    assert np.all(keras.ops.convert_to_numpy(seq2seq.layers.source_embedding.embeddings) == 0.25)
    with pytest.raises(ConfigError, match=r"embedding\.initializer: Keras does not make"):
        Seq2Seq(model_config(embedding__initializer={"name": "zeros", "mean": 1}), 5, 5)


def test_a_frozen_embedding_is_not_trained():
    seq2seq = Seq2Seq(model_config(embedding__trainable=False), SOURCE_TYPES, TARGET_TYPES)
    names = [weight.path for weight in seq2seq.training_model.trainable_weights]
    assert names and not [name for name in names if "embedding" in name]


@pytest.fixture
def words(tmp_path) -> Tokenizer:
    config = TokenizerConfig(type="word", vocab_size=50)
    return learn(["the dog , sees the cat."], config, tmp_path / "t.model", seed=1, threads=1)


def vectors_model(words, size=3):
    config = model_config(embedding__size=size)
    return Seq2Seq(config, words.size, words.size)


@pytest.mark.parametrize("header", ["", "3 3\n"])
def test_word_vectors_are_matched_by_piece_and_counted(tmp_path, words, header):
    path = tmp_path / "w.vec"
    path.write_text(header + "dog 1 2 3\ncat 4 5 6\nat home 7 8 9\n. 1 1 1\n")
    seq2seq = vectors_model(words)
    before = keras.ops.convert_to_numpy(seq2seq.layers.source_embedding.embeddings)
    (report,) = start_from_vectors(seq2seq, SideFiles(source=str(path)), words, words)
    after = keras.ops.convert_to_numpy(seq2seq.layers.source_embedding.embeddings)
    rows = {piece: after[index].tolist() for index, piece in enumerate(words.pieces())}
    assert (report.matched, report.types) == (3, words.size)
    assert rows["▁dog"] == [1, 2, 3] and rows["▁cat"] == [4, 5, 6] and rows["▁⁀."] == [1, 1, 1]
    untouched = words.pieces().index("▁the")
    assert after[untouched].tolist() == before[untouched].tolist()


@pytest.mark.parametrize("header", ["", "2 2\n", "99999999999999 2\n"])
def test_vectors_of_another_size_are_refused(tmp_path, words, header):
    (tmp_path / "w.vec").write_text(header + "bird 1 2\ndog 1 2\n")
    with pytest.raises(DataError, match=r"w\.vec:1: the vectors have 2 values"):
        start_from_vectors(
            vectors_model(words), SideFiles(source=str(tmp_path / "w.vec")), words, words
        )


def test_an_array_fills_the_whole_table_and_must_have_its_shape(tmp_path, words):
    seq2seq = vectors_model(words)
    table = np.arange(words.size * 3, dtype=np.float32).reshape(-1, 3)
    np.save(tmp_path / "t.npy", table)
    start_from_vectors(seq2seq, SideFiles(target=str(tmp_path / "t.npy")), words, words)
    assert (
        keras.ops.convert_to_numpy(seq2seq.layers.target_embedding.embeddings).tolist()
        == table.tolist()
    )
    np.save(tmp_path / "t.npy", table[1:])
    with pytest.raises(DataError, match="the array is of shape"):
        start_from_vectors(seq2seq, SideFiles(target=str(tmp_path / "t.npy")), words, words)
