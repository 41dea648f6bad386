"""`s2s serve`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.errors import S2SError, pip_install_hint
from s2s_cli.serving import Limits

_LIMITS = Limits()
_PANEL = "Limits"
_PACKAGES = ("fastapi", "uvicorn", "prometheus_client", "babel", "py3langid")


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A run or an artefact; its languages before it (en-de=runs/s2s), or --source and"
            " --target.",
        ),
    ],
    source: Annotated[
        str | None, typer.Option(help="ISO 639 code of what one model translates from.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="ISO 639 code of what it translates to.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0: all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 5000,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes, each with its own copy of the models.")
    ] = 1,
    api_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A key a line, one of which each request must have."),
    ] = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    alternatives: Annotated[
        int,
        typer.Option(
            min=0,
            help="Alternatives that a request may ask for; 0: none, which halves the memory.",
            rich_help_panel=_PANEL,
        ),
    ] = _LIMITS.alternatives,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Characters of a request.", rich_help_panel=_PANEL)
    ] = _LIMITS.characters,
    max_lines: Annotated[
        int, typer.Option(min=1, help="Lines of a request.", rich_help_panel=_PANEL)
    ] = _LIMITS.sentences,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Bytes of a request.", rich_help_panel=_PANEL)
    ] = _LIMITS.body_bytes,
    queue: Annotated[
        int,
        typer.Option(
            min=1,
            help="Lines that may wait; requests with further ones are answered 503.",
            rich_help_panel=_PANEL,
        ),
    ] = _LIMITS.queue,
    batch_size: Annotated[
        int,
        typer.Option(min=1, help="Lines that are translated together.", rich_help_panel=_PANEL),
    ] = _LIMITS.batch,
) -> None:
    """Answer over HTTP, in the protocol of LibreTranslate; a page for people is on /."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise S2SError(f"`s2s serve` needs {', '.join(missing)}.", pip_install_hint("serve"))
    from s2s_cli.serving.places import read_places, require_places
    from s2s_cli.serving.requests import read_keys

    places = read_places(models, source, target)
    limits = Limits(
        body_bytes=max_bytes,
        characters=max_characters,
        sentences=max_lines,
        queue=queue,
        alternatives=alternatives,
        batch=batch_size,
    )
    if api_keys:
        read_keys(api_keys)
    require_places(places)
    start_tensorflow(threads)
    from s2s_cli.serving.given import Given
    from s2s_cli.serving.server import bind, load_app, serve, serve_in_processes

    given = Given(places, limits, str(api_keys) if api_keys else None, checkpoint, threads)
    pairs = ", ".join(f"{place.source} to {place.target}" for place in places)
    with bind(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listening.getsockname()[1]}"
        # From `listen` on, requests wait in line; before it, they are refused.
        if processes > 1:
            listening.listen()
            console.say(f"starting {processes} processes on {address}: {pairs}")
            serve_in_processes(f"{__name__}:app_of_process", given, listening, processes)
        else:
            app = load_app(given)
            listening.listen()
            console.say(f"ready on {address}: {pairs}; {_megabytes()}", fg="green")
            serve(app, listening)
            if lost := app.state.service.under_way:
                raise S2SError(f"Stopped; {lost} requests were not answered in time.")
    console.say("stopped")


def app_of_process() -> Any:
    """The application in one of several processes."""
    from uvicorn.config import STARTUP_FAILURE

    from s2s_cli.serving.given import given_to_process

    given = given_to_process()
    start_tensorflow(given.threads)
    from s2s_cli.serving.server import load_app

    try:
        app = load_app(given)
    except S2SError as error:
        console.error(error)
        sys.exit(STARTUP_FAILURE)
    console.say(f"a process is ready; {_megabytes()}", fg="green")
    return app


def _megabytes() -> str:
    """The memory of this process, where the system says it."""
    try:
        import resource
    except ImportError:
        return "memory is not known on this system"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6:,.0f} MB of memory"
