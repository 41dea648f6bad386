"""What this machine has: instruction sets of the processor, and free memory."""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path


@functools.cache
def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor, as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())


def available_memory() -> int | None:
    """Bytes of memory that this process may still allocate, as far as Linux reports; None elsewhere.

    The smaller of the system's available memory and what is left of the control group's limit.
    """
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(free.split()[1]))
    with suppress(OSError, ValueError):  # an unlimited group says "max", which is no number
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    return min(found, default=None)
