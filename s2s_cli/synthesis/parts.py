"""The finished parts of a long piece of work, from which the same command goes on after an interruption.

Beside the output `bt.jsonl` stands a folder `bt.jsonl.parts` with the description of the job, and for
each part a file with its content, in whose first line is the checksum of the rest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2s_cli.errors import DataError
from s2s_cli.files import write_bytes, write_text

Job = Mapping[str, Any]


class Parts:
    """The parts of an output; each is a list of JSON values."""

    def __init__(self, output: Path):
        self.folder = output.with_name(f"{output.name}.parts")
        self._output = output

    def begin(self, job: Job, *, force: bool) -> None:
        """Begins a job, or goes on with it.

        Raises DataError where there are parts of another job, which `force` removes.
        """
        found = self._job()
        if found is not None and found != dict(job):
            names = ", ".join(key for key in job if found.get(key) != job[key])
            if not force:
                raise DataError(
                    f"{self.folder}: here is unfinished work of another command; it differs in"
                    f" {names}.",
                    f"Give the same command to finish it, or --force to replace it, or write to"
                    f" another file than {self._output.name}.",
                )
            self.remove()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "job.json", json.dumps(dict(job)) + "\n")

    def are_of(self, job: Job) -> bool:
        """Whether there is unfinished work of this job."""
        return self._job() == dict(job)

    def _job(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / "job.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def read(self, number: int) -> list[Any] | None:
        """A finished part; None where it is missing or damaged."""
        try:
            checksum, _, content = self._file(number).read_bytes().partition(b"\n")
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
        return [json.loads(line) for line in content.splitlines()]

    def write(self, number: int, values: Iterable[Sequence[Any]]) -> None:
        """Saves a part, whole or not at all. Raises OSError."""
        content = "".join(json.dumps(value) + "\n" for value in values).encode()
        checksum = hashlib.sha256(content).hexdigest().encode()
        write_bytes(self._file(number), checksum + b"\n" + content)

    def remove(self) -> None:
        """Removes all parts, which are not needed any more."""
        shutil.rmtree(self.folder)

    def _file(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}"
