"""`s2s translate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding
from s2s_cli.errors import ConfigError, S2SError

if TYPE_CHECKING:
    from s2s_cli.cli.output import InputWarnings, Layout
    from s2s_cli.cli.translate_blocks import BlockTranslation, FileTranslation
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.text.glossary import Glossary

ERRORS = ("replace", "strict")


@options.with_section_options(Decoding, options.DECODING_PANEL)
def translate(
    run: options.RunDirectory,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...", help="Sentences; write -- before those that begin with -."
        ),
    ] = None,
    input_file: Annotated[
        str | None,
        typer.Option(
            "-i", "--input", help="File with one sentence a line; - is stdin.", show_default="-"
        ),
    ] = None,
    output_file: Annotated[
        str, typer.Option("-o", "--output", help="File to write; - is stdout.")
    ] = "-",
    errors: Annotated[
        str,
        typer.Option(
            "--errors",
            metavar="<replace|strict>",
            help="Where input is not UTF-8: replace it by U+FFFD, or stop.",
            autocompletion=lambda: list(ERRORS),
        ),
    ] = "replace",
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix",
            metavar="FILE",
            help="File with a line for each sentence, which its translation begins with; an empty line"
            " demands nothing.",
        ),
    ] = None,
    glossary: Annotated[
        str | None,
        typer.Option(
            "--glossary",
            metavar="FILE",
            help="File with a source term, a tab and a target term a line; where a sentence has the"
            " source term, its translations hold the target term.",
        ),
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Write the score of each translation.")
    ] = False,
    alignments: Annotated[
        bool,
        typer.Option(
            "--alignments",
            help="Write i-j for each token j of a translation and the source token i with its most"
            " attention.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object a line.")] = False,
    ensemble: options.Ensemble = None,
    checkpoint: options.Checkpoint = "best",
    workers: options.Workers = None,
    ray_address: options.RayAddress = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Translate shard I of N of the file, for `s2s merge` to join.",
        ),
    ] = None,
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Translate sentences, a file, or stdin: one line out for every line in."""
    from s2s_cli.cli.output import Layout, require_folder
    from s2s_cli.cli.translate_blocks import BlockTranslation, FileTranslation
    from s2s_cli.config.load import override_decoding

    if text and input_file is not None:
        raise ConfigError(
            "TEXT and --input exclude each other.", "Give sentences, or a file with --input."
        )
    if errors not in ERRORS:
        raise ConfigError(
            f"--errors is {errors!r}; choose from {', '.join(ERRORS)}.",
            "replace puts U+FFFD where the input is not UTF-8; strict stops there.",
        )
    require_folder(output_file)
    runs = options.runs_of(run, ensemble, checkpoint)
    decoding = override_decoding(runs[0].config(), **(overrides or {}))
    layout = Layout(
        scores=scores, alignments=alignments, n_best=decoding.n_best > 1, as_json=as_json
    )
    if workers or shard:
        _translate_blocks(
            FileTranslation(input_file or "-", output_file, prefix, errors == "strict"),
            BlockTranslation(
                tuple(str(one.root.resolve()) for one in runs),
                checkpoint,
                decoding,
                layout,
                glossary,
                threads,
            ),
            workers,
            ray_address,
            shard,
        )
        return
    start_tensorflow(threads)
    from s2s_cli.cli.arrivals import arrived_chunks
    from s2s_cli.cli.output import (
        InputWarnings,
        line_count,
        read_prefixes,
        read_sentences,
    )
    from s2s_cli.decoding.translator import CHUNK, Translator
    from s2s_cli.files import output
    from s2s_cli.text.chunks import chunks
    from s2s_cli.text.glossary import read_glossary

    entries = None if glossary is None else read_glossary(glossary)
    translator = Translator.from_runs(runs, checkpoint, decoding)
    terms = None if entries is None else translator.glossary(entries)
    warnings = InputWarnings()
    path = "-" if input_file is None else input_file
    is_typed = not text and path == "-" and sys.stdin.isatty()
    is_strict = errors == "strict"
    sentences = read_sentences(path, text or (), "strict" if is_strict else "replace", warnings)
    total = len(text) if text else line_count(path)
    prefixes = None if prefix is None else read_prefixes(prefix, total)
    # A bar would be mixed with translations that are written to the same terminal.
    shows_progress = not is_typed and (output_file != "-" or not sys.stdout.isatty())
    with (
        output(output_file) as file,
        console.Meter("translating", total, "line", show=shows_progress) as meter,
    ):
        if is_typed:
            some = chunks(console.prompt_lines(), 1)
        elif text or total is not None:
            some = chunks(sentences, CHUNK)
        else:
            some = arrived_chunks(sentences, CHUNK)
        for lines in translated_lines(
            translator,
            some,
            layout,
            warnings,
            on_batch=meter.add,
            prefixes=prefixes,
            glossary=terms,
        ):
            file.writelines(line + "\n" for line in lines)
            file.flush()
    used = translator.decoding
    for sentence in warnings.sentences(used.max_source_length, used.long_sources):
        console.warn(sentence)


def _translate_blocks(
    file: FileTranslation,
    translation: BlockTranslation,
    workers: int | None,
    ray_address: str | None,
    shard: str | None,
) -> None:
    """Translates a file, or a shard of it, in blocks."""
    from s2s_cli.cli.translate_blocks import translate_shard, translate_with_workers
    from s2s_cli.cluster.blocks import Shard

    if shard is not None:
        if workers:
            raise ConfigError(
                "--shard and --workers exclude each other.",
                "--workers needs Ray and joins the parts; --shard needs nothing, and `s2s merge`.",
            )
        translate_shard(file, translation, Shard.parse(shard))
        return
    assert workers is not None
    translate_with_workers(
        file,
        translation,
        workers=workers,
        address=ray_address,
        threads=options.threads_of_worker(translation.threads, workers),
    )


def translated_lines(
    translator: Translator,
    chunks: Iterable[list[str]],
    layout: Layout,
    warnings: InputWarnings,
    *,
    on_batch: Callable[[int], None] = lambda count: None,
    first: int = 0,
    prefixes: Iterator[str] | None = None,
    glossary: Glossary | None = None,
) -> Iterator[list[str]]:
    """The output lines of each chunk of sentences, in order, of which each has its prefix.

    The sentences are numbered from `first` on.

    What is remarkable about translations is added to `warnings`. Raises S2SError where memory is too
    short, and DataError where there are fewer or more prefixes than sentences.
    """
    from s2s_cli.cli.output import unequal_prefixes

    try:
        number = first
        for sentences in chunks:
            lines: list[str] = []
            begin = None if prefixes is None else list(islice(prefixes, len(sentences)))
            if begin is not None and len(begin) < len(sentences):
                raise unequal_prefixes(f"there are only {number + len(begin):,} lines.")
            for found in translator.n_best(sentences, on_batch, prefixes=begin, glossary=glossary):
                warnings.add(number + 1, found)
                lines += layout.lines(number, found)
                number += 1
            yield lines
        if prefixes is not None and next(prefixes, None) is not None:
            raise unequal_prefixes(f"there are more lines than the {number:,} sentences.")
    except MemoryError:
        raise S2SError(
            f"memory is too short to translate {translator.decoding.batch_size} sentences at"
            f" once, each of up to {translator.decoding.max_source_length} tokens.",
            "Lower --batch-size, --beam-size or --max-source-length.",
        ) from None
