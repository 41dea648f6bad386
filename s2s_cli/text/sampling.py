"""Subword sampling: the ids of each epoch are drawn anew, ahead of the training, and stored.

Processes of their own draw them (`s2s_cli.text.sampling_worker`), so that a training does not wait
for the next epoch. They end with the process that started them, in whatever way that ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.errors import S2SError
from s2s_cli.files import replace_folder, write_text
from s2s_cli.text.sampling_worker import CHUNK, Drawing, DrawnChunk, read_chunk
from s2s_cli.text.store import TokenStore, checksums, map_rows, open_described

# Raised whenever the same arguments would give other ids.
SAMPLING_VERSION = 1


@dataclass(frozen=True)
class SampledStore:
    """The pairs of an epoch, and how many of them keep their plain ids, as they would be too long."""

    store: TokenStore
    unchanged: int


def sampling_key(drawing: Drawing, store_key: str) -> str:
    """Identifies what the ids of an epoch follow from."""
    values = dataclasses.asdict(drawing)
    made_from = [SAMPLING_VERSION, store_key]
    made_from += [values[name] for name in ("strengths", "seed", "epoch", "longest")]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def open_sampled(folder: Path, drawing: Drawing, plain: TokenStore) -> SampledStore | None:
    """The ids in `folder` with all else of `plain`; None where they are damaged or of another key."""
    key = sampling_key(drawing, plain.key)
    return open_described(
        folder, key, lambda description: _map_sampled(folder, description, drawing, plain)
    )


def _map_sampled(
    folder: Path, description: dict[str, Any], drawing: Drawing, plain: TokenStore
) -> SampledStore:
    dtypes = {"source": plain.source.values.dtype, "target": plain.target.values.dtype}
    rows: Any = {side: map_rows(folder, side, str(dtypes[side])) for side in drawing.strengths}
    store = dataclasses.replace(plain, key=description["key"], **rows)
    return SampledStore(store, description["unchanged"])


def write_sampled(
    folder: Path,
    drawing: Drawing,
    plain: TokenStore,
    *,
    processes: int,
    on_progress: Callable[[int], None] = lambda pairs_done: None,
) -> SampledStore:
    """Draws the ids of an epoch into `folder`, which is replaced as a whole once all are written.

    `on_progress(pairs_done)` is called after each chunk; what it raises ends the drawing. Raises
    S2SError where a process fails.
    """
    unfinished = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    unchanged = done = 0
    ends = dict.fromkeys(drawing.strengths, 0)
    with contextlib.ExitStack() as stack:
        names = [name for side in ends for name in (side, f"{side}.offsets")]
        files = {
            name: stack.enter_context(open(unfinished / f"{name}.bin", "wb")) for name in names
        }
        for side in ends:
            files[f"{side}.offsets"].write(np.zeros(1, np.int64).tobytes())
        for chunk in stack.enter_context(contextlib.closing(_chunks(drawing, plain, processes))):
            for side, (lengths, values) in chunk.arrays.items():
                files[side].write(values.tobytes())
                offsets = ends[side] + np.cumsum(lengths)
                files[f"{side}.offsets"].write(offsets.tobytes())
                ends[side] += len(values)
                rows = len(lengths)
            unchanged, done = unchanged + chunk.unchanged, done + rows
            on_progress(done)
    description = {
        "key": sampling_key(drawing, plain.key),
        "unchanged": unchanged,
        "sha256": checksums(unfinished),
    }
    write_text(unfinished / "store.json", json.dumps(description) + "\n")
    replace_folder(unfinished, folder)
    return _map_sampled(folder, description, drawing, plain)


def _chunks(
    drawing: Drawing, plain: TokenStore, processes: int
) -> Generator[DrawnChunk, None, None]:
    """The chunks of an epoch in order; each process draws every `processes`-th of them.

    A process waits where its chunks are not read yet, so memory is bounded.
    """
    count = -(-len(plain) // CHUNK)
    processes = min(processes, count)
    dtypes = {"source": plain.source.values.dtype, "target": plain.target.values.dtype}
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(drawing, first, count, processes))
            for first in range(processes)
        ]
        for number in range(count):
            worker = workers[number % processes]
            assert worker.stdout is not None
            chunk = read_chunk(worker.stdout, dtypes)  # type: ignore[arg-type]
            if chunk is None:
                raise _failure(worker)
            yield chunk


@contextlib.contextmanager
def _worker(
    drawing: Drawing, first: int, count: int, step: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes the chunks first, first + step, … below `count` to its stdout."""
    program = [sys.executable, "-m", "s2s_cli.text.sampling_worker", drawing.dump()]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Not in the group of this process, as Ctrl-C would reach it there.
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        group = {"creationflags": flags}
    process = subprocess.Popen(
        [*program, str(first), str(count), str(step)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        **group,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _failure(worker: subprocess.Popen[bytes]) -> S2SError:
    assert worker.stderr is not None
    code, errors = worker.wait(), worker.stderr.read().decode(errors="replace").splitlines()
    reason = errors[-1] if errors else f"exit code {code}"
    return S2SError(
        f"the process that samples subwords ended early: {reason}.",
        "Run the same command again; without training.subword_sampling, there is no such process.",
    )
