"""What the commands have in common: arguments and options, each with its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see `s2s init`.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting; repeatable."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Processor threads; all of them by default.")
]
Checkpoint = Annotated[
    str, typer.Option("--checkpoint", help="best, latest, or the number of a step.")
]
# Named as in the decoding section, which they override.
BeamSize = Annotated[int | None, typer.Option("--beam-size", help="decoding.beam_size")]
LengthPenalty = Annotated[
    float | None, typer.Option("--length-penalty", help="decoding.length_penalty")
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="decoding.batch_size")]
Shortlist = Annotated[int | None, typer.Option("--shortlist", help="decoding.shortlist")]
Precision = Annotated[
    str | None, typer.Option("--precision", help="decoding.precision: auto, float32, bfloat16.")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a trained run.")]
NBest = Annotated[
    int | None, typer.Option("--n-best", help="decoding.n_best; written as Moses does from 2 on.")
]
MinLength = Annotated[int | None, typer.Option("--min-length", help="decoding.min_length")]
MaxLength = Annotated[int | None, typer.Option("--max-length", help="decoding.max_length")]
MaxLengthRatio = Annotated[
    float | None, typer.Option("--max-length-ratio", help="decoding.max_length_ratio")
]
MaxSourceLength = Annotated[
    int | None, typer.Option("--max-source-length", help="decoding.max_source_length")
]
LongSources = Annotated[
    str | None, typer.Option("--long-sources", help="decoding.long_sources: split or truncate.")
]
Errors = Annotated[
    str, typer.Option("--errors", help="What is not UTF-8: replace (by U+FFFD), or strict (stop).")
]
Texts = Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Sentences.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]
NewRun = Annotated[
    Path | None, typer.Option("--run", help="Run directory; runs/<name of CONFIG> by default.")
]
MaxMinutes = Annotated[
    float | None, typer.Option("--max-minutes", help="Same as --set training.max_minutes=…")
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on with a run after settings were changed.")
]
InputFile = Annotated[
    str, typer.Option("-i", "--input", help="File with a sentence a line; - is stdin.")
]
OutputFile = Annotated[str, typer.Option("-o", "--output", help="File; - is stdout.")]
Scores = Annotated[bool, typer.Option("--scores", help="Write each score too.")]
Alignments = Annotated[
    bool,
    typer.Option(
        "--alignments", help="Write which piece of the source each piece looked at, as i-j."
    ),
]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Write a JSON object a line.")]
