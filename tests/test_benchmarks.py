import pytest
from benchmarks.cases import make_config, make_data, open_data, operations

from s2s_cli.model.family import VocabSizes


@pytest.mark.parametrize("tied", [False, True])
def test_operations_are_counted_for_the_side_whose_tokens_need_them(tied):
    model = {
        "embedding": {"size": 3, "shared": True, "tied": tied},
        "encoder": {"units": 5, "bidirectional": True},
        "decoder": {"units": 10, "attention": "general"},
    }
    settings = make_config(model, {}).model
    width = 3 if tied else 10
    source = 2 * (3 + 5) * 4 * 5 + 10 * 10
    target = (3 + 10) * 4 * 10 + (10 + 10) * width + width * 20
    found = operations(settings, VocabSizes(20, 20), source_tokens=2, target_tokens=3)
    assert found == 2 * (2 * source + 3 * target)


def test_the_data_of_a_benchmark_are_read_as_they_were_written(tmp_path):
    pairs = [("a b c", "b a"), ("c", "a b c b")]
    folder = make_data(tmp_path / "data", pairs, {"type": "word", "vocab_size": 20})
    store, vocab_size = open_data(folder)
    assert list(store.texts()) == pairs
    assert vocab_size > max(store.source.values.max(), store.target.values.max())
