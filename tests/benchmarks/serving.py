"""A load test of `s2s serve` on loopback: `python -m benchmarks.serving RUN SENTENCES`.

Throughput and latency of 1, 8 and 64 clients, in batches and one by one; then a full queue, clients that
leave, and SIGTERM under load, where a request counts as lost if it was accepted and not answered.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HEADERS = {"Content-Type": "application/json"}
CLIENTS = (1, 8, 64)


@contextmanager
def server(run: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server that is ready, and its port."""
    languages = ["--source", "en", "--target", "de", "--alternatives", "0"]
    command = [sys.executable, "-m", "s2s_cli", "serve", run, *languages, "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stderr.readline() if process.stderr else ""
        found = re.search(r":(\d+):", first)
        if found is None:
            raise SystemExit(first)
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()


def body(texts: list[str]) -> str:
    return json.dumps({"q": texts, "source": "en", "target": "de"})


class Load:
    """Clients that ask one after the other, each on a connection of its own."""

    def __init__(self, port: int, lines: list[str], texts: int = 1):
        self._port, self._texts = port, texts
        self._lines, self._lock = itertools.cycle(lines), threading.Lock()
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    def run(self, clients: int, goes_on: Callable[[], bool]) -> None:
        """Returns once every client has its last answer."""
        with ThreadPoolExecutor(clients) as threads:
            for one in [threads.submit(self._client, goes_on) for _ in range(clients)]:
                one.result()

    def _client(self, goes_on: Callable[[], bool]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while goes_on():
            with self._lock:
                texts = list(itertools.islice(self._lines, self._texts))
            began = time.perf_counter()
            try:
                connection.request("POST", "/translate", body(texts), HEADERS)
            except OSError:
                self._count("not accepted")
                connection.close()
                continue
            try:
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                # An idle connection that the server closes is no request that it accepted.
                self._count("closed without an answer")
                connection.close()
                continue
            with self._lock:
                self.seconds.append(time.perf_counter() - began)
            self._count(str(answer.status))
        connection.close()

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.statuses[outcome] += 1


def for_seconds(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def show_speed(run: str, lines: list[str], seconds: float) -> None:
    print(f"{'':<12}{'clients':>8}{'lines/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for name, options in (("in batches", ()), ("one by one", ("--batch-size", "1"))):
        with server(run, *options) as (_, port):
            Load(port, lines).run(8, for_seconds(2))
            for clients in CLIENTS:
                load = Load(port, lines)
                began = time.perf_counter()
                load.run(clients, for_seconds(seconds))
                per_second = len(load.seconds) / (time.perf_counter() - began)
                *_, last = statistics.quantiles(load.seconds, n=100)
                middle = statistics.median(load.seconds)
                row = f"{per_second:>10.1f}{1e3 * middle:>9.1f}{1e3 * last:>9.1f}"
                print(f"{name:<12}{clients:>8}{row}", flush=True)


def show_full_queue(run: str, lines: list[str], seconds: float) -> None:
    with server(run, "--queue", "200") as (_, port):
        load = Load(port, lines, texts=20)
        load.run(64, for_seconds(seconds))
        print("full queue, 64 clients with 20 texts each, 200 lines may wait:", dict(load.statuses))
        for line in lines[:100]:
            with socket.create_connection(("127.0.0.1", port)) as leaving:
                data = body([line] * 100)
                head = f"POST /translate HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
                leaving.sendall((head + data).encode())
        time.sleep(0.5)
        after = Load(port, lines)
        after.run(1, for_seconds(1))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        dropped = re.findall(r"^s2s_dropped_total.*|^s2s_queue_sentences.*", text, re.MULTILINE)
        print("100 clients left at once; then:", dict(after.statuses), *dropped)


def show_stop(run: str, lines: list[str]) -> None:
    with server(run) as (process, port):
        load = Load(port, lines)
        timer = threading.Timer(3, process.send_signal, [signal.SIGTERM])
        timer.start()
        load.run(64, lambda: process.poll() is None)
        print("SIGTERM after 3 s, 64 clients:", dict(load.statuses), "exit code", process.wait())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("run")
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    given = parser.parse_args()
    lines = given.sentences.read_text(encoding="utf-8").splitlines()
    show_speed(given.run, lines, given.seconds)
    show_full_queue(given.run, lines, given.seconds)
    show_stop(given.run, lines)


if __name__ == "__main__":
    main()
