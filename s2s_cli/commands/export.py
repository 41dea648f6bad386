"""`s2s export`: writes an artefact, proves it in a fresh process, and only then shows it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from s2s_cli.decoding.translator import Translator, load_model
from s2s_cli.errors import ExportError
from s2s_cli.export import FORMATS, keras_models, saved_model
from s2s_cli.export.proof import Proof, prove
from s2s_cli.files import flush_folder, replace_folder
from s2s_cli.run import Run
from s2s_cli.schema import Decoding

WRITERS = dict(zip(FORMATS, (keras_models.write, saved_model.write), strict=True))


def export(
    run: Run, export_format: str, output: Path | None, checkpoint: str
) -> tuple[Path, Proof]:
    """Exports a checkpoint of a run; returns where it lies and what was compared.

    Everything is written beside `output` and renamed after the proof, so a
    failure leaves nothing behind and an artefact of before in place.
    """
    output = (output or run.export(export_format)).resolve()
    _require_replaceable(output)
    config = run.config()
    decoding = _searched(config.decoding, export_format)
    config = config.model_copy(update={"decoding": decoding})
    seq2seq, source, target = load_model(run, config, checkpoint)
    plain, *_ = load_model(run, config, checkpoint, plain=True)
    samples = run.samples()
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        WRITERS[export_format](beside, plain, run, config)
        translator = Translator.of_layers(seq2seq, source, target, config.decoding)
        sources = [ids for ids in source.encode(samples) if ids]
        proof = prove(beside, export_format, seq2seq, translator, sources)
        flush_folder(beside)
        replace_folder(beside, output)
    except OSError as error:
        raise ExportError(f"{output}: cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return output, proof


def _searched(decoding: Decoding, export_format: str) -> Decoding:
    """The search that an artefact does: in float32, over all types, and greedy in a program
    for reading."""
    greedy = {"beam_size": 1, "n_best": 1, "min_length": 0}
    changes = greedy if export_format == "keras" else {"n_best": 1}
    everywhere = {"shortlist": None, "precision": "float32"}
    return decoding.model_copy(update={**changes, **everywhere})


def _require_replaceable(output: Path) -> None:
    """Refuses to replace what no export has written."""
    if not output.exists() or (output / "s2s-export.yaml").is_file():
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    raise ExportError(
        f"{output}: there is something in its place that is not an export.",
        "Name another directory with --output.",
    )
