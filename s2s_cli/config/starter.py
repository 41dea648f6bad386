"""The commented config that `s2s init` writes for a corpus."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from s2s_cli.config.schema import TransformerModel

# Tokens of a sentence, for estimates.
SENTENCE = 15
# Below this number of pairs, a model learns its pairs rather than the language.
FEW_PAIRS = 10_000

_STARTER = """\
# {pairs:,} sentence pairs. Every setting and its default: `s2s schema`.
data:
  train:
{corpus}
  {validation}
  max_length: {max_length:<21}# tokens of a side; longer pairs are left out

tokenizer:
  type: {tokenizer:<27}# unigram, bpe, word, char
  vocab_size: {vocab_size:<21}# smaller for less data
  shared: true                     # one vocabulary; false for two scripts

{model}
training:
  max_steps: {max_steps:<22}# or epochs, or max_minutes; raise it later to continue
  batch_tokens: {batch_tokens:<19}# more for more data
  optimizer: {{name: adam, learning_rate: {learning_rate}, clip_norm: 1.0}}
  schedule: {{name: inverse_sqrt, warmup_steps: {warmup_steps}}}
  label_smoothing: 0.1
  validation_steps: {validation_steps}
  checkpoint_steps: {validation_steps}
  early_stopping: {{metric: bleu, patience: 5}}

decoding: {{max_length: {longest_translation}}}
"""

_HELD_OUT = """\
# Held out of training, by a hash of the source sentence. Better: files of
  # their own, as `validation: {{source: …, target: …}}`.
  validation: {{pairs: {held_out}}}"""

_NOTHING_HELD_OUT = """\
# One pair cannot be divided into training and validation.
  validation: null"""

_RECURRENT = """\
model:
  architecture: {architecture:<19}# lstm, gru, transformer: see docs/families.md
  embedding: {{size: {size}, shared: true, tied: true}}
  encoder: {{layers: 1, units: {size}, bidirectional: true}}
  decoder: {{layers: 1, units: {double}, attention: general}}
  dropout: 0.3
"""

_TRANSFORMER = """\
model:
  architecture: {architecture:<19}# lstm, gru, transformer: see docs/families.md
  embedding: {{size: {size}, shared: true, tied: true}}
  heads: 4
  feed_forward: {double:<19}# hidden units
  encoder: {{layers: 4}}
  decoder: {{layers: 4}}
  dropout: 0.3
"""


@dataclass(frozen=True)
class Rules:
    """What suits a number of sentence pairs."""

    held_out: int
    """Pairs for validation; 0: there are not enough."""
    tokenizer: str
    vocab_size: int
    max_length: int
    """Tokens of a side."""
    size: int
    """Of an embedding; other layers follow from it."""
    max_steps: int
    batch_tokens: int
    learning_rate: str
    warmup_steps: int
    validation_steps: int


def rules(pairs: int, *, is_transformer: bool) -> Rules:
    """What suits so many sentence pairs. A corpus of any size gets at least a thousand steps."""
    batch_tokens = 2048 if pairs >= 2000 else 512
    epoch = max(1.0, pairs * SENTENCE / batch_tokens)
    epochs = 40 if is_transformer else 20  # a Transformer needs more passes
    max_steps = min(100_000, max(1000, math.ceil(epochs * epoch)))
    tokenizer = "bpe" if pairs >= 2000 else "char"
    small = 128 if is_transformer or pairs < FEW_PAIRS else 256
    return Rules(
        held_out=max(1, min(1000, pairs // 20)) if pairs > 1 else 0,
        tokenizer=tokenizer,
        max_length=400 if tokenizer == "char" else 100,  # characters are many
        vocab_size=8000 if pairs >= 20_000 else 2000,
        size=256 if pairs >= 200_000 else small,  # a larger model overfits a small corpus
        max_steps=max_steps,
        batch_tokens=batch_tokens,
        learning_rate="2e-3",
        warmup_steps=min(1000 if is_transformer else 200, max_steps // 8),
        validation_steps=min(500, max_steps // 10),
    )


def what_to_expect(pairs: int) -> str | None:
    """A sentence on what so few pairs can give; None where they are enough."""
    if pairs >= FEW_PAIRS:
        return None
    number = "1 pair is" if pairs == 1 else f"{pairs:,} pairs are"
    return (
        f"{number} enough to try the program, and to translate sentences that are much like them;"
        f" other sentences need some {FEW_PAIRS:,} pairs or more."
    )


def starter_config(corpus: Mapping[str, object], pairs: int, architecture: str = "lstm") -> str:
    """A config for a corpus of `pairs` sentence pairs: its keys of the section `data.train`, with
    paths relative to the config."""
    is_transformer = architecture in TransformerModel.architectures()
    found = rules(pairs, is_transformer=is_transformer)
    model = _TRANSFORMER if is_transformer else _RECURRENT
    return _STARTER.format(
        model=model.format(architecture=architecture, size=found.size, double=2 * found.size),
        pairs=pairs,
        corpus="\n".join(f"    {key}: {_quoted(value)}" for key, value in corpus.items()),
        validation=(_HELD_OUT if found.held_out else _NOTHING_HELD_OUT).format(
            held_out=found.held_out
        ),
        tokenizer=found.tokenizer,
        vocab_size=found.vocab_size,
        max_length=found.max_length,
        longest_translation=2 * found.max_length,
        max_steps=found.max_steps,
        batch_tokens=found.batch_tokens,
        learning_rate=found.learning_rate,
        warmup_steps=found.warmup_steps,
        validation_steps=found.validation_steps,
    )


def _quoted(value: object) -> str:
    """A path or a list as YAML; all JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
