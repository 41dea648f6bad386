"""What is particular to some formats: weights of fewer bits, refusals, the order of an ONNX graph."""

import importlib.metadata
import importlib.util
import json
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import tensorflow as tf

from s2s_cli.cli.app import main
from s2s_cli.config.load import override_decoding
from s2s_cli.decoding.search import length_limits
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError
from s2s_cli.export import FORMAT_NAMES, PRECISIONS, text_graph
from s2s_cli.export.export import export
from s2s_cli.export.formats import FORMATS
from s2s_cli.export.fresh_process import Answer, translate_in_fresh_process
from s2s_cli.export.onnx_models import QUANTIZED_SIZE, OnnxModels, quantized
from s2s_cli.export.onnx_order import put_in_order
from s2s_cli.export.quality import HeldOut, compare_quality, held_out
from s2s_cli.runs.run import Run
from s2s_cli.text.marks import after_decoding, before_encoding

pytestmark = pytest.mark.slow


# Weights of fewer bits.


@pytest.mark.parametrize("large", [0, 1], ids=["a large row", "a large column"])
def test_weights_are_quantised_along_the_axis_that_loses_less(large):
    values = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    values[(2, slice(None)) if large == 0 else (slice(None), 2)] *= 100
    values[:, 5] = 0
    axis, integers, scales = quantized(values)
    assert (axis, integers.dtype, scales.shape) == (large, np.int8, ((20,), (30,))[large])
    spread = np.expand_dims(scales, 1 - axis)
    assert np.all(np.abs(integers * spread - values) <= spread / 2 + 1e-6)


def test_an_int8_export_has_no_large_float32_weights_and_scores_nearly_the_same(
    trained_as, tmp_path
):
    run = Run(trained_as("lstm"))
    output, proof = export(run, "onnx", tmp_path / "out", precision="int8")
    for path in output.glob("*.onnx"):
        graph = onnx.load(path).graph
        large = [
            one.data_type
            for one in graph.initializer
            if len(one.dims) == 2 and np.prod(one.dims) >= QUANTIZED_SIZE
        ]
        assert large and set(large) == {onnx.TensorProto.INT8}
    assert proof.precision == "int8"
    assert proof.identical > 0 == proof.ties
    pairs = held_out(run)
    assert proof.quality.sentences == len(pairs.sources) > 0
    assert proof.sentences > len(pairs.sources)
    assert abs(proof.quality.run - proof.quality.artefact) < 5
    assert 0 < proof.logit_difference < 0.1
    found = json.loads((output / "proof.json").read_text())
    assert found["quality"]["signature"].startswith("nrefs:1|case:mixed")
    assert "weights, int8 |" in (output / "README.md").read_text()


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_ctranslate2_has_weights_of_fewer_bits(trained_as, tmp_path, precision):
    run = Run(trained_as("transformer"))
    beam = override_decoding(run.config(), beam_size=2)  # ends by a rule of its own
    output, proof = export(run, "ctranslate2", tmp_path / "out", decoding=beam, precision=precision)
    config = json.loads((output / "ctranslate2" / "config.json").read_text())
    assert (config["bos_token"], config["eos_token"], config["unk_token"]) == (
        "<s>", "</s>", "<unk>",
    )  # fmt: skip
    assert proof.quality.sentences and proof.identical > proof.sentences / 2


# Enough held-out sentences.


def answering(texts_of_run: list[str], texts: list[str]) -> SimpleNamespace:
    """A subject of a proof whose run and artefact give these translations."""
    translated = [SimpleNamespace(text=text, source_tokens=()) for text in texts_of_run]
    return SimpleNamespace(
        export_format=SimpleNamespace(name="onnx"),
        translator=SimpleNamespace(translate=lambda sentences: translated),
        answer=lambda sentences: Answer(texts, [[]] * len(texts), (1.0, 1.0)),
    )


def test_worse_translations_are_refused_where_enough_sentences_show_it():
    rng = random.Random(0)
    good = [" ".join(rng.choices("abcdefgh", k=9)) for _ in range(500)]
    bad = [line[:-3] + "x y" if i % 9 == 0 else line for i, line in enumerate(good)]
    subject = answering(["", *good], ["", *bad])
    with pytest.raises(ExportError) as caught:
        compare_quality(subject, [""], HeldOut(good, good), "13a")
    assert caught.value.message.startswith(
        "The onnx export translates worse than the run: BLEU 96.94"
    )
    assert "on 500 held-out sentences; the run, 100.00. At least 99.50 is" in caught.value.message
    few = HeldOut(good[:499], good[:499])
    found = compare_quality(answering(["", *good[:499]], ["", *bad[:499]]), [""], few, "13a")
    assert (found.different, found.quality.sentences) == (56, 499)
    assert found.quality.run == pytest.approx(100)
    assert found.quality.artefact < 98
    assert found.notes[0].startswith("499 held-out sentences with references are too few")
    with pytest.raises(ExportError, match=r"At least 49\.50 is wanted"):
        compare_quality(answering(good[:20], ["x"] * 20), [], HeldOut(good[:20], good[:20]), "13a")
    same = compare_quality(answering(["", *good], ["", *good]), [""], HeldOut(good, good), "13a")
    assert (same.different, same.quality.artefact) == (0, same.quality.run)


def test_a_run_without_a_validation_has_no_held_out_pairs(tmp_path):
    assert held_out(Run(tmp_path)) == HeldOut([], [])


# What is refused, before anything is written.


def refused(capsys, *arguments: str) -> list[str]:
    """What an export that is refused prints."""
    assert main(["export", *map(str, arguments)]) == 1
    return capsys.readouterr().err.splitlines()


def test_a_recurrent_model_is_refused_by_ctranslate2(trained, capsys):
    assert refused(capsys, trained, "--format", "ctranslate2") == [
        "error: Format ctranslate2 is not possible: CTranslate2 has no recurrent models, and this run"
        " has one. Nothing was written.",
        "hint: Choose another format; `s2s export --help` lists them.",
    ]
    assert not Run(trained).export("ctranslate2").exists()


def test_a_precision_is_refused_by_formats_that_have_none(trained, capsys):
    assert refused(capsys, trained, "--format", "keras", "--precision", "int8") == [
        "error: --precision is int8, and an export in format keras has weights in float32. Nothing was"
        " written.",
        "hint: Leave --precision out, or choose another format.",
    ]
    assert refused(capsys, trained, "--format", "onnx", "--precision", "int4")[0] == (
        "error: --precision is 'int4'; choose from float32, int8, bfloat16."
    )
    assert {one for each in FORMATS.values() for one in each.precisions} == set(PRECISIONS)


def test_packages_that_are_missing_are_named_with_the_command_that_installs_them(
    trained, capsys, monkeypatch
):
    version = importlib.metadata.version

    def absent(name: str) -> str:
        if name in ("onnxruntime", "tf2onnx"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert refused(capsys, trained, "--format", "onnx") == [
        "error: Format onnx needs tf2onnx, onnxruntime, not installed here. Nothing was written.",
        'hint: pip install "s2s-cli[onnx]"',
    ]


def test_every_format_with_packages_of_its_own_has_an_extra():
    extras = set(importlib.metadata.metadata("s2s-cli").get_all("Provides-Extra"))
    for name in FORMAT_NAMES:
        one = FORMATS[name]
        free = {"keras", "tensorflow", "numpy", "tensorflow-text"}  # the last is not always needed
        needed = {*one.packages, *one.writer_packages} - free
        assert bool(needed) == (one.extra is not None)
        assert one.extra is None or one.extra in extras


def test_a_format_without_tensorflow_is_proven_without_it(tmp_path):
    (tmp_path / "translate.py").write_text("import tensorflow")
    for packages, name in ((["onnxruntime"], "tensorflow"), (["tensorflow"], "Translator")):
        with pytest.raises(ExportError, match=name):
            translate_in_fresh_process(tmp_path, "onnx", ["a"], packages=packages)


# Graphs.


STRINGS = [
    "",
    "  a\u2028b \u3000",
    "\0",
    "\u2581\u2582\u2040",
    "\u25820\u25821 \u2582\u25821",
    "a\x1f",
]


def test_text_is_prepared_in_a_graph_as_it_is_in_python():
    encoded = [before_encoding(one.strip(), is_word_level=False) for one in STRINGS]
    found = text_graph._before_encoding(tf.constant(STRINGS)).numpy()
    assert [one.decode() for one in found] == encoded
    decoded = [after_decoding(one, is_word_level=False) for one in (*STRINGS, *encoded)]
    found = text_graph._after_decoding(tf.constant([*STRINGS, *encoded])).numpy()
    assert [one.decode() for one in found] == decoded


def test_a_graph_takes_text_and_says_what_it_has_cut(trained, artefacts):
    folder = str(artefacts["saved_model"] / "text")
    texts = ["1 2 3", "", "7", " ".join("1234567890" * 6)]
    program = (
        "import json, sys, tensorflow as tf, tensorflow_text\n"
        f"loaded = tf.saved_model.load({folder!r})\n"
        f"found = loaded.serve(tf.constant({texts!r}))\n"
        "print(json.dumps([[one.decode() for one in found['text'].numpy()],"
        " found['was_cut'].numpy().tolist()]))"
    )
    process = subprocess.run(
        [sys.executable, "-IB", "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    found, was_cut = json.loads(process.stdout)
    expected = Translator.from_run(Run(trained)).translate(texts)
    assert found[:3] == [one.text for one in expected[:3]]
    assert was_cut == [False, False, False, True] == [one.is_long for one in expected]


@pytest.mark.parametrize(
    ("kind", "module", "message"),
    [
        ("word", "tensorflow_text", "a vocabulary of words needs a regular expression"),
        ("char", "no_such_module", 'needs tensorflow-text; pip install "s2s-cli[text]"'),
        ("char", "tensorflow_text", None),
    ],
)
def test_why_there_is_no_graph_that_takes_text_is_said(monkeypatch, kind, module, message):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: find(module))
    found = text_graph.why_left_out(SimpleNamespace(tokenizer=SimpleNamespace(type=kind)))
    assert found is None if message is None else message in found


def test_an_onnx_graph_has_one_order_and_one_set_of_names(trained, tmp_path):
    from s2s_cli.decoding.loading import load_model

    config = Run(trained).config()
    OnnxModels().write(tmp_path, load_model(Run(trained)), config, "float32")
    for name in ("search", "decoder"):
        expected = onnx.load(tmp_path / f"{name}.onnx")
        for seed in (1, 2):
            model = onnx.load(tmp_path / f"{name}.onnx")
            kept = {one.name for one in (*model.graph.input, *model.graph.output)}
            scramble(model.graph, {name: name for name in kept}, random.Random(seed))
            assert model != expected
            put_in_order(model.graph)
            for one in (*model.graph.input, *model.graph.output):
                one.type.tensor_type.shape.dim[0].dim_param = "sentences"
            assert model.SerializeToString() == expected.SerializeToString()


def scramble(graph, names: dict[str, str], rng: random.Random) -> None:
    """Gives all values other names, adds copies, and puts nodes and weights in another order."""
    names = dict(names)

    def renamed(name: str) -> str:
        if name and name not in names:
            names[name] = f"{rng.random()}"
        return names.get(name, name)

    for one in (*graph.initializer, *graph.input, *graph.output):
        one.name = renamed(one.name)
    for node in graph.node:
        node.output[:] = map(renamed, node.output)
        node.input[:] = map(renamed, node.input)
        node.name = f"{rng.random()}"
        for attribute in node.attribute:
            if attribute.HasField("g"):
                scramble(attribute.g, names, rng)
    nodes = list(graph.node)
    copied = nodes[0].output[0]
    if copied not in {one.name for one in graph.output}:
        copy = onnx.helper.make_node("Identity", [copied], [f"{rng.random()}"])
        for node in nodes[1:]:
            node.input[:] = [copy.output[0] if name == copied else name for name in node.input]
        nodes.insert(1, copy)
    for place in range(1, len(nodes)):
        before, after = nodes[place - 1 : place + 1]
        has_graph = any(attribute.HasField("g") for attribute in after.attribute)
        if not has_graph and not set(before.output) & set(after.input) and rng.random() < 0.5:
            nodes[place - 1 : place + 1] = after, before
    weights = list(graph.initializer)
    rng.shuffle(weights)
    for field, values in ((graph.node, nodes), (graph.initializer, weights)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


@pytest.mark.parametrize("ratio", [2.0, 1.7, 0.1])
def test_length_limits_are_the_same_in_a_graph_of_one_length(ratio):
    rows = np.array(
        [[0] * 12, [3] + [0] * 11, [5, 3] + [0] * 10, [5] * 9 + [3, 0, 0], [5] * 11 + [3]]
    )

    def limits(width: int | None) -> list[int]:
        signature = [tf.TensorSpec((None, width), tf.int32)]
        graph = tf.function(lambda ids: length_limits(ids, 25, ratio), input_signature=signature)
        return graph(rows.astype(np.int32)).numpy().tolist()

    assert limits(None) == limits(12)
