"""Writes an artefact, proves it in a fresh process, and only then puts it in its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.decoding.loading import load_weights
from s2s_cli.decoding.model_search import ModelSearch
from s2s_cli.decoding.translator import Translator, load_tokenizers, resolve_decoding
from s2s_cli.errors import ExportError
from s2s_cli.export import DESCRIPTION
from s2s_cli.export.artefact import (
    size,
    versions,
    write_checksums,
    write_description,
)
from s2s_cli.export.card import write_card
from s2s_cli.export.format import (
    Format,
    require_followed,
    require_installed,
    require_possible,
    require_precision,
)
from s2s_cli.export.formats import FORMATS
from s2s_cli.export.proof import (
    Comparison,
    Proof,
    Subject,
    compare,
    logit_difference,
    measured_speeds,
    proof_sentences,
)
from s2s_cli.export.quality import compare_quality, held_out
from s2s_cli.files import flush_folder, replace_folder
from s2s_cli.model.family import VocabSizes
from s2s_cli.runs.run import Run


def export(
    run: Run,
    export_format: str,
    output: Path | None,
    checkpoint: str = "best",
    decoding: Decoding | None = None,
    precision: str = "float32",
) -> tuple[Path, Proof]:
    """Exports a checkpoint of a run; returns where the artefact is and what was compared.

    It searches as `decoding` says (None: as the run does), with weights of `precision`. It is written
    beside `output` and renamed after the proof, so a failure leaves nothing behind and an earlier
    artefact in place. Raises ExportError, RunError.
    """
    suffix = "" if precision == "float32" else f"-{precision}"
    output = (output or run.export(f"{export_format}{suffix}")).resolve()
    _require_replaceable(output)
    used, config = FORMATS[export_format], run.config()
    requested = decoding or config.decoding
    require_possible(used, config)
    require_precision(used, precision)
    require_followed(used, requested)
    require_installed(used)
    notes = _notes(config.decoding)
    config = config.model_copy(update={"decoding": _exported(requested, config)})
    folder = run.find_checkpoint(checkpoint)
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        proof = _write_and_prove(beside, used, run, config, folder, precision, notes)
        flush_folder(beside)
        replace_folder(beside, output)
    except OSError as error:
        place = error.filename or output
        raise ExportError(f"{place}: {error.strerror or error}. Nothing was written.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return output, proof


def _write_and_prove(
    beside: Path,
    export_format: Format,
    run: Run,
    config: ResolvedConfig,
    checkpoint: Path,
    precision: str,
    notes: tuple[str, ...],
) -> Proof:
    """Writes the whole artefact to a folder; `notes` say what it does otherwise than the run."""
    tokenizers, samples = load_tokenizers(run, config, checkpoint), run.samples()
    sizes = VocabSizes(*tokenizers.vocab_sizes)
    seq2seq = load_weights(config, checkpoint, sizes, "float32")
    write_description(beside, export_format, run, config, precision)
    left_out = export_format.write(beside, seq2seq, config, precision)
    write_card(beside, export_format, run, config, seq2seq, checkpoint, precision)
    search = ModelSearch((config.model,), sizes, config.decoding)
    translator = Translator.from_weights(search, seq2seq.weights, tokenizers)
    longest = config.decoding.max_source_length
    assert longest is not None  # resolved
    tokens = list(map(len, tokenizers.source.encode(samples)))
    sentences = proof_sentences(samples, tokens, longest)
    subject = Subject(beside, export_format, seq2seq, translator, tokenizers.source.tokens())
    is_exact = export_format.has_same_beam or config.decoding.beam_size == 1
    if precision == "float32" and is_exact:
        compared = compare(subject, sentences)
    else:
        compared = compare_quality(
            subject, sentences, held_out(run), config.training.bleu_tokenizer
        )
    compared.write_sentences(beside)
    proof = _proof(compared, subject, precision, (*left_out, *notes, *compared.notes))
    proof.write(beside)
    write_checksums(beside)
    return proof


def _proof(compared: Comparison, subject: Subject, precision: str, notes: tuple[str, ...]) -> Proof:
    """What was compared, with sizes and speeds."""
    one_by_one, in_batches = compared.artefact.speeds
    run_one_by_one, run_in_batches = measured_speeds(subject.translator, compared.sentences)
    return Proof(
        sentences=len(compared.sentences),
        ties=compared.ties,
        different=compared.different,
        precision=precision,
        quality=compared.quality,
        logit_difference=logit_difference(subject, compared.artefact, precision),
        bytes=size(subject.folder),
        speed_one_by_one=one_by_one,
        speed_in_batches=in_batches,
        run_speed_one_by_one=run_one_by_one,
        run_speed_in_batches=run_in_batches,
        versions=versions(subject.export_format),
        notes=notes,
    )


def _exported(decoding: Decoding, config: ResolvedConfig) -> Decoding:
    """The search of an artefact: over the whole vocabulary and in float32, which every runtime can."""
    changes = {"n_best": 1, "shortlist": None, "precision": "float32"}
    return resolve_decoding(decoding.model_copy(update=changes), [config])


def _notes(decoding: Decoding) -> tuple[str, ...]:
    """A sentence for each setting of a run's search that its artefacts do not have."""
    notes = []
    if decoding.n_best > 1:
        notes.append(f"n_best is {decoding.n_best}: an export gives the best translation alone.")
    if decoding.shortlist is not None:
        notes.append(
            f"shortlist is {decoding.shortlist}: an export scores the whole vocabulary, as does the"
            " search that it was compared with."
        )
    if decoding.precision not in ("auto", "float32"):
        notes.append(
            f"precision is {decoding.precision}: an export computes in float32, as does the search"
            " that it was compared with."
        )
    return tuple(notes)


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
