"""`s2s evaluate`."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding, Training
from s2s_cli.errors import ConfigError

BLEU_TOKENIZERS = get_args(Training.model_fields["bleu_tokenizer"].annotation)


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def evaluate(
    run: options.RunDirectory,
    source: Annotated[str, typer.Option(help="File with one source sentence a line.")],
    reference: Annotated[str, typer.Option(help="File with the translation of each line.")],
    bleu_tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar=f"<{'|'.join(BLEU_TOKENIZERS)}>",
            help="sacreBLEU's tokenizer; auto follows the script of the references.",
            show_default="as the run's training.bleu_tokenizer",
        ),
    ] = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Score a run on a test set: BLEU and chrF, with sacreBLEU's signatures."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.runs.run import Run

    directory = Run(run)
    config = directory.config()
    bleu_tokenizer = bleu_tokenizer or config.training.bleu_tokenizer
    if bleu_tokenizer not in BLEU_TOKENIZERS:
        raise ConfigError(
            f"--bleu-tokenizer is {bleu_tokenizer!r}; choose from {', '.join(BLEU_TOKENIZERS)}.",
            "zh is for Chinese, char for other scripts without spaces, 13a for all others.",
        )
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
            bleu_tokenizer=bleu_tokenizer,
            on_batch=meter.add,
        )
    for score in evaluation.scores:
        console.print_line(f"{score.name.upper():<5} {score.value:6.2f}  {score.signature}")
    if evaluation.better_tokenizer is not None:
        console.warn(
            "the references are written without spaces between words, so BLEU with"
            f" {bleu_tokenizer} takes whole lines for words; score with --bleu-tokenizer"
            f" {evaluation.better_tokenizer}"
        )
    console.say(f"sources, references and translations: {evaluation.record}")
