"""Any bytes as a file of a run: its config, pointers, state, checksums, arrays, vocabulary, store."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable

import atheris
import numpy as np

with atheris.instrument_imports(include=["s2s_cli", "zipfile"], exclude=["s2s_cli.model"]):
    from s2s_cli.arrays import load_arrays
    from s2s_cli.errors import S2SError
    from s2s_cli.run import Run
    from s2s_cli.schema import Config
    from s2s_cli.schema import Tokenizer as TokenizerConfig
    from s2s_cli.text.lexicon import Lexicon
    from s2s_cli.text.store import open_store
    from s2s_cli.text.tokenizer import Tokenizer, learn
    from s2s_cli.training.checkpoint import checksums, load_state, require_whole

from fuzz.harness import fuzz, scratch


def main() -> None:
    """The first byte says which file the rest is."""
    run = Run(scratch())
    config = Config.model_validate({"data": {"train": {"tsv": "/x.tsv"}}})
    for folder in ("checkpoints/step-00000007", "tokenizer", "data/train", "translations"):
        (run.root / folder).mkdir(parents=True)
    run.write_config(config)
    checkpoint = run.checkpoint(7)
    vocabulary_file = run.tokenizer_file("source", True)
    settings = TokenizerConfig(type="char", vocab_size=30)
    learn(["a b c d e"], settings, vocabulary_file, seed=1, threads=1)
    model = vocabulary_file.read_bytes()

    def config_file(data: bytes) -> None:
        text = data.decode("utf-8", "replace").replace("\r", "")
        mark = "# sha256 of the lines above, which nobody should change: "
        digest = hashlib.sha256(text.encode()).hexdigest()
        run.config_file.write_text(f"{text}{mark}{digest}\n", encoding="utf-8", newline="\n")
        run.config()

    def pointer(data: bytes) -> None:
        (run.root / "checkpoints" / "best").write_bytes(data)
        found = run.find_checkpoint("best")
        assert found == checkpoint, found
        run.newest_checkpoints()

    def state(data: bytes) -> None:
        (checkpoint / "state.json").write_bytes(data)
        sums = {"state.json": hashlib.sha256(data).hexdigest()}
        (checkpoint / "checksums.json").write_text(json.dumps(sums))
        load_state(checkpoint)

    def sums(data: bytes) -> None:
        (checkpoint / "checksums.json").write_bytes(data)
        checksums(checkpoint)
        require_whole(checkpoint)

    def arrays(data: bytes) -> None:
        path = run.root / "arrays.npz"
        path.write_bytes(data)
        found = load_arrays(path, 10_000)
        assert sum(array.nbytes for array in found.values()) <= 10_000

    def lexicon(data: bytes) -> None:
        run.lexicon_file.write_bytes(data)
        Lexicon.load(run.lexicon_file, 9, 9)

    def vocabulary(data: bytes) -> None:
        path = run.tokenizer_file("target", False)
        path.write_bytes(data)
        tokenizer = Tokenizer.load(path, "char")
        tokenizer.decode(tokenizer.encode(["a b"]))

    def store(data: bytes) -> None:
        (run.store("train") / "store.json").write_bytes(data)
        open_store(run.store("train"), "key")

    def samples(data: bytes) -> None:
        run.samples_file.write_bytes(data)
        run.samples()

    readers: list[Callable[[bytes], None]] = [
        config_file, pointer, state, sums, arrays, lexicon, vocabulary, store, samples,
    ]  # fmt: skip

    def target(data: bytes) -> None:
        readers[(data[0] if data else 0) % len(readers)](data[1:])

    fuzz(target, _seeds(run, model), (S2SError, ValueError, OSError))


def _seeds(run: Run, model: bytes) -> list[bytes]:
    packed = io.BytesIO()
    np.savez(packed, likeliest=np.zeros((9, 64), np.int32), frequent=np.zeros(3, np.int32))
    text = run.config_file.read_bytes()
    state = {"step": 7, "window": {"loss": 1.5}, "best": [1.0, 2.0], "best_step": 7}
    described = {"key": "key", "counts": {"pairs": 1}, "dtypes": {"source": "uint16"}, "sums": {}}
    seeds = [
        text, b"step-00000007\n", json.dumps(state).encode(), b'{"state.json": "0"}',
        packed.getvalue(), packed.getvalue(), model, json.dumps(described).encode(), b"a\nb\n",
    ]  # fmt: skip
    return [bytes([number]) + seed for number, seed in enumerate(seeds)]


if __name__ == "__main__":
    main()
