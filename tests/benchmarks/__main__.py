"""How fast training and decoding are, beside what the machine can do and beside others.

    make bench                                     invented pairs; about ten minutes
    make bench BENCH="--corpus a.en a.de"          a corpus of yours
    make bench BENCH="--run RUN --test test.en"    and how fast that run translates
    make bench BENCH="--scale 1000000 5000000"     how cost grows with the corpus
    make bench BENCH="--against DIR …"             turn about with peers

Every figure is the median of several processes, with the least and the greatest; where
there is a peer, it runs in turn with ours and the ratio is the median of the pairs. The
share of the limit is what the arithmetic of the model amounts to of one large matrix
product of the same precision. Where the figure is seconds, less is better and a ratio
below 1 is ours.
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
from typing import Any

from s2s_cli import runtime

HERE = Path(__file__).parent


def main() -> None:
    """Measures what is asked for and writes a table and JSON."""
    runtime.start(chains=1)
    asked = _arguments()
    from benchmarks import machine

    report: dict[str, Any] = {"machine": machine.describe(), "limits": machine.limits()}
    _say(json.dumps(report["machine"], indent=2))
    report["rows"] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(asked, Path(folder)):
            row = _measure(*case, asked.repeat)
            report["rows"].append(row)
            _say(_line(row))
            for dtype, rate in machine.limits().items():
                report["limits"][dtype] = max(rate, report["limits"][dtype])
    # A machine that others use too is at its best only at times.
    _say("the most that one large matrix product reached, beside all this:")
    for dtype, rate in report["limits"].items():
        _say(f"limit, {dtype}: {rate:.0f} GFLOP/s")
    for row in report["rows"]:
        _share(row, report["limits"])
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--corpus", nargs=2, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--run", help="a trained run, to time its translating")
    parser.add_argument("--test", help="sentences for it, one a line")
    parser.add_argument("--scale", nargs="+", type=int, default=[], metavar="PAIRS")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--shortlist", nargs="+", type=int, default=[64])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="OpenNMT-py, set up and prepared"
    )
    parser.add_argument("--checkpoint", help="its checkpoint, to time its translating")
    parser.add_argument("--test-pieces", type=Path, help="--test in its pieces")
    parser.add_argument("--torch-step", type=Path, help="the PyTorch reference step")
    parser.add_argument("--tutorial", type=Path, help="the tutorials' decoding loop")
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args()
    if asked.against and not asked.corpus:
        parser.error("--against needs --corpus: the corpus that the peer was prepared with")
    if (asked.torch_step or asked.checkpoint) and not asked.against:
        parser.error("--torch-step and --checkpoint need --against, which has their Python")
    if asked.run and not asked.test:
        parser.error("--run needs --test, sentences to translate")
    if asked.checkpoint and not asked.test_pieces:
        parser.error("--checkpoint needs --test-pieces, the same sentences in its pieces")
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    return asked


def _cases(asked: argparse.Namespace, folder: Path) -> Iterator[tuple]:
    """(name, key figure, ours, peer or None) of everything to measure."""
    found = _scale_cases(asked, folder) if asked.scale else _speed_cases(asked, folder)
    return (case for case in found if asked.only in case[0])


def _speed_cases(asked: argparse.Namespace, folder: Path) -> Iterator[tuple]:
    yield from _reference_cases(asked, folder)
    yield from _bare_cases(asked, folder)
    if asked.run:
        yield from _decoding_cases(asked)
        yield from _single_cases(asked)


def _reference_cases(asked: argparse.Namespace, folder: Path) -> Iterator[tuple]:
    from benchmarks import cases, peers
    from s2s_cli.text.corpus import read_lines

    pairs = list(
        zip(*map(read_lines, asked.corpus), strict=True) if asked.corpus else cases.captions()
    )
    corpus = cases.make_data(folder / "corpus", pairs, {"type": "bpe", "vocab_size": 8000})
    for precision in _for_training(asked):
        ours = _ours(asked, corpus, cases.REFERENCE, precision)
        peer = asked.against and (lambda: peers.opennmt_training(asked.against, 150))
        yield f"training reference {precision}", "target_tokens_per_second", ours, peer


def _for_training(asked: argparse.Namespace) -> list[str]:
    names = [name for name in asked.precision if name != "int8"]
    return [runtime.choose_precision(name) for name in names]


def _bare_cases(asked: argparse.Namespace, folder: Path) -> Iterator[tuple]:
    from benchmarks import cases, peers

    words = {"type": "word", "vocab_size": 8004}
    even = cases.make_data(folder / "even", list(cases.even()), words)
    for precision, (units, batch) in itertools.product(_for_training(asked), cases.BARE_SIZES):
        ours = _ours(asked, even, cases.bare(units, batch), precision)
        peer = None
        if asked.torch_step:
            python = asked.against / "venv/bin/python"
            peer = functools.partial(
                peers.torch_training, asked.torch_step, python, units, batch, precision
            )
        yield f"training bare-{units} {precision}", "target_tokens_per_second", ours, peer


def _decoding_cases(asked: argparse.Namespace) -> Iterator[tuple]:
    from benchmarks import peers

    precisions = [runtime.choose_decoding_precision(name) for name in asked.precision]
    searches = itertools.product(precisions, (1, 5), (None, *asked.shortlist))
    for precision, beam_size, shortlist in searches:
        decoding = {"precision": precision, "beam_size": beam_size, "shortlist": shortlist}
        order = {"run": asked.run, "source": asked.test, "decoding": decoding}
        peer = None
        if asked.checkpoint:
            peer = functools.partial(
                peers.opennmt_decoding,
                asked.against,
                asked.checkpoint,
                asked.test_pieces,
                beam_size,
            )
        name = f"decoding {precision} beam {beam_size}"
        name += f" shortlist {shortlist}" if shortlist else ""
        yield name, "sentences_per_second", _process("decoding", asked, order), peer


def _single_cases(asked: argparse.Namespace) -> Iterator[tuple]:
    from benchmarks import peers

    precision = runtime.choose_decoding_precision(asked.precision[-1])
    decoding = {"beam_size": 1, "precision": precision}
    order = {"run": asked.run, "source": asked.test, "decoding": decoding}
    peer = asked.tutorial and functools.partial(peers.tutorial_decoding, asked.tutorial)
    ours = _process("decoding", asked, order)
    yield "decoding one by one", "single_sentences_per_second", ours, peer
    program = [sys.executable, "-m", "s2s_cli", "translate", asked.run, "A man sits on a bench."]
    imports = [sys.executable, "-c", "import keras, tensorflow"]
    subprocess.run(program, stdout=subprocess.DEVNULL, check=True)  # its search is kept now
    yield "start-up", "seconds", _timed(program), _timed(imports)
    yield "start-up, nothing kept", "seconds", _timed(program, keeps=False), _timed(imports)


def _scale_cases(asked: argparse.Namespace, folder: Path) -> Iterator[tuple]:
    from benchmarks import scale

    for pairs in asked.scale:
        corpus = folder / str(pairs)
        scale.make_corpus(corpus, pairs)
        stages = {
            stage: _process("scale", asked, {"stage": stage, "folder": str(corpus)})
            for stage in ("store", "pieces", "batch")
        }
        yield f"store of {pairs} pairs", "seconds", stages["store"], stages["pieces"]
        yield f"first batch of {pairs} pairs", "seconds", stages["batch"], None


def _timed(command: list[str], *, keeps: bool = True) -> Callable[[], dict[str, Any]]:
    """The function that times a process, which finds what others have kept or an empty cache."""

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as empty:
            environment = {**os.environ, **({} if keeps else {"XDG_CACHE_HOME": empty})}
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started = time.perf_counter()
            subprocess.run(command, env=environment, check=True, **quiet)
            return {"seconds": time.perf_counter() - started}

    return measure


def _ours(
    asked: argparse.Namespace, data: Path, config: dict[str, Any], precision: str
) -> Callable[[], dict[str, Any]]:
    """The function that measures the training of a config."""
    training = {**config["training"], "precision": precision}
    order = {"data": str(data), "steps": asked.steps, **config, "training": training}
    return _process("training", asked, order)


def _process(
    module: str, asked: argparse.Namespace, order: dict[str, Any]
) -> Callable[[], dict[str, Any]]:
    """The function that measures a case in a process of its own."""
    order = {**order, "threads": asked.threads}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}

    def measure() -> dict[str, Any]:
        process = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(order)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(process.stdout.splitlines()[-1])

    return measure


def _measure(
    name: str,
    key: str,
    ours: Callable[[], dict[str, Any]],
    peer: Callable[[], dict[str, Any]] | None,
    repeat: int,
) -> dict[str, Any]:
    """Runs ours and the peer in turn, and sums up."""
    found, others = [], []
    for _ in range(repeat):
        found.append(ours())
        if peer:
            others.append(peer())
    row = {"case": name, "figure": key, "runs": found, "peer_runs": others}
    row |= {f"ours_{name}": value for name, value in _spread([run[key] for run in found]).items()}
    if others:
        row |= {f"peer_{n}": value for n, value in _spread([run[key] for run in others]).items()}
        row["ratio"] = statistics.median(
            mine[key] / theirs[key] for mine, theirs in zip(found, others, strict=True)
        )
    return row


def _share(row: dict[str, Any], limits: dict[str, float]) -> None:
    """Adds what part of the machine's limit the arithmetic of a case amounts to, and says it."""
    if "gflops" in row["runs"][0]:
        limit = limits[row["runs"][0].get("precision", "float32")]
        row["share_of_limit"] = statistics.median(run["gflops"] / limit for run in row["runs"])
        _say(f"{row['case']:<30} {row['share_of_limit']:.0%} of the limit")


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


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
