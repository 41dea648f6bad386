"""The short form of `make faults`: a few of each kind, with training steps that are not compiled."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Two processes, since each begins with an undisturbed training.
FEW = [
    (
        {"operations": 400, "kills": 3},
        ["ended at a change of the disk", "killed at random moments"],
    ),
    ({"damages": 4, "disks": 2}, ["damaged", "full disk", "read-only disk"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("few", "expected"), FEW, ids=[" and ".join(few) for few, _ in FEW])
def test_nothing_is_lost_or_different_after(few, expected):
    numbers = [f"--{kind}={number}" for kind, number in few.items()]
    process = subprocess.run(
        [sys.executable, "-m", "faults", "--light", *numbers, "--kinds", *few],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    rows = process.stdout.splitlines()
    assert [re.split(r"\s{2,}", row)[0] for row in rows] == expected
    # Only root can mount a disk; elsewhere, those rows say so.
    assert all(row.endswith("; 0 wrong") or "no disk can be mounted" in row for row in rows), rows
