"""A list of sentences becomes a list of translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from s2s_cli.decoding.search import Hypotheses, greedy, length_limits
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Run
from s2s_cli.schema import Config, Decoding
from s2s_cli.text.tokenizer import EOS, SPECIAL_TOKENS, Tokenizer
from s2s_cli.training.checkpoint import load_weights


@dataclass(frozen=True)
class Translation:
    """A translation; `score` is the sum of its log probabilities, `tokens` its pieces."""

    text: str
    score: float
    tokens: tuple[str, ...]


class Translator:
    """Translates with the layers of a `Seq2Seq`, as they are at each call."""

    def __init__(self, seq2seq: Seq2Seq, source: Tokenizer, target: Tokenizer, decoding: Decoding):
        self._source, self._target, self._decoding = source, target, decoding
        self._pieces = target.pieces()
        signature = [tf.TensorSpec((None, None), tf.int32)]
        self._search = tf.function(greedy_search(seq2seq, decoding), input_signature=signature)

    @classmethod
    def from_run(
        cls, run: Run, checkpoint: str = "best", decoding: Decoding | None = None
    ) -> Translator:
        """The translator of a trained run, in float32."""
        config = run.config()
        seq2seq, source, target = load_model(run, config, checkpoint)
        return cls(seq2seq, source, target, decoding or config.decoding)

    def translate(
        self, sentences: Sequence[str], on_batch: Callable[[int], None] = lambda count: None
    ) -> list[Translation]:
        """One translation for each sentence, in order; `on_batch` hears of every batch that is done.

        Sentences of like length are translated together. A sentence with no
        pieces (empty, white space) has the empty translation.
        """
        sources = self._source.encode([sentence.strip() for sentence in sentences])
        results = [Translation("", 0.0, ())] * len(sources)
        rows = sorted(
            (row for row, ids in enumerate(sources) if ids), key=lambda row: len(sources[row])
        )
        on_batch(len(sources) - len(rows))
        for start in range(0, len(rows), self._decoding.batch_size):
            batch = rows[start : start + self._decoding.batch_size]
            ids, scores = self.search([sources[row] for row in batch])
            texts = self._target.decode(ids)
            for row, text, row_ids, score in zip(batch, texts, ids, scores, strict=True):
                tokens = tuple(self._pieces[i] for i in row_ids if i >= SPECIAL_TOKENS)
                results[row] = Translation(text, score, tokens)
            on_batch(len(batch))
        return results

    def search(self, sources: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[float]]:
        """Ids of target sentences, `</s>` included where it was reached, and their scores."""
        found = self._search(tf.constant(pad_sources(sources)))
        ids = [row[: np.count_nonzero(row)].tolist() for row in found.ids.numpy()]
        return ids, found.log_probability.numpy().tolist()


def greedy_search(seq2seq: Seq2Seq, decoding: Decoding) -> Callable[[tf.Tensor], Hypotheses]:
    """source_ids (B,S) → Hypotheses, to be compiled or exported."""

    def search(source_ids: tf.Tensor) -> Hypotheses:
        encoded = seq2seq.encode(source_ids)
        limits = length_limits(source_ids, decoding.max_length, decoding.max_length_ratio)
        return greedy(seq2seq.step, encoded.state, encoded.constants, limits)

    return search


def pad_sources(sources: Sequence[Sequence[int]]) -> np.ndarray:
    """Ids with `</s>` behind them, as int32 (B,S) with 0 on the right."""
    width = max(map(len, sources)) + 1
    ids = np.zeros((len(sources), width), np.int32)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = source
        ids[row, len(source)] = EOS
    return ids


def load_model(run: Run, config: Config, checkpoint: str) -> tuple[Seq2Seq, Tokenizer, Tokenizer]:
    """The model of a checkpoint, in float32, and its source and target tokenizers."""
    source, target = load_tokenizers(run, config)
    seq2seq = Seq2Seq(config.model, source.size, target.size)
    load_weights(run.find_checkpoint(checkpoint), seq2seq)
    return seq2seq, source, target


def load_tokenizers(run: Run, config: Config) -> tuple[Tokenizer, Tokenizer]:
    """The source and the target tokenizer of a run, one and the same where they are shared."""
    shared = config.tokenizer.shared
    source = Tokenizer.load(run.tokenizer_file("source", shared), config.tokenizer.type)
    if shared:
        return source, source
    return source, Tokenizer.load(run.tokenizer_file("target", shared), config.tokenizer.type)
