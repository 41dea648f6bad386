import pytest

from s2s_cli.config.schema import Corpus, Data
from s2s_cli.text.filters import REASONS, Filters, describe_left_out
from s2s_cli.text.rows import Pair


@pytest.mark.parametrize(
    ("filters", "lengths", "reason"),
    [
        (Filters(5), (5, 5), None),
        (Filters(5), (1, 6), "too_long"),
        (Filters(5, 2.5), (2, 5), None),
        (Filters(9, 2.5), (6, 2), "uneven"),
        (Filters(5), (0, 3), "empty_side"),
        (Filters(5, drop_identical=True), (2, 2), "identical"),
        (Filters(5, longest_sentence=4), (4, 4), None),
        (Filters(5, longest_sentence=4), (4, 5), "beyond_positions"),
    ],
)
def test_a_pair_is_left_out_beyond_a_limit_and_not_at_it(filters, lengths, reason):
    found = filters.reason(Pair("same", "same"), *lengths)
    assert (found and found.name) == reason


def test_each_reason_names_a_setting_that_exists():
    data = Data(train=[Corpus(tsv="a.tsv")])
    assert all(reason.setting is None or hasattr(data, reason.setting) for reason in REASONS)


def test_reasons_are_described_in_words_with_the_settings_behind_them():
    left_out = {"too_long": 1200, "empty_side": 2}
    assert describe_left_out(left_out) == "2 with an empty side, 1,200 longer than data.max_length"
    data = Data(train=[Corpus(tsv="a.tsv")], max_length=60, max_length_ratio=3.0)
    assert describe_left_out({"uneven": 1}, data) == (
        "1 with sides of very unequal length (data.max_length_ratio: 3.0)"
    )
    assert describe_left_out({}) == ""
