"""Runs a server until it is told to stop."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import uvicorn

from s2s_cli import runtime
from s2s_cli.errors import S2SError
from s2s_cli.serving.app import make_app
from s2s_cli.serving.given import Given, give_to_processes
from s2s_cli.serving.models import load_model
from s2s_cli.serving.requests import read_keys

# Requests that are under way when a server is told to stop may take as long.
STOP_SECONDS = 30
# Neither texts nor addresses are logged.
_SETTINGS: dict[str, Any] = {
    "log_level": "error",
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": STOP_SECONDS,
}


def load_app(given: Given) -> Any:
    """The application, with its models warm. Raises S2SError."""
    runtime.start(given.threads)
    models = [
        load_model(place, given.checkpoint, given.limits.alternatives) for place in given.places
    ]
    keys = read_keys(Path(given.keys_file)) if given.keys_file else []
    return make_app(models, given.limits, keys)


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


def serve_in_processes(
    factory: str, given: Given, listening: socket.socket, processes: int
) -> None:
    """`serve` in several processes, which share the socket.

    `factory`: `module:function` that gives the application in each of them, and ends the process with
    STARTUP_FAILURE where it cannot: with any other code, it would be started again.
    """
    give_to_processes(given)
    _ignore_signals()
    uvicorn.run(
        factory,
        factory=True,
        workers=processes,
        fd=listening.fileno(),
        **_SETTINGS,
    )


def _ignore_signals() -> None:
    """uvicorn has handlers of its own; once it has stopped, it raises the signal again, to no effect."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
