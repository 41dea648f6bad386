"""Forced decoding: the log probability that a model gives to translations that exist already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import load_tokenizers, resolve_decoding
from s2s_cli.model.family import Layers, VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import read_inference_weights, require_size
from s2s_cli.runs.run import Run
from s2s_cli.runtime.start import inter_op_threads
from s2s_cli.text.padding import source_ids, target_in_ids, target_out_ids
from s2s_cli.text.tokenizer import PAD, Tokenizers

# Logits that a batch may have, one for each target position and token: 64 MB.
MAX_LOGITS = 1 << 24
# Pairs in a batch at most.
MAX_PAIRS = 256

_IDS = tf.TensorSpec((None, None), tf.int32)
# source_ids (B,S), target_in_ids (B,T), target_out_ids (B,T) → log probabilities (B,T).
ForcedModel = Callable[..., tf.Tensor]
EncodedPair = tuple[Sequence[int], Sequence[int]]


class Unscored(Enum):
    """Why a pair has no score."""

    NO_SOURCE = "an empty source, whose translation is the empty one"
    TOO_LONG = "more tokens than the model has positions for"


def forced_log_probabilities(
    layers: Layers, source_ids: tf.Tensor, target_in_ids: tf.Tensor, target_out_ids: tf.Tensor
) -> tf.Tensor:
    """The log probability of each id of target_out_ids, (B,T) float32, 0 on padding.

    All positions are computed at once, as in training. The probabilities that an ensemble gives are
    the means of those of its models, so these results of each model are all that it needs.
    """
    encoded = layers.encode(source_ids)
    cache = layers.initial_cache(encoded)
    hidden = layers.decode(target_in_ids, cache, encoded.constants).hidden
    present = tf.where(target_out_ids != PAD)
    logits = layers.project(tf.gather_nd(hidden, present))
    wanted = tf.gather_nd(target_out_ids, present)
    chosen = tf.gather(logits, wanted, axis=1, batch_dims=1)
    # Not the logarithm of the softmax, which is -inf for what is very improbable.
    found = chosen - tf.reduce_logsumexp(logits, axis=1)
    return tf.scatter_nd(present, found, tf.shape(target_out_ids, tf.int64))


class Scorer:
    """Gives pairs of a source and a translation the log probability of the translation.

    Computed in float32 over the whole vocabulary, whatever the run's precision and shortlist are.
    """

    def __init__(
        self,
        model: ForcedModel,
        tokenizers: Tokenizers,
        *,
        length_penalty: float,
        max_source_length: int | None,
        longest_sentence: int | None = None,
    ):
        """`longest_sentence`: the tokens, without `</s>`, that the model has positions for; None:
        any number."""
        self.tokenizers, self.length_penalty = tokenizers, length_penalty
        self.max_source_length = max_source_length
        self._model, self._longest_sentence = model, longest_sentence
        self._source_tokens = tokenizers.source.tokens()
        self._target_tokens = tokenizers.target.tokens()

    @classmethod
    def from_run(
        cls, run: Run, checkpoint: str = "best", *, length_penalty: float | None = None
    ) -> Scorer:
        """The scorer of a trained run; a `length_penalty` of None is the run's.

        Raises RunError where the run, its checkpoint or its tokenizers cannot be read.
        """
        config = run.config()
        decoding = resolve_decoding(config.decoding, [config])
        folder = run.find_checkpoint(checkpoint)
        tokenizers = load_tokenizers(run, config, folder)
        sizes = VocabSizes(*tokenizers.vocab_sizes)
        require_size(folder, family_of(config.model).parameter_count(config.model, sizes))
        seq2seq = Seq2Seq(config.model, sizes, LayerFactory.for_inference("float32"))
        seq2seq.load(read_inference_weights(folder, seq2seq.shapes))
        return cls(
            _compiled(seq2seq),
            tokenizers,
            length_penalty=decoding.length_penalty if length_penalty is None else length_penalty,
            max_source_length=decoding.max_source_length,
            longest_sentence=config.model.longest_sentence,
        )

    def score(
        self,
        pairs: Sequence[tuple[str, str]],
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> list[Translation | Unscored]:
        """The score of each pair of a source and its translation, in order.

        As `Translator.translate` would give it, but for `alignment`, which is empty, and for
        sources that are longer than `max_source_length`: these are scored whole, and `is_long`.
        `text` is what the tokens stand for, which differs from the translation that was given where
        this has unknown characters or is normalised. `on_batch` is called with the number of pairs
        that are finished. Raises MemoryError.
        """
        sources = self.tokenizers.source.encode([source.strip() for source, _ in pairs])
        targets = self.tokenizers.target.encode([target.strip() for _, target in pairs])
        return self.score_ids(list(zip(sources, targets, strict=True)), on_batch)

    def score_ids(
        self,
        pairs: Sequence[EncodedPair],
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> list[Translation | Unscored]:
        """As `score`, for the ids of both sides, without `</s>`."""
        results: list[Translation | Unscored] = [self._without_model(*pair) for pair in pairs]
        rows = [row for row, pair in enumerate(pairs) if self._fits(*pair)]
        on_batch(len(pairs) - len(rows))
        texts = self.tokenizers.target.decode([pairs[row][1] for row in rows])
        text_of = dict(zip(rows, texts, strict=True))
        batches = list(self._batches(pairs, rows))
        found = self._in_threads([[pairs[row] for row in batch] for batch in batches])
        for batch, scores in zip(batches, found, strict=True):
            for row, own in zip(batch, scores, strict=True):
                results[row] = self._scored(pairs[row], text_of[row], own)
            on_batch(len(batch))
        return results

    def _without_model(
        self, source: Sequence[int], target: Sequence[int]
    ) -> Translation | Unscored:
        """The result for a pair that is not given to the model."""
        if source:
            return Unscored.TOO_LONG
        return Unscored.NO_SOURCE if target else Translation("")

    def _fits(self, source: Sequence[int], target: Sequence[int]) -> bool:
        """Whether there is a source, and the model has positions for both sides."""
        longest = self._longest_sentence
        return bool(source) and (longest is None or max(len(source), len(target)) <= longest)

    def _batches(self, pairs: Sequence[EncodedPair], rows: Sequence[int]) -> Iterator[list[int]]:
        """The rows in batches of similar length, the longest first."""
        most = max(1, MAX_LOGITS // len(self._target_tokens))
        batch: list[int] = []
        for row in sorted(rows, key=lambda row: tuple(map(len, reversed(pairs[row]))))[::-1]:
            # The first is the longest; `</s>` is one position more.
            width = len(pairs[batch[0] if batch else row][1]) + 1
            if batch and (len(batch) == MAX_PAIRS or (len(batch) + 1) * width > most):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _in_threads(
        self, batches: Sequence[Sequence[EncodedPair]]
    ) -> Iterator[list[NDArray[np.float32]]]:
        """The log probabilities of each batch; some batches are computed at the same time."""
        workers = ThreadPoolExecutor(inter_op_threads())
        try:
            yield from workers.map(self._batch_scores, batches)
        finally:
            workers.shutdown(cancel_futures=True)

    def _batch_scores(self, batch: Sequence[EncodedPair]) -> list[NDArray[np.float32]]:
        """The log probability of each token and of `</s>`, for each pair."""
        sources, targets = zip(*batch, strict=True)
        arguments = (source_ids(sources), target_in_ids(targets), target_out_ids(targets))
        try:
            found = self._model(*arguments).numpy()
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None
        return [row[: len(ids) + 1] for row, ids in zip(found, targets, strict=True)]

    def _scored(self, pair: EncodedPair, text: str, scores: NDArray[np.float32]) -> Translation:
        source, target = pair
        log_probability = float(scores.sum())
        longest = self.max_source_length
        return Translation(
            text,
            log_probability / len(scores) ** self.length_penalty,
            log_probability,
            len(scores),
            tuple(self._source_tokens[index] for index in source),
            tuple(self._target_tokens[index] for index in target),
            tuple(scores.tolist()),
            is_long=longest is not None and len(source) > longest,
        )


def _compiled(seq2seq: Seq2Seq) -> ForcedModel:
    """A model with its weights as a graph, without dropout."""

    def run(*arguments: tf.Tensor) -> tf.Tensor:
        return forced_log_probabilities(seq2seq.layers.for_training(None), *arguments)

    return tf.function(run, input_signature=[_IDS] * 3, autograph=False)  # type: ignore[no-any-return]
