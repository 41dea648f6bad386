"""Trains a small model on numbers and their English names, then translates: a minute or two."""

import sys
import tempfile
from pathlib import Path

import s2s_cli as s2s
from s2s_cli.training.events import Finished, Progress, Validated

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
UNITS += " fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

CONFIG = """
data:
  train: {tsv: pairs.tsv}
  validation: {fraction: 0.1}
tokenizer: {type: char, vocab_size: 60, shared: false}
model:
  architecture: gru
  embedding: {size: 32}
  encoder: {units: 64}
  decoder: {units: 128}
  dropout: 0.1
training:
  max_steps: 600
  batch_size: 64
  optimizer: {learning_rate: 3.0e-3}
  label_smoothing: 0.0
  validation_steps: 200
  checkpoint_steps: 200
decoding: {max_length: 60}
"""


def name(number: int) -> str:
    """The English name of a number below 10,000."""
    if number >= 1000:
        rest = f" {name(number % 1000)}" if number % 1000 else ""
        return f"{name(number // 1000)} thousand{rest}"
    if number >= 100:
        rest = f" {name(number % 100)}" if number % 100 else ""
        return f"{name(number // 100)} hundred{rest}"
    if number >= 20:
        rest = f"-{name(number % 10)}" if number % 10 else ""
        return TENS.split()[number // 10 - 2] + rest
    return UNITS.split()[number]


def main(folder: Path, *overrides: str) -> None:
    """Trains in `folder`; overrides are settings such as training.max_steps=2000."""
    pairs = (f"{number}\t{name(number)}\n" for number in range(0, 10_000, 2))
    (folder / "pairs.tsv").write_text("".join(pairs), encoding="utf-8")
    (folder / "numbers.yaml").write_text(CONFIG, encoding="utf-8")
    run = folder / "run"
    for event in s2s.train(folder / "numbers.yaml", run, overrides=overrides):
        match event:
            case Progress():
                print(f"step {event.step}: loss {event.loss:.3f}")
            case Validated():
                print(f"step {event.step}: chrF {event.result.metrics['chrf']:.1f}")
            case Finished():
                print(f"finished: {event.reason}")
    translator = s2s.load(run)
    sources = ["7", "81", "4321"]
    for source, found in zip(sources, translator.translate(sources), strict=True):
        print(f"{source} -> {found.text}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), *sys.argv[1:])
