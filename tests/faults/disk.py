"""Trainings whose disk is full, or cannot be written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults.trial import Tally, forked


def full_disks(
    config: Path, folder: Path, expected: dict[str, bytes], kilobytes: list[int]
) -> Tally | None:
    """Trains on disks of a few kilobytes, makes room, and resumes; None where none can be mounted."""
    tally = Tally()
    for size in kilobytes:
        with mounted(folder / f"disk-{size}", size) as disk:
            if disk is None:
                return None
            arguments = ["train", str(config), "--run", str(disk / "run")]
            code, stderr = forked(arguments)
            has_message = code == 0 or (code == 1 and "No space left" in stderr)
            tally.counts["full"] += code == 1
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            again, stderr_again = forked(arguments)
            if not has_message or again != 0 or "Traceback" in stderr + stderr_again:
                tally.counts["lost"] += 1
                tally.wrong.append(
                    f"{size} KiB: {code}, {again}: {stderr[-600:]} {stderr_again[-300:]}"
                )
            else:
                tally.compare(disk / "run", expected, f"{size} KiB")
    return tally


def read_only(config: Path, folder: Path) -> Tally | None:
    """Trains on a disk that cannot be written; None where none can be mounted."""
    tally = Tally()
    with mounted(folder / "read-only", 1024) as disk:
        if disk is None:
            return None
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, stderr = forked(["train", str(config), "--run", str(disk / "run")])
        tally.counts["refused"] += 1
        if code != 1 or "Read-only file system" not in stderr or "Traceback" in stderr:
            tally.wrong.append(f"read-only: {code}: {stderr[-400:]}")
    return tally


@contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[Path | None]:
    """An empty disk in memory; None where this process may not mount one."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield folder
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "-l", str(folder)], check=True)
