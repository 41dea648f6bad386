"""Arguments and options that commands share, and options made from a section of the schema."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from s2s_cli.config.annotations import bounds, choices_in, default_text, value_type
from s2s_cli.config.schema import Section, Training
from s2s_cli.config.yaml_values import parse_yaml

if TYPE_CHECKING:
    from s2s_cli.runs.run import Run

Command = Callable[..., None]

DECODING_PANEL = "Decoding (defaults of a new config; a run may have others)"

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A YAML file; `s2s init` writes one.")
]
RunDirectory = Annotated[
    Path, typer.Argument(metavar="RUN", help="Directory of a trained run, such as runs/NAME.")
]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        "--ensemble",
        metavar="RUN",
        help="Translate with this run too: each token has the mean of its probabilities in all runs,"
        " which must have the same vocabularies. Repeatable.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the config, such as training.seed=2. Repeatable.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Processor threads to use.", show_default="all"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Share the work among so many processes, which Ray starts.",
        show_default="this process alone",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="A Ray cluster for --workers, such as auto or ray://HOST:10001.",
        show_default="this machine",
    ),
]
Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        metavar="<best|latest|N>",
        help="Checkpoint to use: the best, the latest, or that of step N.",
    ),
]

SYSTEM_HELP = (
    "Directory of a run, or a file with a translation a line (- is stdin), or a record that a run"
    " keeps in translations/."
)
Source = Annotated[
    str | None,
    typer.Option(
        "--source", metavar="FILE", help="File with a source sentence a line; a run needs it."
    ),
]
References = Annotated[
    list[str],
    typer.Option(
        "--reference",
        metavar="FILE",
        help="File with the translation of each line. Repeatable, for several references.",
    ),
]
BLEU_TOKENIZERS = get_args(Training.model_fields["bleu_tokenizer"].annotation)
BleuTokenizer = Annotated[
    str | None,
    typer.Option(
        "--bleu-tokenizer",
        metavar=f"<{'|'.join(BLEU_TOKENIZERS)}>",
        help="sacreBLEU's tokenizer; auto follows the script of the references; none is for files"
        " that are tokenised already.",
        show_default="that of the run, auto for files",
        autocompletion=lambda: list(BLEU_TOKENIZERS),
    ),
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Ignore case in BLEU and chrF; TER always does.")
]


def runs_of(run: Path, ensemble: list[Path] | None, checkpoint: str) -> list[Run]:
    """The run and those of its ensemble. Raises RunError where one cannot be read or has no such
    checkpoint, before TensorFlow is started."""
    from s2s_cli.runs.run import Run

    runs = [Run(path) for path in (run, *(ensemble or ()))]
    for one in runs:
        one.config()
        one.find_checkpoint(checkpoint)
    return runs


def thread_count(threads: int | None) -> int:
    """The value of --threads, or all threads of the processor."""
    return threads or os.cpu_count() or 1


def threads_of_worker(threads: int | None, workers: int) -> int:
    """The value of --threads, or a worker's share of all threads of this processor."""
    return threads or max(1, thread_count(None) // workers)


def with_section_options(
    section: type[Section],
    panel: str,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Callable[[Command], Command]:
    """Gives a command an option for each setting of `section`, or for some of them.

    The command must have a last parameter `overrides`, a dictionary. It receives the values that
    were given, read as YAML, by name of the setting. The schema has yet to validate them.
    """
    names = [
        name
        for name in section.model_fields
        if name not in without and (only is None or name in only)
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in names}
            overrides = {
                name: _value(name, text) for name, text in given.items() if text is not None
            }
            command(**arguments, overrides=overrides)

        parameters = list(inspect.signature(command, eval_str=True).parameters.values())
        assert parameters.pop().name == "overrides"
        parameters += [_parameter(name, section.model_fields[name], panel) for name in names]
        # Typer reads both.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _value(name: str, text: str) -> Any:
    value, _ = parse_yaml(text, option_name(name))
    return text if value is None else value


def _parameter(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    limits = f" [{' and '.join(bounds(field))}]" if bounds(field) else ""
    option = typer.Option(
        option_name(name),
        metavar=f"<{value_type(field)}>{limits}",
        help=" ".join((field.description or "").split()),
        show_default=default_text(field),
        rich_help_panel=panel,
        autocompletion=lambda: choices_in(field.annotation),
    )
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option])


def option_name(setting: str) -> str:
    """The option for a setting: its name with hyphens."""
    return "--" + setting.replace("_", "-")
