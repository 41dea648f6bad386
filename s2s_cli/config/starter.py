"""The commented config that `s2s init` writes for a pair of files."""

from __future__ import annotations

import json

from s2s_cli.config.schema import TransformerModel

_STARTER = """\
# {pairs:,} sentence pairs. Every setting and its default: `s2s schema`.
data:
  train:
    source: {source}
    target: {target}
  # Held out of training, by a hash of the source sentence. Better: files of
  # their own, as `validation: {{source: …, target: …}}`.
  validation: {{fraction: {fraction}, max_pairs: 1000}}
  max_length: 100                  # tokens of a side; longer pairs are left out

tokenizer:
  type: {tokenizer:<27}# unigram, bpe, word, char
  vocab_size: {vocab_size:<21}# smaller for less data
  shared: true                     # one vocabulary; false for two scripts

{model}
training:
  epochs: {epochs:<25}# or max_steps, or max_minutes; raise it later to continue
  batch_tokens: 2048               # more for more data
  optimizer: {{name: adam, learning_rate: 2e-3, clip_norm: 1.0}}
  schedule: {{name: inverse_sqrt, warmup_steps: {warmup_steps}}}
  label_smoothing: 0.1
  validation_steps: 500
  early_stopping: {{metric: bleu, patience: 5}}
"""

_RECURRENT = """\
model:
  architecture: {architecture:<19}# lstm, gru, transformer: see docs/families.md
  embedding: {{size: 256, shared: true, tied: true}}
  encoder: {{layers: 1, units: 256, bidirectional: true}}
  decoder: {{layers: 1, units: 512, attention: general}}
  dropout: 0.3
"""

_TRANSFORMER = """\
model:
  architecture: {architecture:<19}# lstm, gru, transformer: see docs/families.md
  embedding: {{size: {size}, shared: true, tied: true}}
  heads: 4
  feed_forward: {feed_forward:<19}# hidden units
  encoder: {{layers: 4}}
  decoder: {{layers: 4}}
  dropout: 0.3
"""


def starter_config(source: str, target: str, pairs: int, architecture: str = "lstm") -> str:
    """A config for files of `pairs` sentence pairs, whose paths are relative to the config."""
    is_transformer = architecture in TransformerModel.architectures()
    size = 256 if pairs >= 200_000 else 128  # a larger Transformer overfits a small corpus
    epochs, warmup_steps = 20, 200
    if is_transformer:
        epochs = 40
        steps = epochs * pairs * 15 // 2048  # of sentences of 15 tokens
        warmup_steps = max(50, min(1000, steps // 8))
    model = (_TRANSFORMER if is_transformer else _RECURRENT).format(
        architecture=architecture, size=size, feed_forward=2 * size
    )
    return _STARTER.format(
        model=model,
        epochs=epochs,
        warmup_steps=warmup_steps,
        pairs=pairs,
        source=_quoted(source),
        target=_quoted(target),
        fraction=max(0.001, min(0.05, round(1000 / pairs, 3))),
        tokenizer="bpe" if pairs >= 2000 else "char",
        vocab_size=8000 if pairs >= 20_000 else 2000,
    )


def _quoted(path: str) -> str:
    """A path as YAML; every JSON string is a YAML string."""
    return json.dumps(path, ensure_ascii=False)
