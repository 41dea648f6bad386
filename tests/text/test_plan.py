import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_cases import property_test

from s2s_cli.text.plan import Plan, plan_epoch, plan_in_order


def rows_of(plan: Plan) -> list[int]:
    return [int(row) for index in range(len(plan)) for row in plan[index]]


def lists(plan: Plan) -> list[list[int]]:
    return [plan[index].tolist() for index in range(len(plan))]


def lengths(number: int, longest: int = 30, seed: int = 5):
    random = np.random.default_rng(seed)
    return tuple(random.integers(1, longest + 1, number).astype(np.uint16) for _ in range(2))


def cut_greedily(longer: list[int], batch_tokens: int) -> list[int]:
    """Sizes of batches of sorted lengths: as many as fit, at least one."""
    sizes: list[int] = []
    for index, length in enumerate(longer):
        if sizes and (sizes[-1] + 1) * length <= batch_tokens and index:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


some_lengths = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=60)


@property_test
@given(
    pairs=some_lengths,
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 5),
    batch_tokens=st.integers(1, 80),
)
def test_an_epoch_has_every_pair_once_in_greedy_batches(pairs, seed, epoch, batch_tokens):
    source, target = (np.array([pair[side] for pair in pairs], np.uint16) for side in (0, 1))
    plan = plan_epoch(source, target, seed=seed, epoch=epoch, batch_tokens=batch_tokens)
    assert sorted(rows_of(plan)) == list(range(len(pairs)))
    longer = [max(pair) + 1 for pair in pairs]
    sizes = np.diff(plan.starts.astype(np.int64)).tolist()
    assert sizes == cut_greedily(sorted(longer), batch_tokens)
    for batch in lists(plan):
        widths = [longer[row] for row in batch]
        assert len(batch) * max(widths) <= batch_tokens or len(batch) == 1
        assert widths == sorted(widths)


def test_batches_of_a_number_of_pairs_have_that_number_but_for_one():
    plan = plan_epoch(*lengths(200), seed=1, epoch=3, batch_size=7)
    assert sorted(rows_of(plan)) == list(range(200))
    assert sorted(map(len, lists(plan))) == [4] + [7] * 28


def test_the_plan_depends_on_seed_and_epoch_only():
    def plan(seed, epoch):
        return lists(plan_epoch(*lengths(100), seed=seed, epoch=epoch, batch_tokens=90))

    assert plan(1, 2) == plan(1, 2)
    assert plan(1, 2) != plan(1, 3) and plan(1, 2) != plan(2, 2)


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
@pytest.mark.parametrize("longest", [30, 5_000, 60_000])
def test_the_plan_does_not_depend_on_the_size_of_blocks_or_the_type_of_lengths(weights, longest):
    source, target = lengths(500, longest)
    corpora = (np.arange(500) % 2).astype(np.int32)

    def plan(block, type_):
        found = plan_epoch(
            source.astype(type_),
            target.astype(type_),
            seed=1,
            epoch=2,
            batch_tokens=4 * longest,
            corpora=corpora,
            mixing_weights=weights,
            block=block,
        )
        return lists(found)

    assert plan(64, np.uint16) == plan(1 << 18, np.int32) == plan(499, np.int64)


def test_lengths_of_more_than_16_bits_are_planned():
    source = np.array([70_000, 1, 65_535, 200_000], np.int32)
    plan = plan_epoch(source, source[::-1], seed=1, epoch=0, batch_tokens=100_000)
    assert sorted(rows_of(plan)) == [0, 1, 2, 3]
    assert sorted(map(len, lists(plan))) == [1, 1, 1, 1]


def test_every_order_of_pairs_of_equal_length_is_as_likely():
    ones = np.ones(3, np.uint16)
    seen: dict[tuple[int, ...], int] = {}
    for epoch in range(600):
        rows = tuple(rows_of(plan_epoch(ones, ones, seed=1, epoch=epoch, batch_size=3)))
        seen[rows] = seen.get(rows, 0) + 1
    assert len(seen) == 6 and min(seen.values()) > 60


def test_batches_of_similar_lengths_have_little_padding():
    random = np.random.default_rng(5)
    source = random.integers(3, 30, 2000).astype(np.uint16)
    target = (source + random.integers(0, 4, 2000)).astype(np.uint16)
    plan = plan_epoch(source, target, seed=1, epoch=0, batch_tokens=600)
    cells = sum(
        len(batch) * (int(source[batch].max()) + int(target[batch].max()) + 2)
        for batch in lists(plan)
    )
    assert (source.sum() + target.sum() + 4000) / cells > 0.9


def mixed(epoch, corpora, weights):
    some = np.ones(len(corpora), np.uint16)
    return plan_epoch(
        some, some, seed=1, epoch=epoch, batch_size=10, corpora=corpora, mixing_weights=weights
    )


def test_mixed_corpora_have_their_shares_and_all_pairs_of_one_are_used_equally_often():
    corpora = np.arange(90) % 3
    used = np.zeros(90, int)
    for epoch in range(6):
        rows = rows_of(mixed(epoch, corpora, [4.0, 1.0, 1.0]))
        assert np.bincount(corpora[rows]).tolist() == [60, 15, 15]
        used += np.bincount(rows, minlength=90)
    assert used.tolist() == [12 if index % 3 == 0 else 3 for index in range(90)]


def test_no_pair_of_a_mixed_corpus_is_used_again_before_all_were_used():
    corpora = np.array([0] * 7 + [1] * 50)
    used = np.zeros(7, int)
    for epoch in range(9):
        rows = rows_of(mixed(epoch, corpora, [1.0, 3.0]))
        used += np.bincount([row for row in rows if row < 7], minlength=7)
        assert used.max() - used.min() <= 1


def test_a_share_below_one_pair_an_epoch_is_carried_over():
    corpora = np.array([0] * 30 + [1] * 10)
    used = [
        sum(row >= 30 for row in rows_of(mixed(e, corpora, [1000.0, 10.0]))) for e in range(101)
    ]
    assert sum(used) == 40 and max(used) == 1


def test_a_corpus_without_pairs_takes_no_share():
    corpora = np.array([0, 0, 2, 2])
    assert len(rows_of(mixed(0, corpora, [1.0, 5.0, 1.0]))) == 4


def test_a_tiny_corpus_with_a_large_weight_is_repeated():
    corpora = np.array([0] + [1] * 9_999)
    rows = rows_of(mixed(1, corpora, [99.0, 1.0]))
    assert rows.count(0) == 9_900 and len(set(rows)) == 101


def test_scoring_reads_every_pair_once_by_length():
    source, target = lengths(50)
    plan = plan_in_order(source, target, batch_size=8)
    rows = rows_of(plan)
    assert sorted(rows) == list(range(50))
    assert np.all(np.diff(np.maximum(source, target)[rows].astype(int)) >= 0)


def test_an_epoch_without_pairs_has_no_batches():
    nothing = np.zeros(0, np.uint16)
    assert len(plan_epoch(nothing, nothing, seed=1, epoch=0, batch_tokens=9)) == 0
    assert len(plan_in_order(nothing, nothing, batch_size=9)) == 0


def test_a_large_epoch_takes_little_memory():
    source, target = lengths(1_000_000)
    plan = plan_epoch(source, target, seed=1, epoch=0, batch_tokens=4096)
    held = sum(array.nbytes for array in (source, target, plan.order, plan.starts, plan.sequence))
    assert held / 1_000_000 < 9
