"""A search that is kept between processes."""

import numpy as np
import pytest
from conftest import s2s

from s2s_cli.decoding import kept, model_search, translator
from s2s_cli.decoding.translator import Translator
from s2s_cli.run import Run

SENTENCES = ["1 2", "", "7 0 3 3 9 4", "5"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept.platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


def translations(run, **changes):
    run = Run(run)
    decoding = run.config().decoding.model_copy(update=changes)
    found = Translator.from_run(run, decoding=decoding).n_best(SENTENCES)
    return [[(t.text, t.tokens, t.alignment) for t in row] for row in found]


def of_layers(run, precision="float32", **changes):
    """What the layers themselves say, with nothing kept."""
    run = Run(run)
    seq2seq, *tokenizers = translator.load_model(run, run.config(), "best", precision)
    decoding = run.config().decoding.model_copy(update=changes)
    found = Translator.of_layers(seq2seq, *tokenizers, decoding).n_best(SENTENCES)
    return [[(t.text, t.tokens, t.alignment) for t in row] for row in found]


@pytest.mark.parametrize("changes", [{}, {"beam_size": 3, "n_best": 2}])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_kept_search_says_what_the_layers_say(trained, cache, changes, precision):
    expected = of_layers(trained, precision, **changes)
    assert translations(trained, precision=precision, **changes) == expected
    (path,) = cache.glob("*.search")
    written = path.stat().st_mtime_ns, path.stat().st_ino
    assert translations(trained, precision=precision, **changes) == expected
    assert path.stat().st_ino == written[1], "it was traced again"


def test_nothing_is_traced_where_a_search_is_kept(trained, cache, monkeypatch):
    expected = translations(trained)
    monkeypatch.setattr(model_search, "Seq2Seq", lambda *_, **__: 1 / 0)
    assert translations(trained) == expected


def test_a_kept_search_is_imported_once_for_sentences_of_all_lengths(trained, cache, monkeypatch):
    translations(trained)
    imports, import_graph_def = [], kept.tf.graph_util.import_graph_def
    monkeypatch.setattr(
        kept.tf.graph_util,
        "import_graph_def",
        lambda *given, **named: imports.append(1) or import_graph_def(*given, **named),
    )
    found = Translator.from_run(Run(trained))
    for sentence in ("1", "1 2", "1 2 3", "4 5 6 7"):
        found.translate([sentence, "8"])
    assert len(imports) == 1


def test_the_weights_of_any_checkpoint_go_with_a_kept_search(trained, cache):
    run = Run(trained)
    steps = [path.name.removeprefix("step-").lstrip("0") for path in run.checkpoints()]
    scores = {
        step: [t.score for t in Translator.from_run(run, step).translate(SENTENCES)]
        for step in steps
    }
    assert len(list(cache.glob("*.search"))) == 1
    assert len({tuple(score) for score in scores.values()}) == len(steps) > 1


def test_other_settings_and_another_program_are_kept_apart(trained, cache, monkeypatch):
    for changes in ({}, {"beam_size": 2}, {"batch_size": 3}, {"beam_size": 2, "shortlist": 9}):
        translations(trained, **changes)
    monkeypatch.setattr(kept, "_own_code", lambda: "another")
    translations(trained)
    assert len(list(cache.glob("*.search"))) == 4


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b"[]\n" + b])
def test_a_damaged_one_is_traced_again(trained, cache, damage):
    expected = translations(trained)
    (path,) = cache.glob("*.search")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert translations(trained) == expected
    assert kept.KeptSearch.load(path) is not None


def test_where_nothing_can_be_kept_all_goes_on(trained, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    place = tmp_path / "file" / "cache"
    monkeypatch.setattr(kept.platformdirs, "user_cache_path", lambda *_, **__: place)
    assert len(translations(trained)) == len(SENTENCES)


def test_the_ones_that_were_used_longest_ago_go(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_KEPT", 2)
    search = kept.KeptSearch(b"", [], [], [], [], "float32")
    for age, name in enumerate("abcd"):
        path = tmp_path / f"{name}.search"
        search.save(path)
        np.testing.assert_equal(path.is_file(), True)
        kept.os.utime(path, (age, age))
    search.save(tmp_path / "e.search")
    assert sorted(path.stem for path in tmp_path.glob("*.search")) == ["d", "e"]


def test_weights_of_another_shape_are_refused(trained, cache):
    run = Run(trained)
    folder = run.find_checkpoint("best")
    translations(trained)
    (path,) = cache.glob("*.search")
    found = kept.KeptSearch.load(path)
    shapes = [[9, *shape] for shape in found.shapes]
    with pytest.raises(Exception, match="is of shape"):
        model_search.read_weights(folder, found.weights, shapes)


def test_a_new_process_finds_what_another_has_kept(trained):
    first, second = (s2s("translate", trained, "1 2", "7 7") for _ in range(2))
    assert first.out == second.out and first.out.count("\n") == 2
