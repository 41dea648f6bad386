"""Fuzzes the readers of a run: any bytes as its config, pointers, state, weights, record, and so on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["s2s_cli"], exclude=["s2s_cli.model"]):
    from s2s_cli.config.load import load_config
    from s2s_cli.config.resolved import resolve_config
    from s2s_cli.config.schema import MAX_CANDIDATES, Resolved
    from s2s_cli.config.schema import Tokenizer as TokenizerConfig
    from s2s_cli.decoding.translation import Translation
    from s2s_cli.errors import S2SError
    from s2s_cli.evaluation.records import TranslationRecord, read_record, write_record
    from s2s_cli.runs.checkpoint import (
        checksums,
        read_state,
        read_weights,
        require_whole,
        write_arrays,
    )
    from s2s_cli.runs.run import Run
    from s2s_cli.text.lexicon import Lexicon
    from s2s_cli.text.store import open_store
    from s2s_cli.text.tokenizer import Tokenizer, learn

from fuzz.harness import fuzz, scratch

CHECKSUM = "# sha256 of the lines above; this file is written by s2s and must not be edited: "
WEIGHTS = {"output/kernel": np.ones((2, 3), np.float32), "output/bias": np.ones(3, np.float32)}


def main() -> None:
    """The first byte of an input selects the file that the rest is written to."""
    run = Run(scratch())
    for folder in ("checkpoints/step-00000007", "tokenizer", "data/train", "translations"):
        (run.root / folder).mkdir(parents=True)
    _write_config(run)
    checkpoint = run.checkpoint(7)
    vocabulary_file = run.tokenizer_file("source")
    learn(
        ["a b c d e"],
        TokenizerConfig(type="char", vocab_size=30),
        vocabulary_file,
        seed=1,
        threads=1,
    )

    def config_file(data: bytes) -> None:
        text = data.decode("utf-8", "replace").replace("\r", "")
        digest = hashlib.sha256(text.encode()).hexdigest()
        run.config_file.write_text(f"{text}{CHECKSUM}{digest}\n", encoding="utf-8", newline="\n")
        run.config()

    def pointer(data: bytes) -> None:
        (run.root / "checkpoints" / "best").write_bytes(data)
        found = run.find_checkpoint("best")
        assert found == checkpoint, found
        run.newest_checkpoints()

    def with_checksum(name: str, data: bytes) -> None:
        (checkpoint / name).write_bytes(data)
        sums = {name: hashlib.sha256(data).hexdigest()}
        (checkpoint / "checksums.json").write_text(json.dumps(sums))

    def state(data: bytes) -> None:
        with_checksum("state.json", data)
        read_state(checkpoint)

    def weights(data: bytes) -> None:
        with_checksum("model.safetensors", data)
        found = read_weights(checkpoint, {name: value.shape for name, value in WEIGHTS.items()})
        assert found["output/kernel"].shape == (2, 3)

    def sums(data: bytes) -> None:
        (checkpoint / "checksums.json").write_bytes(data)
        checksums(checkpoint)
        require_whole(checkpoint)

    def lexicon(data: bytes) -> None:
        run.lexicon_file.write_bytes(data)
        Lexicon.load(run.lexicon_file, 9, 9)

    def vocabulary(data: bytes) -> None:
        path = run.tokenizer_file("target")
        path.write_bytes(data)
        tokenizer = Tokenizer.load(path, "char")
        tokenizer.decode(tokenizer.encode(["a b"]))

    def store(data: bytes) -> None:
        (run.store("train") / "store.json").write_bytes(data)
        open_store(run.store("train"), "key")

    def samples(data: bytes) -> None:
        run.samples_file.write_bytes(data)
        run.samples()

    def record(data: bytes) -> None:
        path = run.validation_translations(7)
        path.write_bytes(data)
        list(read_record(path)[1])

    readers: list[Callable[[bytes], None]] = [
        config_file, pointer, state, weights, sums, lexicon, vocabulary, store, samples, record,
    ]  # fmt: skip

    def target(data: bytes) -> None:
        readers[(data[0] if data else 0) % len(readers)](data[1:])

    # What is damaged is refused with a message; only the vocabulary is read by SentencePiece.
    fuzz(target, _seeds(run, vocabulary_file.read_bytes()), (S2SError,))


def _write_config(run: Run) -> None:
    path = scratch() / "config.yaml"
    path.write_text(
        "data: {train: {tsv: /x.tsv}}\ntraining: {schedule: {name: constant, warmup_steps: 0}}\n"
    )
    resolved = Resolved(files=[], versions={}, plan_version=2)
    chosen = {"training.precision": "float32", "decoding.max_source_length": 100}
    run.write_config(resolve_config(load_config(path), chosen, resolved))


def _seeds(run: Run, vocabulary: bytes) -> list[bytes]:
    """One valid file for each reader."""
    path = scratch() / "seed"
    likeliest = np.zeros((9, MAX_CANDIDATES), np.int32)
    Lexicon(likeliest, np.zeros(3, np.int32), "key").save(path)
    lexicon = path.read_bytes()
    write_arrays(path, WEIGHTS)
    weights = path.read_bytes()
    config = run.config_file.read_bytes().partition(CHECKSUM.encode())[0]
    state = {"step": 7, "window": {"loss": 1.5}, "best": [1.0, 2.0], "best_step": 7}
    store = {
        "key": "key",
        "counts": {"read": 1, "used": 1},
        "dtypes": {"source": "uint16"},
        "sha256": {},
    }
    seeds = [
        config, b"step-00000007\n", json.dumps(state).encode(), weights, b'{"state.json": "0"}',
        lexicon, vocabulary, json.dumps(store).encode(), b"a\nb\n", _record(path, run),
    ]  # fmt: skip
    return [bytes([number]) + seed for number, seed in enumerate(seeds)]


def _record(path: Path, run: Run) -> bytes:
    head = TranslationRecord("validation", 7, run.config().decoding, [])
    write_record(path, head, [("a", ["b"], Translation("c", tokens=("c",)))])
    return path.read_bytes()


if __name__ == "__main__":
    main()
