"""Lines and bars: what is shown, where, and when."""

import ast
import io
import re
import time
from pathlib import Path

import pytest

from s2s_cli.cli import console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets."""
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    return clock


def test_a_meter_writes_a_line_now_and_then_where_there_is_no_terminal(now, capsys):
    with console.Meter("translating", 1000, "line") as meter:
        meter.add(10)
        now[0] = 11
        meter.add(90)
        now[0] = 12
        meter.add(1)
        now[0] = 50
        meter.move_to(500)
    assert capsys.readouterr().err.splitlines() == [
        "translating: 100 of 1,000 lines, 1:39 left",
        "translating: 500 of 1,000 lines, 0:50 left",
    ]


def test_a_meter_of_unknown_total_or_of_bytes_says_what_it_can(now, capsys):
    lines, size = console.Meter("reading", None, "line"), console.Meter("pairs", 9_000_000, "B")
    now[0] = 20
    lines.add(5)
    size.move_to(3_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 5 lines, 0:20",
        "pairs: 3 of 9 MB, 0:40 left",
    ]


def test_a_meter_is_a_bar_with_an_eta_on_a_terminal_once_the_work_takes_long(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(console.sys, "stderr", screen)
    with console.Meter("translating", 10, "line") as meter:
        meter.add(5)
    assert "translating" not in screen.getvalue()
    monkeypatch.setattr(console, "BAR_DELAY", 1e-9)
    with console.Meter("translating", 10, "line") as meter:
        time.sleep(0.15)  # bars are drawn ten times a second at most
        meter.add(5)
    assert re.search(r"translating:  50%\|.*5/10 \[\d+:\d+<\d+:\d+", screen.getvalue())


def test_nothing_is_shown_where_nothing_shall_be(now, capsys):
    with console.Meter("translating", 10, "line", show=False) as meter:
        now[0] = 99
        meter.add(5)
    assert capsys.readouterr().err == ""


def test_suggested_commands_can_be_pasted(capsys):
    console.next_commands(["s2s", "translate", "runs/my run", "-i", "FILE"], ["s2s", "schema"])
    assert capsys.readouterr().err == "  s2s translate 'runs/my run' -i FILE\n  s2s schema\n"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (62.4, "1:02"), (3723, "1:02:03")])
def test_durations_are_shown_as_a_clock(seconds, shown):
    assert console.clock(seconds) == shown


def _prints(path: Path) -> bool:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    names = (getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls)
    return bool({"print", "secho", "echo"} & set(names))


def test_nothing_but_the_console_prints():
    package = Path(console.__file__).parent.parent
    speakers = {path.name for path in package.rglob("*.py") if _prints(path)}
    assert speakers <= {"console.py", "translate.py"}
