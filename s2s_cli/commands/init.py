"""`s2s init`: a commented starter config for a pair of files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from s2s_cli.errors import S2SError
from s2s_cli.files import write_text
from s2s_cli.text.corpus import read_lines

_STARTER = """\
# {pairs:,} sentence pairs. Every setting and its default: `s2s schema`.
data:
  train:
    source: {source}
    target: {target}
  # Held out of training, by a hash of the source sentence. Better: files of
  # their own, as `validation: {{source: …, target: …}}`.
  validation: {{fraction: {fraction}, max_pairs: 1000}}
  max_length: 100                  # pieces a side; longer pairs are left out

tokenizer:
  type: {level:<27}# unigram, bpe, word, char
  vocab_size: {vocab_size}                 # less for less data
  shared: true                     # one vocabulary; false for two scripts

model:
  architecture: lstm               # lstm, gru
  embedding: {{size: 256, shared: true, tied: true}}
  encoder: {{layers: 1, units: 256, bidirectional: true}}
  decoder: {{layers: 1, units: 512, attention: general}}
  dropout: 0.3

training:
  epochs: 20                       # or max_steps, or max_minutes; raise it later to go on
  batch_tokens: 2048               # more for more data
  optimizer: {{name: adam, learning_rate: 2e-3, clip_norm: 1.0}}
  schedule: {{name: inverse_sqrt, warmup_steps: 200}}
  label_smoothing: 0.1
  validation_steps: 500
  early_stopping: {{metric: bleu, patience: 5}}
"""


def write_starter_config(source: str, target: str, output: Path) -> None:
    """Reads the files once and writes a config that suits their size to `output`."""
    if output.exists():
        raise S2SError(f"{output}: there is a file already.", "Name another with --output.")
    pairs = sum(1 for _ in read_lines(source))
    others = sum(1 for _ in read_lines(target))
    if pairs != others or not pairs:
        raise S2SError(
            f"{source} has {pairs} lines and {target} has {others};"
            " line i of one must be the translation of line i of the other.",
            "Give two parallel files with a sentence a line.",
        )
    base = output.resolve().parent
    write_text(
        output,
        _STARTER.format(
            pairs=pairs,
            source=_relative(source, base),
            target=_relative(target, base),
            fraction=max(0.001, min(0.05, round(1000 / pairs, 3))),
            level="bpe" if pairs >= 2000 else "char",
            vocab_size=8000 if pairs >= 20_000 else 2000,
        ),
    )


def _relative(path: str, base: Path) -> str:
    """A path relative to the config, as YAML; JSON strings are YAML strings."""
    try:
        path = os.path.relpath(path, base)
    except ValueError:  # on another drive of Windows
        path = os.path.abspath(path)
    return json.dumps(path, ensure_ascii=False)
