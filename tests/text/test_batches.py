import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from text_cases import character_tokenizer, make_store, property_test

from s2s_cli.text.batches import BATCH_SPEC, batches
from s2s_cli.text.plan import Plan, plan_epoch
from s2s_cli.text.rows import Pair
from s2s_cli.text.tokenizer import BOS, EOS


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    return character_tokenizer(tmp_path_factory.mktemp("characters"))


def test_a_batch_is_a_dict_of_tensors_padded_on_the_right(tmp_path, characters):
    store = make_store(tmp_path, [Pair("abc", "d", 0.5), Pair("e", "fg")], characters)
    (abc, e), (d, fg) = characters.encode(["abc", "e"]), characters.encode(["d", "fg"])
    plan = Plan(np.array([0, 1], np.uint32), np.array([0, 2]), np.array([0]))
    (batch,) = batches(store, plan)
    assert batch.keys() == BATCH_SPEC.keys()
    assert all(BATCH_SPEC[name].is_compatible_with(batch[name]) for name in batch)
    assert all(isinstance(tensor, tf.Tensor) for tensor in batch.values())
    found = {name: tensor.numpy().tolist() for name, tensor in batch.items()}
    assert found == {
        "source_ids": [[*abc, EOS], [*e, EOS, 0, 0]],
        "target_in_ids": [[BOS, *d, 0], [BOS, *fg]],
        "target_out_ids": [[*d, EOS, 0], [*fg, EOS]],
        "weights": [[0.5, 0.5, 0.5, 0.0], [1.0, 1.0, 1.0, 1.0]],
    }


@pytest.mark.slow
@settings(property_test, max_examples=15)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 5),
    budget=st.integers(14, 80),
    start=st.integers(0, 50),
)
def test_an_epoch_holds_every_pair_and_can_be_entered_anywhere(
    tmp_path_factory, characters, lengths, seed, epoch, budget, start
):
    pairs = [Pair("a" * source, "b" * target) for source, target in lengths]
    store = make_store(tmp_path_factory.getbasetemp(), pairs, characters)
    plan = plan_epoch(
        store.source.lengths, store.target.lengths, seed=seed, epoch=epoch, batch_tokens=budget
    )
    whole = list(batches(store, plan))
    assert len(plan) == len(whole)
    seen = sorted(
        (int(np.count_nonzero(source)) - 2, int(np.count_nonzero(target)) - 2)
        for batch in whole
        for source, target in zip(
            batch["source_ids"].numpy(), batch["target_out_ids"].numpy(), strict=True
        )
    )
    # A token for each character, one where a word begins, and `</s>`.
    assert seen == sorted(lengths)
    for batch in whole:
        widths = batch["source_ids"].shape[1], batch["target_out_ids"].shape[1]
        assert len(batch["source_ids"]) * max(widths) <= budget or len(batch["source_ids"]) == 1
    for one, other in zip(whole[start:], batches(store, plan, start), strict=True):
        for name in BATCH_SPEC:
            assert np.array_equal(one[name], other[name])
