"""`s2s serve` as a process: ready, translating as the run does, and stopped without losing anything."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import RemoteDisconnected
from pathlib import Path

import pytest

from s2s_cli.cli.app import main
from s2s_cli.decoding.translator import Translator
from s2s_cli.runs.run import Run

pytestmark = pytest.mark.slow

LINES = ["1 2 3", "", "4 5 6 7", "8", "9 0 1"]


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server that is ready, and its address."""
    command = [sys.executable, "-m", "s2s_cli", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stderr.readline()
        address = re.search(r"http://[\d.]+:\d+", first)
        assert address, first + process.stderr.read()
        yield process, address.group()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def post(address: str, **values) -> dict:
    request = urllib.request.Request(
        f"{address}/translate",
        data=json.dumps({"source": "dg", "target": "en", **values}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def expected(trained: Path) -> list[str]:
    return [one.text for one in Translator.from_run(Run(trained)).translate(LINES)]


def test_a_run_is_served_and_sigterm_answers_what_is_under_way(trained, expected):
    with served(trained, "--source", "dg", "--target", "en") as (process, address):
        found = post(address, q="\n".join(LINES), alternatives=3, scores=True)
        assert found["translatedText"].split("\n") == expected
        assert 1 <= len(found["alternatives"]) <= 3 and len(found["scores"]) == len(LINES)
        outcomes, stopped = [], threading.Event()

        def ask(number: int) -> None:
            if number == 20:
                process.send_signal(signal.SIGTERM)
                stopped.set()
            try:
                outcomes.append(post(address, q=LINES)["translatedText"])
            except (urllib.error.URLError, ConnectionResetError, RemoteDisconnected) as error:
                # It no longer listens, or closed before it read anything; what it read is answered.
                assert stopped.is_set()
                reason = getattr(error, "reason", error)
                assert isinstance(reason, ConnectionError), reason

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(ask, range(40)))
        assert len(outcomes) >= 13  # those that came before
        assert all(outcome == expected for outcome in outcomes)
        assert process.wait(60) == 0
        assert process.stderr.read() == "stopped\n"


def test_artefacts_and_runs_are_served_side_by_side_by_several_processes(
    trained, expected, artefacts
):
    models = (f"dg-en={trained}", f"en-dg={artefacts['saved_model']}")
    with served(*models, "--processes", "2", "--alternatives", "0") as (process, address):
        found = post(address, q=LINES, source="en", target="dg")
        assert found["translatedText"] == expected
        assert post(address, q=LINES)["translatedText"] == expected
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_damaged_artefact_is_not_run(artefacts, tmp_path, capsys):
    folder = shutil.copytree(artefacts["onnx"], tmp_path / "artefact")
    (folder / "runner.py").write_text("raise SystemExit('this was run')")
    assert main(["serve", f"en-de={folder}", "--port", "0"]) == 1
    assert "runner.py is damaged." in capsys.readouterr().err
    command = [sys.executable, "-m", "s2s_cli", "serve", f"en-de={folder}", "--port", "0"]
    several = subprocess.run(
        [*command, "--processes", "2"], capture_output=True, text=True, timeout=120
    )
    assert "runner.py is damaged." in several.stderr and "Traceback" not in several.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-run", "--source", "en", "--target", "de"], "no-such-run"),
        (["run"], "run: its languages are not known."),
        (["en-de=run", "--api-keys", "none.txt"], "none.txt: the keys cannot be read"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(trained, capsys):
    with served(trained, "--source", "dg", "--target", "en", "--alternatives", "0") as (_, address):
        port = address.rpartition(":")[2]
        arguments = ["serve", str(trained), "--source", "dg", "--target", "en", "--port", port]
        assert main(arguments) == 1
    assert f"127.0.0.1:{port}: no server can listen there" in capsys.readouterr().err
