"""What holds for any text, any plan, any config."""

import gzip
import itertools
import re
import string

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.arrays import load_arrays
from s2s_cli.config import dump_config, load_config
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.schema import Config, Files
from s2s_cli.schema import Tokenizer as TokenizerConfig
from s2s_cli.text.batches import batches, plan_epoch
from s2s_cli.text.corpus import Pair, read_pairs
from s2s_cli.text.filters import Limits
from s2s_cli.text.store import build_store
from s2s_cli.text.tokenizer import Tokenizer, learn

settings.register_profile(
    "s2s",
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("s2s")

ALPHABET = string.ascii_letters + string.digits + ".,!?-'äöüßéŁж字"
any_text = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))
spoken = st.lists(st.text(ALPHABET, min_size=1, max_size=8), max_size=8).map(" ".join)


@pytest.fixture(scope="module", params=["unigram", "bpe", "word", "char"])
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    words = ["".join(pair) for pair in itertools.product(ALPHABET, ALPHABET[::7])]
    sentences = [" ".join([word, *ALPHABET]) for word in words]
    size = 150 if request.param in ("unigram", "bpe") else 4000
    config = TokenizerConfig(type=request.param, vocab_size=size, normalization="identity")
    path = tmp_path_factory.mktemp("pieces") / "x.model"
    return learn(sentences, config, path, seed=1, threads=1)


@given(text=spoken)
def test_text_comes_back_from_its_pieces(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    (back,) = tokenizer.decode([ids])
    if tokenizer._joins:  # a word that was never seen is unknown; the others come back
        words = [word for word in re.split(r"\W+|_", back.replace("⁇", " ")) if word]
        assert set(words) <= set(re.split(r"\W+|_", text))
    else:
        assert back == text


@given(text=st.text())
def test_any_text_has_pieces_that_are_no_padding_and_come_back_as_text(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    assert all(0 < i < tokenizer.size for i in ids)
    assert isinstance(tokenizer.decode([ids])[0], str)


@given(
    rows=st.lists(st.tuples(any_text, any_text), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    is_packed=st.booleans(),
    is_tsv=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_pairs_are_read_as_they_were_written(tmp_path_factory, rows, end, is_packed, is_tsv, mark):
    folder = tmp_path_factory.getbasetemp()
    rows = [tuple(side.replace("\t", " ").removeprefix("\ufeff") for side in row) for row in rows]

    def write(name: str, lines: list[str]) -> str:
        path = folder / (f"{name}.gz" if is_packed else name)
        content = (mark + "".join(line + end for line in lines)).encode()
        path.write_bytes(gzip.compress(content) if is_packed else content)
        return str(path)

    if is_tsv:
        files = Files(tsv=write("pairs", ["\t".join(row) for row in rows]))
    else:
        files = Files(
            source=write("source", [source for source, _ in rows]),
            target=write("target", [target for _, target in rows]),
        )
    expected = [(source.strip(), target.strip()) for source, target in rows]
    expected = [row for row in expected if any(row)]
    if not expected:
        with pytest.raises(DataError, match="not one sentence pair"):
            list(read_pairs(files))
        return
    assert [(pair.source, pair.target) for pair in read_pairs(files)] == expected


@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 5),
    budget=st.integers(14, 80),
    start=st.integers(0, 50),
)
def test_a_plan_has_every_pair_once_keeps_its_budget_and_can_be_entered_anywhere(
    tmp_path_factory, lengths, seed, epoch, budget, start
):
    characters = _characters(tmp_path_factory)
    pairs = [Pair("a" * source, "b" * target) for source, target in lengths]
    folder = tmp_path_factory.getbasetemp() / "store"
    store = build_store(folder, "k", pairs, characters, characters, limits=Limits(50), threads=1)

    def plan():
        return plan_epoch(store, seed=seed, epoch=epoch, batch_tokens=budget, batch_size=None)

    entered = list(batches(store, plan(), 0))
    assert len(plan()) == len(entered)
    seen = sorted(
        (int((row_s > 0).sum()) - 2, int((row_t > 0).sum()) - 2)
        for batch in entered
        for row_s, row_t in zip(batch.source_ids, batch.target_out_ids, strict=True)
    )
    # A character each, the mark where a word begins, and `</s>`.
    assert seen == sorted(lengths)
    for batch in entered:
        widths = batch.source_ids.shape[1], batch.target_out_ids.shape[1]
        assert len(batch.source_ids) * max(widths) <= budget or len(batch.source_ids) == 1
    for one, other in zip(entered[start:], batches(store, plan(), start), strict=True):
        for name, array in one.arrays().items():
            assert np.array_equal(array, other.arrays()[name])


_LEARNED: list[Tokenizer] = []


def _characters(tmp_path_factory) -> Tokenizer:
    if not _LEARNED:
        config = TokenizerConfig(type="char", vocab_size=20)
        path = tmp_path_factory.mktemp("characters") / "x.model"
        _LEARNED.append(learn(["a b"], config, path, seed=1, threads=1))
    return _LEARNED[0]


VALID = {
    "data": {"train": {"tsv": "a.tsv"}, "max_length": 30},
    "tokenizer": {"type": "bpe", "vocab_size": 100},
    "model": {"embedding": {"size": 8}, "dropout": 0.1},
    "training": {"max_steps": 5, "optimizer": {"learning_rate": 1e-3}},
    "decoding": {"beam_size": 2, "n_best": 2},
}
KEYS = [(section, key) for section, keys in VALID.items() for key in keys]
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(place=st.sampled_from(KEYS), name=st.none() | st.text(max_size=8), value=any_value)
def test_a_changed_config_loads_or_says_where_it_is_wrong(tmp_path_factory, place, name, value):
    section, key = place
    changed = {**VALID[section], (key if name is None else name): value}
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    text = yaml.safe_dump({**VALID, section: changed}, sort_keys=False)
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        config = load_config(path)
    except ConfigError as error:
        assert all(str(path) in line for line in error.message.split("\n")[:1])
        return
    again = path.with_name("again.yaml")
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config and isinstance(config, Config)


@given(content=st.binary(max_size=200))
def test_an_archive_of_any_bytes_is_refused_as_damaged(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "x.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        load_arrays(path, 1000)
