"""Writes an artefact, proves it in a fresh process, and only then puts it in its place."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.decoding.model_search import ModelSearch
from s2s_cli.decoding.translator import Translator, load_tokenizers
from s2s_cli.errors import ExportError
from s2s_cli.export import FORMATS, keras_models, saved_model
from s2s_cli.export.description import DESCRIPTION
from s2s_cli.export.proof import Proof, prove
from s2s_cli.files import flush_folder, replace_folder
from s2s_cli.model.family import VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import read_inference_weights, require_size
from s2s_cli.runs.run import Run

# Each module has NAME, RUNNER, `search_settings` and `write`.
MODULES: dict[str, ModuleType] = dict(zip(FORMATS, (keras_models, saved_model), strict=True))


def export(
    run: Run, export_format: str, output: Path | None, checkpoint: str = "best"
) -> tuple[Path, Proof]:
    """Exports a checkpoint of a run; returns where the artefact is and what was compared.

    It is written beside `output` and renamed after the proof, so a failure leaves nothing
    behind and an earlier artefact in place. Raises ExportError, RunError.
    """
    output = (output or run.export(export_format)).resolve()
    _require_replaceable(output)
    module, config = MODULES[export_format], run.config()
    # The artefact searches the whole vocabulary in float32, which every runtime can.
    decoding = module.search_settings(config.decoding).model_copy(
        update={"shortlist": None, "precision": "float32"}
    )
    config = config.model_copy(update={"decoding": decoding})
    folder = run.find_checkpoint(checkpoint)
    tokenizers = load_tokenizers(run, config, folder)
    sizes = VocabSizes(*tokenizers.vocab_sizes)
    seq2seq = _load_weights(config, folder, sizes, "float32")
    samples = run.samples()
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        left_out = module.write(beside, seq2seq, run, config)
        search = ModelSearch((config.model,), sizes, decoding)
        translator = Translator.from_weights(search, seq2seq.weights, tokenizers)
        sources = [ids for ids in tokenizers.source.encode(samples) if ids]
        proof = prove(beside, export_format, module.RUNNER, seq2seq, translator, sources)
        flush_folder(beside)
        replace_folder(beside, output)
    except OSError as error:
        raise ExportError(f"{output}: cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return output, replace(proof, left_out=left_out)


def load_model(run: Run, checkpoint: str = "best", precision: str = "float32") -> Seq2Seq:
    """The Keras models of a checkpoint, for inference. Raises RunError."""
    config, folder = run.config(), run.find_checkpoint(checkpoint)
    sizes = VocabSizes(*load_tokenizers(run, config, folder).vocab_sizes)
    return _load_weights(config, folder, sizes, precision)


def _load_weights(
    config: ResolvedConfig, folder: Path, sizes: VocabSizes, precision: str
) -> Seq2Seq:
    require_size(folder, family_of(config.model).parameter_count(config.model, sizes))
    seq2seq = Seq2Seq(config.model, sizes, LayerFactory.for_inference(precision))
    seq2seq.load(read_inference_weights(folder, seq2seq.shapes))
    return seq2seq


def _require_replaceable(output: Path) -> None:
    """Refuses to replace what no export has written."""
    if not output.exists() or (output / DESCRIPTION).is_file():
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    raise ExportError(
        f"{output}: there is something here that is not an export.",
        "Name another directory with --output.",
    )
