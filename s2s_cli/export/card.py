"""README.md of an artefact: its model card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s2s_cli import __version__
from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.errors import RunError
from s2s_cli.evaluation.records import read_record
from s2s_cli.export.artefact import CARD, versions
from s2s_cli.export.format import Format
from s2s_cli.files import write_text
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run, step_of


def write_card(
    folder: Path,
    export_format: Format,
    run: Run,
    config: ResolvedConfig,
    seq2seq: Seq2Seq,
    checkpoint: Path,
    precision: str,
) -> None:
    """Writes what the model is, what it was trained on, how it scored, and how it is used."""
    packages = [f"{name}=={version}" for name, version in versions(export_format).items()]
    training = seq2seq.training_model
    decoding = config.decoding
    search = "greedy" if decoding.beam_size == 1 else f"with a beam of {decoding.beam_size}"
    lines = [
        f"# A translation model, exported as {export_format.name}",
        "",
        "    pip install " + " ".join(packages),
        "    python translate.py < input.txt > output.txt",
        "",
        "| | |",
        "|---|---|",
        f"| architecture | {config.model.architecture}, {training.count_params():,} weights, {precision} |",
        f"| tokenizer | SentencePiece, {config.tokenizer.type} |",
        f"| search | {search}, at most {decoding.max_source_length} source tokens at once |",
        *(f"| trained on | {name} |" for name in _corpora(config)),
        f"| checkpoint | step {step_of(checkpoint)} |",
        *_scores(run, step_of(checkpoint)),
        f"| made by | s2s {__version__} |",
        "| languages | not stated; write them here |",
        "| licence | not stated; write it here. It may depend on the corpora |",
        "",
        "`s2s verify` on this folder translates the sentences of its proof again. `proof.json` has what"
        " was",
        "compared; `checksums.json` has a checksum of every file but this page.",
        "",
    ]
    write_text(folder / CARD, "\n".join(lines))


def _corpora(config: ResolvedConfig) -> list[str]:
    """The names of the training files, without their folders, which are those of one machine."""
    found = [
        Path(path).name
        for corpus in config.data.model_dump()["train"]
        for key, path in corpus.items()
        if key in ("source", "target", "tsv", "path") and isinstance(path, str)
    ]
    return list(dict.fromkeys(found))


def _scores(run: Run, step: int) -> Iterator[str]:
    """A row for each score of the validation at a step, where its record is there."""
    try:
        description, _ = read_record(run.validation_translations(step))
        scores = [(s["name"], float(s["value"]), s["signature"]) for s in description["scores"]]
    except (RunError, KeyError, TypeError, ValueError):
        return
    for name, value, signature in scores:
        yield f"| {name} on validation | {value:.2f}, `{signature}` |"
