"""`s2s evaluate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def evaluate(
    run: options.RunDirectory,
    source: Annotated[str, typer.Option(help="File with one source sentence a line.")],
    reference: Annotated[str, typer.Option(help="File with the translation of each line.")],
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Score a run on a test set: BLEU and chrF, with sacreBLEU's signatures."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.runs.run import Run

    directory = Run(run)
    config = directory.config()
    decoding = override_decoding(config, **(overrides or {}), n_best=1)
    directory.find_checkpoint(checkpoint)
    start_tensorflow(threads)
    from s2s_cli.cli.output import line_count
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.evaluation.evaluate import evaluate

    translator = Translator.from_run(directory, checkpoint, decoding)
    with console.Meter("translating", line_count(source), "line") as meter:
        evaluation = evaluate(
            directory,
            translator,
            source,
            reference,
            checkpoint=checkpoint,
            bleu_tokenizer=config.training.bleu_tokenizer,
            on_batch=meter.add,
        )
    for score in evaluation.scores:
        console.print_line(f"{score.name.upper():<5} {score.value:6.2f}  {score.signature}")
    console.say(f"sources, references and translations: {evaluation.record}")
