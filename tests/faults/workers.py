"""Trainings of two workers, one of which is killed, hangs, or loses the network or the disk."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.disk import mounted
from faults.trial import Fork, Tally, contents

# How long the other worker may take to end.
LONGEST = 90.0
CLONE_NEWNET = 0x40000000
# What is done to a worker, and how often of all trials.
KINDS = ("killed", "killed", "stopped", "stopped", "terminated", "cut off", "full disk")


@dataclass(frozen=True)
class Place:
    """Where a worker listens: a host, and the network namespace that has it, if it has its own."""

    host: str
    namespace: str | None = None

    def enter(self) -> None:
        """Moves this process into the namespace."""
        if self.namespace is None:
            return
        with open(f"/var/run/netns/{self.namespace}") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def free_port(self) -> int:
        """A port of this host that nobody uses."""
        if self.namespace is not None:
            return random.randrange(20_000, 60_000)
        with socket.create_server((self.host, 0)) as server:
            return int(server.getsockname()[1])


HERE = (Place("127.0.0.1"), Place("127.0.0.1"))


def lost_workers(config: Path, folder: Path, trials: int, chooser: random.Random) -> Tally:
    """Disturbs one of two workers, waits for the other to end, and compares the resumed training."""
    tally = Tally()
    undisturbed = folder / "two-workers"
    ended = [worker.end() for worker in _started(config, undisturbed, HERE)]
    assert [code for code, _ in ended] == [0, 0], ended
    expected = contents(undisturbed)
    slowest: dict[str, float] = {}
    for number in range(trials):
        kind, index = KINDS[number % len(KINDS)], chooser.randrange(2)
        run = folder / f"workers-{number}"
        trial = _Trial(config, run, kind, index, chooser.uniform(0.5, 6.0))
        seconds, problem = trial.run_until_all_ended()
        if problem is None:
            problem = trial.resume()
        if seconds is None:
            tally.counts["finished before"] += 1
        else:
            tally.counts[kind] += 1
            slowest[kind] = max(slowest.get(kind, 0.0), seconds)
        if problem is not None:
            tally.wrong.append(f"{kind}, worker {index}: {problem}")
        else:
            tally.compare(trial.run, expected, f"{kind}, worker {index}")
        trial.remove()
    for kind, seconds in slowest.items():
        tally.counts[f"s at most until all had ended ({kind})"] = round(seconds)
    return tally


class _Trial:
    """One training of two workers that is disturbed."""

    def __init__(self, config: Path, run: Path, kind: str, index: int, moment: float):
        self._config, self._kind, self._index, self._moment = config, kind, index, moment
        self._folder, self.run = run, run / "run"
        run.mkdir()
        self._open = contextlib.ExitStack()
        self._disk: Path | None = None
        if kind == "full disk":
            self._index = 0
            self._disk = self._open.enter_context(mounted(run / "disk", 64 * 1024))
            if self._disk is not None:
                self.run = self._disk / "run"

    def run_until_all_ended(self) -> tuple[float | None, str | None]:
        """Seconds from the disturbance to the end of the last worker, None where all had ended
        before; and what is wrong."""
        with _network() if self._kind == "cut off" else contextlib.nullcontext(HERE) as places:
            workers = _started(self._config, self.run, places)
            self._wait_for_training(workers)
            chosen = workers[self._index]
            if not chosen.runs_for(self._moment):
                return None, _problem_of([worker.end() for worker in workers], {0})
            began = time.monotonic()
            self._disturb(chosen, places)
            others = [w for w in workers if w is not chosen]
            slow = [w for w in others if w.runs_for(LONGEST)]
            seconds = time.monotonic() - began
            if self._kind in ("stopped", "cut off"):
                if self._kind == "cut off" and chosen.runs_for(LONGEST):
                    slow.append(chosen)
                os.kill(chosen.process, signal.SIGKILL)
            for worker in slow:
                os.kill(worker.process, signal.SIGKILL)
            ended = [worker.end() for worker in workers]
        if slow:
            return seconds, f"a worker lived on for {LONGEST:.0f} s"
        return seconds, self._problem(ended)

    def resume(self) -> str | None:
        """Runs the same command again, undisturbed; what is wrong."""
        if self._disk is not None:
            subprocess.run(["mount", "-o", "remount,size=64m", str(self._disk)], check=True)
        ended = [worker.end() for worker in _started(self._config, self.run, HERE)]
        return _problem_of(ended, {0})

    def remove(self) -> None:
        """Removes what the trial has made."""
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for_training(self, workers: list[Fork]) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and all(worker.runs_for(0.05) for worker in workers):
            if (self.run / "metrics.jsonl").is_file():
                return

    def _disturb(self, chosen: Fork, places: tuple[Place, ...]) -> None:
        numbers = {
            "killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "terminated": signal.SIGTERM,
        }  # fmt: skip
        if self._kind in numbers:
            os.kill(chosen.process, numbers[self._kind])
        elif self._kind == "cut off":
            command = ["ip", "-n", str(places[0].namespace), "link", "set", "link0", "down"]
            subprocess.run(command, check=True)
        elif self._disk is not None:
            subprocess.run(["mount", "-o", "remount,size=4k", str(self._disk)], check=False)
            with contextlib.suppress(OSError):
                (self._disk / "filler").write_bytes(b"\0" * (64 << 20))

    def _problem(self, ended: list[tuple[int, str]]) -> str | None:
        (own, own_text), (other, other_text) = (
            ended[self._index], ended[1 - self._index],
        )  # fmt: skip
        text = own_text + other_text
        if "Traceback" in text:
            return text[-600:]
        if self._kind == "terminated":
            return None if {own, other} <= {0, 130} else f"exit codes {own}, {other}"
        if other != 1 and not (own == other == 0):
            return f"exit code {other}: {other_text[-300:]!r}"
        if f"error: worker {self._index} (" not in other_text and other == 1:
            return f"the worker is not named: {other_text[-300:]!r}"
        return None


def _problem_of(ended: list[tuple[int, str]], allowed: set[int]) -> str | None:
    for index, (code, text) in enumerate(ended):
        if code not in allowed or "Traceback" in text:
            return f"worker {index}: exit code {code}: {text[-400:]!r}"
    return None


def _started(config: Path, run: Path, places: tuple[Place, ...]) -> list[Fork]:
    """Two workers of one training."""
    addresses = [f"{place.host}:{place.free_port()}" for place in places]
    arguments = ["train", str(config), "--run", str(run), "--threads", "1"]
    return [
        Fork.start(arguments, _in_place(place, addresses, index))
        for index, place in enumerate(places)
    ]


def _in_place(place: Place, addresses: list[str], index: int) -> Callable[[], None]:
    def before() -> None:
        place.enter()
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})

    return before


@contextmanager
def _network() -> Iterator[tuple[Place, ...]]:
    """Two network namespaces that a cable connects; it can be cut."""
    names = [f"s2s-{os.getpid()}-{index}" for index in range(2)]
    places = tuple(Place(f"10.77.0.{index + 1}", name) for index, name in enumerate(names))

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "link", "add", "link0", "netns", names[0],
            "type", "veth", "peer", "name", "link0", "netns", names[1],
        )  # fmt: skip
        for place in places:
            assert place.namespace is not None
            ip("-n", place.namespace, "addr", "add", f"{place.host}/24", "dev", "link0")
            ip("-n", place.namespace, "link", "set", "link0", "up")
        yield places
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
