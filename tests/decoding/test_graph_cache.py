"""Search graphs that are cached between processes."""

import dataclasses
import os
import pickle
import random
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import MODELS, made_once, s2s
from google.protobuf import text_format

from s2s_cli.decoding import graph_cache, model_search
from s2s_cli.decoding.graph_cache import SearchGraph
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.model_search import ModelSearch, compile_search, make_search
from s2s_cli.decoding.translator import Translator
from s2s_cli.model.family import VocabSizes
from s2s_cli.runs.run import Run, step_of

pytestmark = pytest.mark.slow

SENTENCES = ["1 2", "", "7 0 3 3 9 4", "5"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of a cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(graph_cache.platformdirs, "user_cache_path", lambda *_, **__: folder)
    return folder


def translator(run, checkpoint="best", **changes) -> Translator:
    run = Run(run)
    decoding = run.config().decoding.model_copy(update=changes)
    return Translator.from_run(run, checkpoint, decoding)


def outcome(found: list[list]) -> list:
    return [[(t.text, t.tokens, t.alignment, t.score) for t in row] for row in found]


def translations(run, **changes) -> list:
    return outcome(translator(run, **changes).n_best(SENTENCES))


def translations_by_layers(run, precision="float32", **changes) -> list:
    """What a search gives that is traced here, with no cache."""
    seq2seq, settings = load_model(Run(run), precision=precision), Run(run).config().model
    cached = translator(run, precision=precision, **changes)
    layers = seq2seq.layers.for_inference()
    cached.search_function = compile_search(make_search([settings], [layers], cached.decoding))
    return outcome(cached.n_best(SENTENCES))


@pytest.fixture(scope="module")
def cached(trained, tmp_path_factory):
    """A cached search with the default settings: its file, and the translations that it gives."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(graph_cache.platformdirs, "user_cache_path", lambda *_, **__: folder)
            (folder / "expected").write_bytes(pickle.dumps(translations(trained)))

    folder = made_once(tmp_path_factory, "cached", make)
    (path,) = folder.glob("*.search")
    return path, pickle.loads((folder / "expected").read_bytes())


@pytest.fixture
def path(cached, cache):
    """A copy of that file, in a cache of its own."""
    cache.mkdir()
    return Path(shutil.copy(cached[0], cache))


@pytest.fixture
def expected(cached):
    return cached[1]


@pytest.fixture
def traced(monkeypatch) -> list:
    """A list that gets longer with every search that is traced."""
    calls, trace = [], SearchGraph.trace
    monkeypatch.setattr(
        SearchGraph, "trace", staticmethod(lambda *given: calls.append(1) or trace(*given))
    )
    return calls


@pytest.fixture(scope="module", params=MODELS)
def of_each_family(request, trained_as) -> Path:
    """A finished run of each family."""
    return trained_as(request.param)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cached_search_gives_what_the_layers_give(of_each_family, cache, precision, traced):
    changes = {"beam_size": 3, "n_best": 2, "shortlist": 9, "precision": precision}
    found = [translations(of_each_family, **changes) for _ in range(2)]
    assert len(traced) == len(list(cache.glob("*.search"))) == 1
    assert found[0] == found[1] == translations_by_layers(of_each_family, **changes)


def test_a_cached_greedy_search_gives_what_the_layers_give(trained, expected):
    assert expected == translations_by_layers(trained)


def test_no_model_is_made_where_a_search_is_cached(trained, path, expected, monkeypatch):
    monkeypatch.setattr(model_search, "Seq2Seq", lambda *_, **__: 1 / 0)
    assert translations(trained) == expected


def test_a_cached_search_is_imported_once_for_sentences_of_all_lengths(trained, path, monkeypatch):
    imports, import_graph_def = [], tf.graph_util.import_graph_def
    monkeypatch.setattr(
        tf.graph_util,
        "import_graph_def",
        lambda *given, **named: imports.append(1) or import_graph_def(*given, **named),
    )
    found = translator(trained)
    for sentence in ("1", "1 2", "1 2 3", "4 5 6 7"):
        found.translate([sentence, "8"])
    assert len(imports) == 2  # what follows from the weights alone, and the rest


def test_one_cached_search_serves_the_weights_of_every_checkpoint(trained, path, traced):
    steps = [str(step_of(checkpoint)) for checkpoint in Run(trained).checkpoints()[:2]]
    scores = {tuple(t.score for t in translator(trained, s).translate(SENTENCES)) for s in steps}
    assert not traced
    assert len(scores) == len(steps) > 1


def test_what_a_graph_depends_on_has_a_file_of_its_own(trained, cached, cache, monkeypatch):
    graph, run = SearchGraph.load(cached[0]), Run(trained)
    monkeypatch.setattr(SearchGraph, "trace", staticmethod(lambda *given: graph))

    shapes = {path.removeprefix("0/"): shape for path, shape in graph.shapes.items()}

    def cached_files(model=None, target_tokens=20, others=(), **changes) -> int:
        models = tuple(run.config().model.model_copy(update=one or {}) for one in (model, *others))
        decoding = run.config().decoding.model_copy(update=changes)
        search = ModelSearch(models, VocabSizes(15, target_tokens), decoding)
        assert search.shapes == [shapes, *({} for _ in others)]
        return len(list(cache.glob("*.search")))

    assert cached_files() == 1
    in_no_graph = {"batch_size": 3, "long_sources": "truncate", "max_source_length": 7}
    assert cached_files(**in_no_graph) == 1
    assert cached_files(beam_size=3) == cached_files(beam_size=3, n_best=2) == 2
    assert cached_files(shortlist=9) == cached_files(shortlist=10) == 3
    assert cached_files(precision="bfloat16") == 4
    assert cached_files(max_length=7) == 5
    assert cached_files(target_tokens=21) == 6
    assert cached_files({"architecture": "gru"}) == 7
    assert cached_files(others=[None]) == 8
    assert cached_files(others=[{"architecture": "gru"}]) == 9
    assert cached_files({"architecture": "gru"}, others=[None]) == 10
    monkeypatch.setattr(graph_cache, "processor_flags", lambda: frozenset({"another"}))
    assert cached_files() == 11
    monkeypatch.setattr(graph_cache, "_code_checksum", lambda family: "another version")
    assert cached_files() == 12


# Damage.


def test_a_changed_byte_anywhere_in_the_file_is_noticed(path):
    whole = path.read_bytes()
    header = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    chooser = random.Random(5)
    places = [*range(0, header, 7), header - 1, header, len(whole) - 1]
    places += [64, *(chooser.randrange(len(whole)) for _ in range(60))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chooser.randrange(8)
        path.write_bytes(damaged)
        assert SearchGraph.load(path) is None, place
    path.write_bytes(whole)
    assert SearchGraph.load(path) is not None


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-9], lambda b: b"", lambda b: b"[]\n" + b, lambda b: b"\xff" + b],
    ids=["cut off", "empty", "a line more", "a byte more"],
)
def test_a_damaged_file_is_not_loaded(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    assert SearchGraph.load(path) is None


def test_a_search_with_a_changed_header_is_traced_and_cached_again(trained, path, expected, traced):
    whole = path.read_bytes()
    changed = re.sub(rb'("0/output/kernel": \[)(\d+)', rb"\g<1>99", whole)
    assert changed != whole
    path.write_bytes(changed)
    assert translations(trained) == expected and len(traced) == 1
    assert path.read_bytes() != changed and SearchGraph.load(path) is not None


def test_where_nothing_can_be_cached_searches_work_all_the_same(
    trained, expected, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / "file" / "cache"
    monkeypatch.setattr(graph_cache.platformdirs, "user_cache_path", lambda *_, **__: folder)
    assert translations(trained) == expected


def test_the_searches_that_were_used_longest_ago_are_removed(cached, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "MAX_CACHED", 2)
    graph = SearchGraph.load(cached[0])
    for age, name in enumerate("abcd"):
        graph.save(tmp_path / f"{name}.search")
        os.utime(tmp_path / f"{name}.search", (age, age))
    assert SearchGraph.load(tmp_path / "c.search") is not None  # which counts as a use
    graph.save(tmp_path / "e.search")
    assert sorted(path.stem for path in tmp_path.glob("*.search")) == ["c", "e"]


# Names of functions, which all graphs of a process share.


def counting_graph(step: int, prefix: str) -> SearchGraph:
    """A graph with a loop that adds `step` three times; its functions are named as in the first
    trace of a new process."""

    def search(weights, inputs):
        loop = tf.while_loop(
            lambda count, _: count < 3, lambda count, x: (count + 1, x + step), (0, inputs)
        )
        return [loop[1] + weights[0]]

    weights = {"a": tf.Variable(0.0)}
    graph = SearchGraph.trace(search, weights, [tf.TensorSpec((), tf.float32)], "")
    definition = tf.compat.v1.GraphDef.FromString(graph.graph)
    text = text_format.MessageToString(definition)
    for number, function in enumerate(definition.library.function):
        text = text.replace(f'"{function.signature.name}"', f'"while_{number}"')
    named = text_format.Parse(text, tf.compat.v1.GraphDef())
    if prefix:
        named = graph_cache._with_prefix(named, prefix)
    return dataclasses.replace(graph, graph=named.SerializeToString())


def test_two_cached_graphs_load_in_one_process_as_their_functions_have_names_of_their_own():
    weights = {"a": tf.constant(0.5)}
    runs = [counting_graph(step, f"graph{step}").bind(weights) for step in (1, 10)]
    assert [float(run(tf.constant(0.0))[0]) for run in runs * 2] == [3.5, 30.5] * 2


def test_without_a_prefix_the_second_graph_is_refused():
    """If this fails, TensorFlow keeps the functions of graphs apart, and no prefix is needed."""
    one = counting_graph(1, "").bind({"a": tf.constant(0.5)})
    assert float(one(tf.constant(0.0))[0]) == 3.5
    with pytest.raises(tf.errors.InvalidArgumentError, match="while_"):
        counting_graph(10, "").bind({"a": tf.constant(0.5)})(tf.constant(0.0))


def test_the_functions_of_a_cached_search_have_names_that_begin_with_its_key(path):
    graph = tf.compat.v1.GraphDef.FromString(SearchGraph.load(path).graph)
    names = [function.signature.name for function in graph.library.function]
    assert names and all(name.startswith(path.stem) for name in names)


def test_a_graph_that_another_process_has_cached_loads_beside_one_of_this_process(
    trained, path, expected, monkeypatch, traced
):
    """Each process numbers its functions from the beginning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(path.parents[1]))
    process = s2s("translate", trained, "--beam-size", 2, *SENTENCES)
    assert process.returncode == 0, process.err
    (other,) = (path.parents[1] / "s2s").glob("*.search")
    shutil.move(other, path.parent)
    assert translations(trained) == expected
    found = translator(trained, beam_size=2).translate(SENTENCES)
    assert [translation.text for translation in found] == process.out.split("\n")[:-1]
    assert not traced


def test_what_follows_from_the_weights_alone_is_computed_once():
    computed = []

    def count(values):
        computed.append(1)
        return values

    def search(weights, ids):
        kernel = tf.concat([weights[0], 2 * weights[0]], axis=1)
        kernel = tf.numpy_function(count, [kernel], tf.float32, stateful=False)
        kernel = tf.ensure_shape(kernel, [3, 4])
        (found,) = tf.while_loop(
            lambda x: tf.reduce_sum(x) < 100, lambda x: (x + tf.matmul(x[:, :3], kernel),),
            [tf.pad(tf.cast(ids, tf.float32), [[0, 0], [0, 1]])],
        )  # fmt: skip
        return (found + weights[1],)

    weights = {"kernel": tf.Variable(tf.ones([3, 2])), "bias": tf.Variable([1.0, 2.0, 3.0, 4.0])}
    signature = [tf.TensorSpec([None, 3], tf.int32)]
    graph = SearchGraph.trace(search, weights, signature, "test")
    computed.clear()
    run = graph.bind(weights)
    assert computed == [1]
    for ids in ([[1, 2, 3]], [[4, 0, 1], [1, 1, 1]]):
        expected = search(list(weights.values()), tf.constant(ids))[0].numpy()
        (found,) = run(ids)
        assert found.numpy().tolist() == expected.tolist()
    assert len(computed) == 3  # twice by `search` itself
