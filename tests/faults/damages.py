"""Runs of which one file is damaged before they translate and resume."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from faults.kills import end_at
from faults.trial import Tally, forked
from s2s_cli.runs.run import Run

# Read by people only: a run resumes and translates without them.
REPORTS = ("translations",)
# The change of the disk at which about half of a training is done.
KILLED_AT = 260
SENTENCES = ["1 2 3", "4 5 6 7 8 9", "0"]


def damaged_runs(
    config: Path, folder: Path, templates: list[Path], expected: dict[str, bytes], number: int,
    chooser: random.Random,
) -> tuple[Tally, Counter[str]]:  # fmt: skip
    """Damages copies of runs in `number` ways; also counts what was damaged, and how.

    A damaged run must translate as before, or be refused with a message; and it must resume
    and end as the undisturbed one does.
    """
    tally, kinds = Tally(), Counter()
    translated_before = {template: _translations(template)[1] for template in templates}
    for index in range(number):
        template = templates[index % len(templates)]
        run = Path(shutil.copytree(template, folder / "damaged"))
        what = _damage(run, chooser)
        kinds[what.split(" of ")[0]] += 1
        code, translations, stderr = _translations(run)[:3]
        if code == 0 and translations != translated_before[template]:
            tally.wrong.append(f"{what}: other translations")
            tally.counts["different"] += 1
        tally.counts["translates" if code == 0 else "refused by translate"] += 1
        _judge(tally, code in (0, 1) and "Traceback" not in stderr, f"{what}: translate: {stderr}")
        code, stderr = forked(["train", str(config), "--run", str(run)])
        _judge(tally, "Traceback" not in stderr, f"{what}: train: {stderr}")
        if code == 0:
            tally.compare(run, expected, what)
        else:
            tally.counts["lost"] += 1
            tally.wrong.append(f"{what}: train ended with {code}: {stderr}")
        shutil.rmtree(run)
    return tally, kinds


def _judge(tally: Tally, is_right: bool, what: str) -> None:
    if not is_right:
        tally.counts["traceback"] += 1
        tally.wrong.append(what)


def _translations(run: Path) -> tuple[int, str, str]:
    """Exit code, translations, and the text on stderr."""
    output = run.parent / "translations.txt"
    output.unlink(missing_ok=True)
    code, stderr = forked(["translate", str(run), "-o", str(output), *SENTENCES])
    return code, output.read_text() if output.exists() else "", stderr


def _damage(run: Path, chooser: random.Random) -> str:
    """Damages one file of a run; says how and which."""
    files = [
        path
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.parent.name not in REPORTS
    ]
    path = chooser.choice(files)
    content = bytearray(path.read_bytes())
    how = chooser.choice(["bit flipped", "cut short", "removed", "zeros", "more behind"])
    place = chooser.randrange(max(1, len(content)))
    if how == "removed":
        path.unlink()
    else:
        if how == "bit flipped" and content:
            content[place] ^= 1 << chooser.randrange(8)
        elif how == "cut short":
            del content[place:]
        elif how == "zeros":
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        else:
            content += chooser.randbytes(32)
        path.write_bytes(content)
    return f"{how} of {path.relative_to(run)}"


def templates(config: Path, folder: Path, ended: Path) -> list[Path]:
    """The finished run, and one that was killed in its training."""
    killed = folder / "killed"
    forked(["train", str(config), "--run", str(killed)], lambda: end_at(KILLED_AT))
    assert 2 <= len(Run(killed).checkpoints()) < len(Run(ended).checkpoints()) + 2
    return [ended, killed]
