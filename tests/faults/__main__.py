"""`make faults`: disturbs trainings in many ways, and prints a table of the outcomes."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from faults import damages, disk, kills, workers
from faults.trial import Tally, contents, forked, write_files

DISKS = [16, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 896, 1024, 1280]


def main() -> int:
    """Runs the requested kinds; returns 0 where nothing was lost or different, and no traceback."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--kills", type=int, default=200, help="signals at random moments")
    parser.add_argument(
        "--operations", type=int, default=1, help="end at every n-th change of the disk"
    )
    parser.add_argument("--damages", type=int, default=200, help="ways to damage a run")
    parser.add_argument("--disks", type=int, default=len(DISKS), help="sizes of full disks")
    parser.add_argument("--workers", type=int, default=42, help="trainings of two workers")
    parser.add_argument(
        "--light", action="store_true", help="take steps that are not compiled: a third of the time"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--kinds", nargs="*", default=["operations", "damages", "disks", "kills", "workers"]
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        fine = [_is_fine(*row) for row in _rows(arguments, folder)]
        return 0 if all(fine) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rows(arguments: argparse.Namespace, folder: Path):
    """The name of each kind of disturbance, and its tally, as soon as it is done."""
    # Imported once, and inherited by every fork.
    import light_training
    import sentencepiece  # noqa: F401

    if arguments.light:
        light_training.training_run.TrainingStep = light_training.light_step()
    config = write_files(folder / "files")
    undisturbed = folder / "undisturbed"
    code, text = forked(["train", str(config), "--run", str(undisturbed)])
    assert code == 0, text
    expected = contents(undisturbed)
    chooser = random.Random(arguments.seed)
    if "operations" in arguments.kinds:
        yield (
            "ended at a change of the disk",
            kills.at_file_operations(config, folder, expected, arguments.operations),
        )
    if "damages" in arguments.kinds:
        runs = damages.templates(config, folder, undisturbed)
        tally, kinds = damages.damaged_runs(
            config, folder, runs, expected, arguments.damages, chooser
        )
        tally.counts.update(kinds)
        yield "damaged", tally
    if "disks" in arguments.kinds:
        yield "full disk", disk.full_disks(config, folder, expected, DISKS[: arguments.disks])
        yield "read-only disk", disk.read_only(config, folder)
    if "kills" in arguments.kinds:
        yield (
            "killed at random moments",
            kills.at_random_moments(config, folder, expected, arguments.kills, chooser),
        )
    if "workers" in arguments.kinds:
        yield (
            "one of two workers is lost",
            workers.lost_workers(config, folder, arguments.workers, chooser),
        )


def _is_fine(name: str, tally: Tally | None) -> bool:
    """Prints the tally of one kind; returns whether nothing was wrong."""
    if tally is None:
        print(f"{name:<32} not done: no disk can be mounted here", flush=True)
        return True
    counts = ", ".join(f"{count} {what}" for what, count in tally.counts.items() if count)
    stop = f"; slowest stop {tally.slowest_stop:.1f} s" if tally.slowest_stop else ""
    print(f"{name:<32} {counts}{stop}; {len(tally.wrong)} wrong", flush=True)
    for line in tally.wrong:
        print(f"    {line}", flush=True)
    return not tally.wrong


if __name__ == "__main__":
    sys.exit(main())
