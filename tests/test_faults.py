"""The short form of `make faults`: a few of each kind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FEW = {
    ("operations", "190"): ["ended at a change of the disk"],
    ("damages", "4"): ["damaged"],
    ("disks", "2"): ["full disk", "read-only disk"],
    ("kills", "3"): ["killed at random moments"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("few", "expected"), FEW.items(), ids=[kind for kind, _ in FEW])
def test_nothing_is_lost_or_different_after(few, expected):
    kind, number = few
    process = subprocess.run(
        [sys.executable, "-m", "faults", "--kinds", kind, f"--{kind}", number],
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
