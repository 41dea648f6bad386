"""Subword sampling: ids that are drawn anew each epoch, and follow from seed and epoch alone."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
import sentencepiece

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import S2SError
from s2s_cli.text import sampling
from s2s_cli.text.filters import Filters
from s2s_cli.text.rows import Pair
from s2s_cli.text.sampling import open_sampled, write_sampled
from s2s_cli.text.sampling_worker import CHUNK, Drawing, chunk_seed, draw_chunk, make_samplers
from s2s_cli.text.store import build_store
from s2s_cli.text.subwords import Vocabulary, unigram_sampling
from s2s_cli.text.tokenizer import UNK, Tokenizer, Tokenizers, learn

PAIRS = 2 * CHUNK + 500


def sentences(seed: int, number: int) -> list[str]:
    """Words of the letters a to d, so that pieces of words are tokens, and there are many ways to
    cut a word."""
    random = Random(seed)

    def word() -> str:
        return "".join(random.choices("abcd", (4, 3, 2, 1), k=random.randint(1, 6)))

    return [" ".join(word() for _ in range(random.randint(1, 5))) for _ in range(number)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The plain store of some pairs, and what the ids of epoch 0 are drawn from."""
    folder = tmp_path_factory.mktemp("corpus")
    sources, targets = sentences(1, PAIRS), sentences(2, PAIRS)
    config = TokenizerConfig(type="bpe", vocab_size=40)
    tokenizers = Tokenizers(
        *(
            learn(texts, config, folder / f"{side}.model", side=side, seed=1, threads=1)
            for side, texts in (("source", sources), ("target", targets))
        )
    )
    pairs = [Pair(*texts) for texts in zip(sources, targets, strict=True)]
    plain = build_store(folder / "plain", "key", pairs, tokenizers, filters=Filters(99), threads=1)
    drawing = Drawing(
        store=str(folder / "plain"),
        models={side: str(folder / f"{side}.model") for side in ("source", "target")},
        tokenizer_type="bpe",
        strengths={"source": 0.1, "target": 0.1},
        seed=7,
        epoch=0,
    )
    return plain, drawing


def with_(drawing: Drawing, **changes) -> Drawing:
    return Drawing(**{**vars(drawing), **changes})


def decoded(drawing: Drawing, side: str, rows) -> list[str]:
    tokenizer = Tokenizer.load(Path(drawing.models[side]), drawing.tokenizer_type)
    return tokenizer.decode([rows[row].tolist() for row in range(len(rows))])


def draw(drawing: Drawing, plain, chunk: int = 0):
    return draw_chunk(drawing, plain, make_samplers(drawing), chunk)


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory) -> Path:
    """The ids of epoch 0, drawn by one process."""
    plain, drawing = corpus
    folder = tmp_path_factory.mktemp("drawn") / "0"
    write_sampled(folder, drawing, plain, processes=1)
    return folder


@pytest.mark.slow
def test_the_ids_are_another_way_to_cut_the_same_text(corpus, folder):
    plain, drawing = corpus
    drawn = open_sampled(folder, drawing, plain)
    texts = dict(zip(("source", "target"), zip(*plain.texts(), strict=True), strict=True))
    for side, rows, plain_rows in (
        ("source", drawn.store.source, plain.source),
        ("target", drawn.store.target, plain.target),
    ):
        assert decoded(drawing, side, rows) == list(texts[side])
        same = [np.array_equal(rows[row], plain_rows[row]) for row in range(len(plain))]
        assert 0 < sum(same) < 0.9 * len(plain)
        assert len(rows.values) > len(plain_rows.values)
    assert drawn.unchanged == 0
    assert np.array_equal(drawn.store.weights, plain.weights) and drawn.store.key != plain.key


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_number_of_processes(corpus, folder, tmp_path):
    plain, drawing = corpus
    write_sampled(tmp_path / "again", drawing, plain, processes=3)
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_chunk_follows_from_seed_and_epoch(corpus):
    plain, drawing = corpus
    first, again = draw(drawing, plain), draw(drawing, plain)
    others = [draw(with_(drawing, **change), plain) for change in ({"epoch": 1}, {"seed": 8})]
    for side in ("source", "target"):
        values = first.arrays[side][1]
        assert np.array_equal(again.arrays[side][1], values)
        assert not any(np.array_equal(other.arrays[side][1], values) for other in others)


def test_a_side_without_a_strength_is_not_drawn(corpus):
    plain, drawing = corpus
    assert list(draw(with_(drawing, strengths={"target": 0.1}), plain).arrays) == ["target"]


def test_a_pair_that_would_be_too_long_keeps_its_plain_ids_on_both_sides(corpus):
    plain, drawing = corpus
    longest = int(max(plain.source.lengths.max(), plain.target.lengths.max())) - 2
    free, bounded = draw(drawing, plain), draw(with_(drawing, longest=longest), plain)
    too_long = np.maximum(*(lengths for lengths, _ in free.arrays.values())) > longest
    assert bounded.unchanged == too_long.sum() > 0
    for side, plain_rows in (("source", plain.source), ("target", plain.target)):
        (lengths, values), (free_lengths, free_values) = bounded.arrays[side], free.arrays[side]
        rows, free_rows = (
            np.split(v, np.cumsum(n)[:-1])
            for v, n in ((values, lengths), (free_values, free_lengths))
        )
        for row, found in enumerate(rows):
            expected = plain_rows[row] if too_long[row] else free_rows[row]
            assert np.array_equal(found, expected)


@pytest.mark.slow
def test_stored_ids_open_with_what_they_were_drawn_from_and_only_whole(corpus, folder, tmp_path):
    plain, drawing = corpus
    shutil.copytree(folder, tmp_path / "ids")
    assert len(open_sampled(tmp_path / "ids", drawing, plain).store) == len(plain)
    assert open_sampled(tmp_path / "ids", with_(drawing, epoch=1), plain) is None
    assert open_sampled(tmp_path / "none", drawing, plain) is None
    content = bytearray((tmp_path / "ids" / "target.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "ids" / "target.bin").write_bytes(content)
    assert open_sampled(tmp_path / "ids", drawing, plain) is None


def test_the_tag_of_a_corpus_stays_before_its_sources(corpus):
    plain, drawing = corpus
    (lengths, values), (tagged_lengths, tagged_values) = (
        draw(with_(drawing, tags=tags), plain).arrays["source"] for tags in ((None,), (9,))
    )
    rows = np.split(tagged_values, np.cumsum(tagged_lengths)[:-1])
    assert np.array_equal(tagged_lengths, lengths + 1) and {row[0] for row in rows} == {9}
    assert np.array_equal(np.concatenate([row[1:] for row in rows]), values)


def test_chunks_and_sides_have_seeds_of_their_own(corpus):
    _, drawing = corpus
    seeds = Counter(
        chunk_seed(with_(drawing, epoch=epoch), side, chunk)
        for epoch in range(5)
        for side in ("source", "target")
        for chunk in range(100)
    )
    assert len(seeds) == 1000


def test_unigram_draws_in_proportion_to_the_probability_to_a_power():
    """Against all ways to cut one word, whose probability is the product of their pieces'."""
    logs = {"a": -1.5, "b": -2.0, "ab": -2.5, "ba": -3.0, "aba": -4.0}
    ids = {token: number for number, token in enumerate(logs, start=4)}
    power, random = 0.5, Random(3)

    def cuts(text):
        if not text:
            yield ()
        for end in range(1, len(text) + 1):
            if text[:end] in logs:
                yield from ((text[:end], *rest) for rest in cuts(text[end:]))

    ways = list(cuts("abaab"))
    mass = np.exp([power * sum(logs[token] for token in way) for way in ways])
    assert len(ways) == 8
    cut = unigram_sampling(Vocabulary(ids, logs, UNK), power)
    found = Counter(tuple(cut("abaab", random)) for _ in range(20_000))
    shares = [found[tuple(ids[token] for token in way)] / 20_000 for way in ways]
    assert shares == pytest.approx(list(mass / mass.sum()), abs=0.015)


def test_bpe_dropout_of_every_merge_leaves_characters_and_less_leaves_more(tmp_path):
    config = TokenizerConfig(type="bpe", vocab_size=60)
    tokenizer = learn(sentences(1, 500), config, tmp_path / "b.model", seed=1, threads=1)
    names = tokenizer.tokens()
    (row,) = tokenizer.sampler(1.0)(["abba cab"], Random(3))
    assert [names[i] for i in row] == list("▁abba▁cab")
    lengths = [
        sum(map(len, tokenizer.sampler(strength)(sentences(2, 400), Random(3))))
        for strength in (0.01, 0.1, 0.3, 1.0)
    ]
    assert lengths == sorted(lengths) and lengths[0] < 0.7 * lengths[-1]


@pytest.mark.parametrize(("type_", "certain"), [("bpe", 1e-12), ("unigram", 200.0)])
def test_with_nothing_left_to_chance_the_ids_are_those_of_sentencepiece(tmp_path, type_, certain):
    config = TokenizerConfig(type=type_, vocab_size=40)
    tokenizer = learn(sentences(1, 500), config, tmp_path / "m.model", seed=1, threads=1)
    texts = [*sentences(2, 500), "Unknown: XY aab", "½  ▁ ▂ abab", "\0", " "]
    found, expected = tokenizer.sampler(certain)(texts, Random(1)), tokenizer.encode(texts)
    if type_ == "unigram":  # there may be several ways to cut with the highest score
        lines = (tmp_path / "m.vocab").read_text().splitlines()
        scores = np.array([float(line.split("\t")[1]) for line in lines])
        found, expected = ([scores[row].sum() for row in rows] for rows in (found, expected))
        assert found == pytest.approx(expected, abs=0.05)
    else:
        assert found == expected


@pytest.mark.parametrize("type_", ["bpe", "unigram"])
def test_ids_are_drawn_as_often_as_by_sentencepiece(tmp_path, type_):
    config = TokenizerConfig(type=type_, vocab_size=40)
    tokenizer = learn(sentences(1, 500), config, tmp_path / "m.model", seed=1, threads=1)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    texts = ["abba cab"] * 8_000
    ours = Counter(map(tuple, tokenizer.sampler(0.3)(texts, Random(1))))
    sampled = theirs.encode(texts, enable_sampling=True, alpha=0.3, nbest_size=-1, num_threads=1)
    usual = Counter(map(tuple, sampled))
    assert len(usual) > 10
    for way, count in usual.most_common(10):
        assert ours[way] == pytest.approx(count, abs=6 * count**0.5)


@pytest.mark.slow
def test_a_worker_that_fails_ends_the_drawing_with_its_reason(corpus, tmp_path):
    plain, drawing = corpus
    broken = with_(drawing, models={**drawing.models, "source": str(tmp_path / "none.model")})
    with pytest.raises(S2SError, match=r"ended early: .*none\.model"):
        write_sampled(tmp_path / "ids", broken, plain, processes=2)
    assert not (tmp_path / "ids").exists()


@pytest.mark.slow
def test_a_drawing_that_is_cancelled_leaves_no_process_and_no_store(corpus, tmp_path, monkeypatch):
    plain, drawing = corpus
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        sampling.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )

    def cancel(pairs_done):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_sampled(tmp_path / "ids", drawing, plain, processes=2, on_progress=cancel)
    assert len(started) == 2 and all(process.returncode is not None for process in started)
    assert not (tmp_path / "ids").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from s2s_cli.text import sampling
from s2s_cli.text.sampling_worker import Drawing
from s2s_cli.text.store import map_store
import json
drawing = Drawing(**json.loads(sys.argv[1]))
popen = sampling.subprocess.Popen
def noted(*arguments, **options):
    process = popen(*arguments, **options)
    print(process.pid, flush=True)
    return process
sampling.subprocess.Popen = noted
def die(pairs_done):
    os.kill(os.getpid(), signal.SIGKILL)
plain = map_store(Path(drawing.store))
sampling.write_sampled(Path(sys.argv[2]), drawing, plain, processes=2, on_progress=die)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_workers_end_with_a_process_that_is_killed(corpus, tmp_path):
    _, drawing = corpus
    command = [sys.executable, "-c", KILLED, drawing.dump(), str(tmp_path / "ids")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    workers = [int(line) for line in done.stdout.split()]
    assert done.returncode == -9 and len(workers) == 2, done.stderr
    deadline = time.monotonic() + 60
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        # One that ended and has no parent to read its exit code.
        return subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()[:1] not in ("", "Z")
    return False
