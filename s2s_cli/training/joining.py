"""How the workers of a training start together: the chief prepares, and all agree on what they train."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from s2s_cli import __version__
from s2s_cli.config.schema import Config, ResolvedConfig
from s2s_cli.errors import RunError
from s2s_cli.files import sha256
from s2s_cli.runs.run import Run
from s2s_cli.runtime.cluster import worker_name
from s2s_cli.runtime.workers import Workers
from s2s_cli.text.lexicon import Lexicon
from s2s_cli.text.store import TokenStore, open_store
from s2s_cli.text.tokenizer import Tokenizers
from s2s_cli.training.preparation import Prepared
from s2s_cli.training.resolve import PACKAGES as RUN_PACKAGES

# A difference between versions of these gives other results.
PACKAGES = (*RUN_PACKAGES, "numpy")
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Begun:
    """What the chief has prepared: the checkpoint to resume from, and what changed, in clauses."""

    latest: Path | None
    changes: tuple[str, ...]


def require_same_start(workers: Workers, config: Config) -> None:
    """Raises RunError where a worker was started with another config or other versions."""
    settings = config.model_dump(mode="json")
    own = {"s2s": __version__, **{name: importlib.metadata.version(name) for name in PACKAGES}}
    own["config file"] = _digest(json.dumps(settings, sort_keys=True).encode())
    _require_same(workers, own)


def require_same_weights(workers: Workers, weights: Mapping[str, Any]) -> None:
    """Raises RunError where a worker does not begin with the weights of the chief."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(keras.ops.convert_to_numpy(weights[name]).tobytes())
    _require_same(workers, {"weights": found.hexdigest()[:16]})


def announce(workers: Workers, begun: Begun, prepared: Prepared) -> None:
    """Tells the others, who wait in `join`, that the run is prepared; then compares with theirs."""
    latest = begun.latest.name if begun.latest else None
    workers.gather(json.dumps({"latest": latest, "changes": begun.changes}).encode())
    _require_same(workers, _fingerprints(prepared))


def join(
    workers: Workers, run: Run, local_cache: Path | None
) -> tuple[ResolvedConfig, Prepared, Begun]:
    """What the chief has prepared, read from the shared run directory once it is.

    With `local_cache`, the token stores are copied there first, and read from there.
    """
    given = json.loads(workers.gather()[0])
    prepared: Prepared | None = None
    problem = ""
    try:
        config = run.config()
        prepared = _open(run, config, local_cache)
    except RunError as error:
        problem = error.message
    _require_same(workers, _fingerprints(prepared) if prepared else {"run directory": problem})
    assert prepared is not None
    latest = run.root / "checkpoints" / given["latest"] if given["latest"] else None
    return config, prepared, Begun(latest, tuple(given["changes"]))


def _open(run: Run, config: ResolvedConfig, local_cache: Path | None) -> Prepared:
    source, target = (run.tokenizer_file(side) for side in ("source", "target"))
    tokenizers = Tokenizers.load(source, target, config.tokenizer.type)
    stores: dict[str, TokenStore] = {}
    for split in SPLITS:
        if split == "validation" and config.data.validation is None:
            continue
        folder = run.store(split)
        found = open_store(_cached(folder, local_cache) if local_cache else folder)
        if found is None:
            raise RunError(f"{folder}: the token store is missing or damaged.")
        stores[split] = found
    lexicon = Lexicon.load(run.lexicon_file, *tokenizers.vocab_sizes, store_key=stores["train"].key)
    return Prepared(tokenizers, stores["train"], stores.get("validation"), lexicon)


def _cached(folder: Path, local_cache: Path) -> Path:
    """A copy of a token store in the cache, which is made where there is none."""
    description = folder / "store.json"
    if not description.is_file():
        return folder
    copy = local_cache / f"{folder.name}-{sha256(description)[:16]}"
    if open_store(copy) is None:
        unfinished = copy.with_name(f".{copy.name}.writing")
        for path in (unfinished, copy):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(folder, unfinished)
        unfinished.rename(copy)
    return copy


def _fingerprints(prepared: Prepared) -> dict[str, str]:
    """What must be the same on all workers, by a name for people."""
    tokenizers = prepared.tokenizers
    found = {
        "source vocabulary": tokenizers.source.fingerprint,
        "target vocabulary": tokenizers.target.fingerprint,
        "training pairs": _digest_of(prepared.train),
    }
    if prepared.validation is not None:
        found["validation pairs"] = _digest_of(prepared.validation)
    return found


def _digest_of(store: TokenStore) -> str:
    # `open_store` has compared the files with their checksums.
    return f"{store.key[:16]} of {len(store):,} pairs"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _require_same(workers: Workers, own: Mapping[str, str]) -> None:
    """Raises RunError, on all workers, that names the first one that differs from the chief."""
    of_chief, *others = map(json.loads, workers.gather(json.dumps(own).encode()))
    for index, other in enumerate(others, start=1):
        for name in sorted({*of_chief, *other}):
            if of_chief.get(name) != other.get(name):
                assert workers.cluster is not None
                raise RunError(
                    f"{worker_name(index, workers.cluster.addresses)} differs from the chief in its"
                    f" {name}: {other.get(name, 'none')!s}, and the chief has"
                    f" {of_chief.get(name, 'none')!s}.",
                    "All workers need the same config file, the same versions, and a run directory"
                    " on storage that they share.",
                )
