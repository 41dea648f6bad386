"""Measures training and decoding, and compares them with the machine's limit and other programs.

    make bench                                     invented pairs; about ten minutes
    make bench BENCH="--corpus a.en a.de"          a corpus of yours
    make bench BENCH="--run RUN --test test.en"    also how fast that run translates
    make bench BENCH="--scale 1000000 5000000"     how cost grows with the corpus
    make bench BENCH="--against DIR …"             alternating with other programs

Every figure is the median of several processes, with the smallest and the largest. Where there is
another program, it alternates with ours, and the ratio is the median over the pairs. The share of
the limit compares the matrix products of the model with one large matrix product in the same
precision. Where the figure is seconds, less is better, and a ratio below 1 is in our favour.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli import runtime

HERE = Path(__file__).parent

# Runs one measurement and returns its figures by name.
Measurement = Callable[[], dict[str, Any]]


class Case(NamedTuple):
    """Something to measure, ours and perhaps another program's; `figure` is what is compared."""

    name: str
    figure: str
    ours: Measurement
    peer: Measurement | None = None


def main() -> None:
    """Measures what the arguments name; writes a table, and JSON with --json."""
    runtime.start(inter_op_threads=1)
    arguments = _parse_arguments()
    from benchmarks import machine

    report: dict[str, Any] = {"machine": machine.describe(), "limits": machine.limits()}
    _write(json.dumps(report["machine"], indent=2))
    report["rows"] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(arguments, Path(folder)):
            row = _measure(case, arguments.repeat)
            report["rows"].append(row)
            _write(_line(row))
            for dtype, rate in machine.limits().items():
                report["limits"][dtype] = max(rate, report["limits"][dtype])
    # A machine that others use too reaches its limit only at times.
    _write("the fastest large matrix product, measured between all cases:")
    for dtype, rate in report["limits"].items():
        _write(f"limit, {dtype}: {rate:.0f} GFLOP/s")
    for row in report["rows"]:
        _add_share(row, report["limits"])
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", nargs=2, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--run", help="a trained run, to measure its translating")
    parser.add_argument("--test", help="sentences for it, one a line")
    parser.add_argument("--scale", nargs="+", type=int, default=[], metavar="PAIRS")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--shortlist", nargs="+", type=int, default=[64])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="OpenNMT-py, installed, with its corpus"
    )
    parser.add_argument("--checkpoint", help="its checkpoint, to measure its translating")
    parser.add_argument("--test-pieces", type=Path, help="--test, tokenised for it")
    parser.add_argument("--torch-step", type=Path, help="the PyTorch reference step")
    parser.add_argument("--eole", type=Path, metavar="SCRIPT", help="trains with Eole in DIR")
    parser.add_argument(
        "--marian",
        type=Path,
        nargs=2,
        metavar=("SCRIPT", "PYTHON"),
        help="trains with Marian in DIR",
    )
    parser.add_argument("--tutorial", type=Path, help="the tutorials' decoding loop")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    arguments = parser.parse_args()
    if arguments.against and not arguments.corpus:
        parser.error("--against needs --corpus: the corpus that the program was prepared with")
    needs_folder = (arguments.torch_step, arguments.checkpoint, arguments.eole, arguments.marian)
    if any(needs_folder) and not arguments.against:
        parser.error("--torch-step, --checkpoint, --eole and --marian need --against DIR")
    if arguments.run and not arguments.test:
        parser.error("--run needs --test, sentences to translate")
    if arguments.checkpoint and not arguments.test_pieces:
        parser.error("--checkpoint needs --test-pieces, the same sentences, tokenised")
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    return arguments


# Cases.


def _cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    make = _scale_cases if arguments.scale else _speed_cases
    return (case for case in make(arguments, folder) if arguments.only in case.name)


def _speed_cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    yield from _reference_cases(arguments, folder)
    yield from _bare_cases(arguments, folder)
    if arguments.run:
        yield from _decoding_cases(arguments)
        yield from _single_cases(arguments)


def _reference_cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    from benchmarks import cases, peers
    from s2s_cli.text.lines import read_lines

    if arguments.corpus:
        pairs = list(zip(*map(read_lines, arguments.corpus), strict=True))
    else:
        pairs = list(cases.captions())
    corpus = cases.make_data(folder / "corpus", pairs, {"type": "bpe", "vocab_size": 8000})
    for precision in _training_precisions(arguments):
        ours = _training(arguments, corpus, cases.REFERENCE, precision)
        peer = None
        if arguments.against:
            peer = functools.partial(peers.opennmt_training, arguments.against, "lstm.yaml", 150)
        yield Case(f"training reference {precision}", "target_tokens_per_second", ours, peer)
    for precision in _training_precisions(arguments):
        yield from _transformer_cases(arguments, corpus, precision)


def _transformer_cases(
    arguments: argparse.Namespace, corpus: Path, precision: str
) -> Iterator[Case]:
    from benchmarks import cases, peers

    folder, figure = arguments.against, "target_tokens_per_second"
    ours = _training(arguments, corpus, cases.TRANSFORMER_TINY, precision)
    name = f"training transformer-tiny {precision}"
    peer = folder and functools.partial(peers.opennmt_training, folder, "tiny.yaml", 80)
    yield Case(name, figure, ours, peer)
    if arguments.eole:
        peer = functools.partial(peers.eole_training, arguments.eole, folder, 80)
        yield Case(f"{name}, Eole", figure, ours, peer)
    peer = None
    if arguments.marian:
        script, python = arguments.marian
        peer = functools.partial(peers.marian_training, script, python, folder, "tiny", 150)
    ours = _training(arguments, corpus, cases.TRANSFORMER_TINY_64, precision)
    yield Case(f"training transformer-tiny-64 {precision}", figure, ours, peer)


def _training_precisions(arguments: argparse.Namespace) -> list[str]:
    names = [name for name in arguments.precision if name != "int8"]
    return [runtime.resolve_training_precision(name) for name in names]


def _bare_cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    from benchmarks import cases, peers

    words = {"type": "word", "vocab_size": 8004}
    data = cases.make_data(folder / "equal_lengths", list(cases.equal_lengths()), words)
    precisions = _training_precisions(arguments)
    for precision, (units, batch) in itertools.product(precisions, cases.BARE_SIZES):
        ours = _training(arguments, data, cases.bare(units, batch), precision)
        peer = None
        if arguments.torch_step:
            python = arguments.against / "venv/bin/python"
            peer = functools.partial(
                peers.torch_training, arguments.torch_step, python, units, batch, precision
            )
        yield Case(f"training bare-{units} {precision}", "target_tokens_per_second", ours, peer)


def _decoding_cases(arguments: argparse.Namespace) -> Iterator[Case]:
    from benchmarks import peers

    precisions = [runtime.resolve_decoding_precision(name) for name in arguments.precision]
    searches = itertools.product(precisions, (1, 5), (None, *arguments.shortlist))
    for precision, beam_size, shortlist in searches:
        decoding = {"precision": precision, "beam_size": beam_size, "shortlist": shortlist}
        inputs = {"run": arguments.run, "source": arguments.test, "decoding": decoding}
        peer = None
        if arguments.checkpoint:
            peer = functools.partial(
                peers.opennmt_decoding,
                arguments.against,
                arguments.checkpoint,
                arguments.test_pieces,
                beam_size,
            )
        name = f"decoding {precision} beam {beam_size}"
        name += f" shortlist {shortlist}" if shortlist else ""
        yield Case(name, "sentences_per_second", _process("decoding", arguments, inputs), peer)


def _single_cases(arguments: argparse.Namespace) -> Iterator[Case]:
    from benchmarks import peers

    precision = runtime.resolve_decoding_precision(arguments.precision[-1])
    decoding = {"beam_size": 1, "precision": precision}
    inputs = {"run": arguments.run, "source": arguments.test, "decoding": decoding}
    ours = _process("decoding", arguments, inputs)
    peer = None
    if arguments.tutorial:
        peer = functools.partial(peers.tutorial_decoding, arguments.tutorial)
    yield Case("decoding one by one", "single_sentences_per_second", ours, peer)
    program = [sys.executable, "-m", "s2s_cli", "translate", arguments.run]
    program.append("A man sits on a bench.")
    imports = [sys.executable, "-c", "import keras, tensorflow"]
    subprocess.run(program, stdout=subprocess.DEVNULL, check=True)  # fills the graph cache
    yield Case("start-up", "seconds", _wall_time(program), _wall_time(imports))
    name = "start-up, empty cache"
    yield Case(name, "seconds", _wall_time(program, empty_cache=True), _wall_time(imports))


def _scale_cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    from benchmarks import scale

    for pairs in arguments.scale:
        corpus = folder / str(pairs)
        inputs = {"folder": str(corpus), "pairs": pairs}

        def stage(name: str, inputs: dict[str, Any] = inputs) -> Measurement:
            return _process("scale", arguments, {"stage": name, **inputs})

        yield Case(f"plan of {pairs} pairs", "seconds", stage("plan"))
        stored = Case(f"store of {pairs} pairs", "seconds", stage("store"), stage("tokenizer"))
        batch = Case(f"first batch of {pairs} pairs", "seconds", stage("batch"))
        if any(arguments.only in case.name for case in (stored, batch)):
            scale.make_corpus(corpus, pairs)
            yield from (stored, batch)


# Measurements.


def _training(
    arguments: argparse.Namespace, data: Path, config: dict[str, Any], precision: str
) -> Measurement:
    """Measures the training of a config."""
    training = {**config["training"], "precision": precision}
    inputs = {"data": str(data), "steps": arguments.steps, **config, "training": training}
    return _process("training", arguments, inputs)


def _process(module: str, arguments: argparse.Namespace, inputs: dict[str, Any]) -> Measurement:
    """Runs a module of this package, with `inputs`, in a process of its own."""
    inputs = {**inputs, "threads": arguments.threads}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}

    def measure() -> dict[str, Any]:
        process = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(inputs)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(process.stdout.splitlines()[-1])

    return measure


def _wall_time(command: list[str], *, empty_cache: bool = False) -> Measurement:
    """Measures the seconds of a whole process, with the user's graph cache or with an empty one."""

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as empty:
            environment = {**os.environ, **({"XDG_CACHE_HOME": empty} if empty_cache else {})}
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started = time.perf_counter()
            subprocess.run(command, env=environment, check=True, **quiet)
            return {"seconds": time.perf_counter() - started}

    return measure


def _measure(case: Case, repeat: int) -> dict[str, Any]:
    """Runs ours and the other program in turn, and summarises."""
    ours, peers = [], []
    for _ in range(repeat):
        ours.append(case.ours())
        if case.peer:
            peers.append(case.peer())
    figure = case.figure
    row = {"case": case.name, "figure": figure, "runs": ours, "peer_runs": peers}
    row |= {f"ours_{name}": value for name, value in _spread([r[figure] for r in ours]).items()}
    if peers:
        row |= {f"peer_{name}": v for name, v in _spread([r[figure] for r in peers]).items()}
        row["ratio"] = statistics.median(
            mine[figure] / theirs[figure] for mine, theirs in zip(ours, peers, strict=True)
        )
    return row


# The table.


def _add_share(row: dict[str, Any], limits: dict[str, float]) -> None:
    """Adds, and writes, the share of the machine's limit that the products of a case reach."""
    if "gflops" in row["runs"][0]:
        limit = limits[row["runs"][0].get("precision", "float32")]
        row["share_of_limit"] = statistics.median(run["gflops"] / limit for run in row["runs"])
        _write(f"{row['case']:<30} {row['share_of_limit']:.0%} of the limit")


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _line(row: dict[str, Any]) -> str:
    """A row of the table."""
    runs = row["runs"]
    text = f"{row['case']:<30} {_figures(row, 'ours')}"
    text += f" {row['figure'].replace('_per_second', '/s').replace('_', ' ')}"
    if "gflops" in runs[0]:
        text += f", {statistics.median(run['gflops'] for run in runs):.0f} GFLOP/s"
    if "first_pass_sentences_per_second" in runs[0]:
        first = statistics.median(run["first_pass_sentences_per_second"] for run in runs)
        text += f", first pass {first:.0f}"
    for name, unit in (("padding_share", ""), ("single_p50_ms", " ms"), ("single_p99_ms", " ms")):
        if name in runs[0]:
            value = statistics.median(run[name] for run in runs)
            figure = f"{value:.1%}" if name == "padding_share" else f"{value:.1f}{unit}"
            text += f", {name.replace('_ms', '').replace('_', ' ')} {figure}"
    if "peak_mib" in runs[0]:
        text += f", peak {statistics.median(run['peak_mib'] for run in runs):.0f} MiB"
    if "ratio" in row:
        text += f"; peer {_figures(row, 'peer')}, ratio {row['ratio']:.2f}"
    return text


def _figures(row: dict[str, Any], whose: str) -> str:
    median, least, most = (row[f"{whose}_{name}"] for name in ("median", "min", "max"))
    digits = 0 if median >= 100 else 2
    return f"{median:8.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
