"""Runs a server until it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from s2s_cli import runtime
from s2s_cli.errors import S2SError
from s2s_cli.serving import Limits
from s2s_cli.serving.app import make_app
from s2s_cli.serving.models import load_model
from s2s_cli.serving.places import Place

# Requests that are under way when a server is told to stop may take as long.
STOP_SECONDS = 30
# Neither texts nor addresses are logged.
_SETTINGS: dict[str, Any] = {
    "log_level": "error",
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": STOP_SECONDS,
}
# What a process that was started by another one serves, as JSON.
_GIVEN = "S2S_SERVE"


@dataclass(frozen=True)
class Given:
    """What to serve; the same for every process."""

    places: Sequence[Place]
    limits: Limits
    keys_file: str | None = None
    checkpoint: str = "best"
    threads: int | None = None


def load_app(given: Given) -> Any:
    """The application, with its models warm. Raises S2SError."""
    runtime.start(given.threads)
    models = [
        load_model(place, given.checkpoint, given.limits.alternatives) for place in given.places
    ]
    keys = read_keys(Path(given.keys_file)) if given.keys_file else []
    return make_app(models, given.limits, keys)


def read_keys(path: Path) -> list[str]:
    """The API keys of a file, one a line. Raises S2SError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise S2SError(f"{path}: the keys cannot be read: {error}.") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise S2SError(f"{path}: there is no key in it.", "Write one a line.")
    return keys


def app_of_process() -> Any:
    """`load_app` in a process that `serve` has started."""
    values = json.loads(os.environ[_GIVEN])
    places = [Place(**one) for one in values.pop("places")]
    try:
        return load_app(Given(places, Limits(**values.pop("limits")), **values))
    except S2SError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)  # with any other code, the process would be started again


def bind(host: str, port: int) -> socket.socket:
    """A socket that has this address. Raises S2SError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or error
        raise S2SError(
            f"{host}:{port}: no server can listen there: {reason}.",
            "Name another --port or --host.",
        ) from None
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as all connections then have
    made.set_inheritable(True)
    return made


def serve(app: Any, listening: socket.socket) -> None:
    """Answers requests until SIGTERM or SIGINT, and then those that are under way."""
    _ignore_signals()
    uvicorn.Server(uvicorn.Config(app, **_SETTINGS)).run(sockets=[listening])


def serve_in_processes(given: Given, listening: socket.socket, processes: int) -> None:
    """`serve` in several processes, which share the socket."""
    os.environ[_GIVEN] = json.dumps(asdict(given))
    _ignore_signals()
    uvicorn.run(
        f"{__name__}:{app_of_process.__name__}",
        factory=True,
        workers=processes,
        fd=listening.fileno(),
        **_SETTINGS,
    )


def _ignore_signals() -> None:
    """uvicorn has handlers of its own; once it has stopped, it raises the signal again, to no effect."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
