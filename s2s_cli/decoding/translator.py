"""A list of sentences becomes a list of translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import tensorflow as tf

from s2s_cli.decoding.highest import STRETCH
from s2s_cli.decoding.long_sources import joined, parts
from s2s_cli.decoding.model_search import compiled, kept_search, search_of
from s2s_cli.decoding.search import Hypotheses
from s2s_cli.decoding.translation import Translation
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.stand_ins import quantized
from s2s_cli.run import Run
from s2s_cli.runtime import chains, choose_decoding_precision, optimize_graphs
from s2s_cli.schema import Config, Decoding
from s2s_cli.text.lexicon import Lexicon
from s2s_cli.text.tokenizer import EOS, PAD, SPECIAL_TOKENS, UNK, Tokenizer
from s2s_cli.training.checkpoint import checksums, load_weights, require_known_size


@dataclass(frozen=True)
class Hypothesis:
    """Ids, `</s>` included where it was reached, and for each the source position it looked at."""

    ids: list[int]
    score: float
    log_probability: float
    attended: list[int]


class Translator:
    """Sentences become translations, by a search over their pieces."""

    def __init__(
        self,
        search: Callable[..., Hypotheses],
        source: Tokenizer,
        target: Tokenizer,
        decoding: Decoding,
        lexicon: Lexicon | None = None,
        *,
        has_attention: bool = True,
    ):
        """`search` takes source_ids (B,S) and, where `decoding.shortlist` says how many of the
        types in `lexicon` are scored, candidates (C,) and allowed (B,C).

        Where `decoding.max_source_length` is None, sources may have any length.
        """
        assert lexicon or not decoding.shortlist
        self._search, self._source, self._target = search, source, target
        self.decoding, self._has_attention = decoding, has_attention
        self._lexicon = lexicon if decoding.shortlist else None
        self._source_pieces, self._pieces = source.pieces(), target.pieces()

    @classmethod
    def of_layers(
        cls,
        seq2seq: Seq2Seq,
        source: Tokenizer,
        target: Tokenizer,
        decoding: Decoding,
        lexicon: Lexicon | None = None,
    ) -> Translator:
        """Translates with the layers of a `Seq2Seq`, as they are at each call."""
        has_attention = seq2seq.layers.attention is not None
        search = compiled(search_of(seq2seq, decoding), decoding)
        return cls(search, source, target, decoding, lexicon, has_attention=has_attention)

    @classmethod
    def from_run(
        cls, run: Run, checkpoint: str = "best", decoding: Decoding | None = None
    ) -> Translator:
        """The translator of a trained run, in the precision of `decoding`."""
        config = run.config()
        decoding = decoding or config.decoding
        if decoding.max_source_length is None:
            decoding = decoding.model_copy(update={"max_source_length": config.data.max_length})
        folder = run.find_checkpoint(checkpoint)
        source, target = load_tokenizers(run, config, checksums(folder))
        lexicon = None
        if decoding.shortlist:
            lexicon = Lexicon.load(run.lexicon_file, source.size, target.size)
        precision = choose_decoding_precision(decoding.precision)
        if precision == "int8":
            optimize_graphs(True)  # it is a fifth slower if not
            seq2seq = _with_weights(folder, config, source, target)
            whole = search_of(seq2seq, decoding, stand_ins=quantized(seq2seq.layers))
            search = compiled(whole, decoding)
        else:
            require_known_size(folder, config.model, source.size, target.size)
            search = kept_search(
                folder, config.model, decoding, (source.size, target.size), precision
            )
        has_attention = config.model.decoder.attention != "none"
        return cls(search, source, target, decoding, lexicon, has_attention=has_attention)

    def translate(
        self, sentences: Sequence[str], on_batch: Callable[[int], None] = lambda count: None
    ) -> list[Translation]:
        """The best translation of each sentence, in order; see `n_best`."""
        return [found[0] for found in self.n_best(sentences, on_batch)]

    def n_best(
        self, sentences: Sequence[str], on_batch: Callable[[int], None] = lambda count: None
    ) -> list[list[Translation]]:
        """The `decoding.n_best` best translations of each sentence, or as many as there are.

        `on_batch` hears of every sentence that is done. Sentences of like length are
        translated together. A sentence with no pieces (empty, white space) has the
        empty translation. Raises MemoryError.
        """
        whole = self._source.encode([sentence.strip() for sentence in sentences])
        most, is_split = self.decoding.max_source_length, self.decoding.long_sources == "split"
        cut = [parts(ids, self._source_pieces, most or max(1, len(ids))) for ids in whole]
        sources = [part for row in cut for part in (row if is_split else row[:1])]
        lasts = list(accumulate(len(row) if is_split else 1 for row in cut))
        found = self._each(sources, set(lasts), on_batch)
        return [
            joined(found[start:end], self.decoding.length_penalty, is_long=len(row) > 1)
            for row, (start, end) in zip(cut, pairwise([0, *lasts]), strict=True)
        ]

    def _each(
        self, sources: Sequence[Sequence[int]], lasts: set[int], on_batch: Callable[[int], None]
    ) -> list[list[Translation]]:
        """The translations of each row of source ids; `lasts` stand behind the last part of each sentence."""
        results = [[Translation("")] for _ in sources]
        rows = sorted(
            (row for row, ids in enumerate(sources) if ids), key=lambda row: len(sources[row])
        )
        on_batch(len(sources) - len(rows))
        size = self.decoding.batch_size
        # The longest come first, so that none is left alone with them at the end.
        batches = [rows[max(0, end - size) : end] for end in range(len(rows), 0, -size)]
        for batch, found in zip(batches, self._side_by_side(sources, batches), strict=True):
            texts = iter(self._target.decode([h.ids for row in found for h in row]))
            for row, hypotheses in zip(batch, found, strict=True):
                results[row] = [
                    self._translation(sources[row], next(texts), hypothesis)
                    for hypothesis in hypotheses
                ]
            on_batch(sum(row + 1 in lasts for row in batch))
        return results

    def _side_by_side(
        self, sources: Sequence[Sequence[int]], batches: Sequence[Sequence[int]]
    ) -> Iterator[list[list[Hypothesis]]]:
        """What `search` finds for each batch, in order; some batches are searched at a time."""
        workers = ThreadPoolExecutor(chains())
        try:
            yield from workers.map(
                lambda batch: self.search([sources[row] for row in batch]), batches
            )
        finally:
            workers.shutdown(cancel_futures=True)

    def _translation(self, source: Sequence[int], text: str, hypothesis: Hypothesis) -> Translation:
        said = [
            (i, at)
            for i, at in zip(hypothesis.ids, hypothesis.attended, strict=True)
            if i >= SPECIAL_TOKENS or i == UNK
        ]
        return Translation(
            text,
            hypothesis.score,
            hypothesis.log_probability,
            len(hypothesis.ids),
            tuple(self._source_pieces[i] for i in source),
            tuple(self._pieces[i] for i, _ in said),
            # The end of the source is no piece of it.
            tuple(
                (at, place)
                for place, (_, at) in enumerate(said)
                if self._has_attention and at < len(source)
            ),
        )

    def search(self, sources: Sequence[Sequence[int]]) -> list[list[Hypothesis]]:
        """The n_best best hypotheses for each row of source ids, or as many as there are.

        Raises MemoryError.
        """
        inputs = [pad_sources(sources)]
        if self._lexicon:
            inputs += _filled_up(*self._lexicon.candidates(sources, self.decoding.shortlist or 0))
        try:
            found = Hypotheses(*(part.numpy() for part in self._search(*inputs)))
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None
        results: list[list[Hypothesis]] = []
        for row in range(len(sources)):
            results.append([])
            for rank in range(self.decoding.n_best):
                if rank and found.log_probability[row, rank] == -np.inf:
                    break  # there are no more
                length = np.count_nonzero(found.ids[row, rank])
                results[-1].append(
                    Hypothesis(
                        found.ids[row, rank, :length].tolist(),
                        float(found.score[row, rank]),
                        float(found.log_probability[row, rank]),
                        found.attended[row, rank, :length].tolist(),
                    )
                )
        return results


def _filled_up(candidates: np.ndarray, allowed: np.ndarray) -> list[np.ndarray]:
    """candidates (C,) and allowed (B,C), filled up with padding that nobody may take until C is
    a multiple of STRETCH: other widths are copied to such a one at each position."""
    missing = -len(candidates) % STRETCH
    return [
        np.pad(candidates, (0, missing), constant_values=PAD),
        np.pad(allowed, ((0, 0), (0, missing))),
    ]


def pad_sources(sources: Sequence[Sequence[int]]) -> np.ndarray:
    """Ids with `</s>` behind them, as int32 (B,S) with 0 on the right."""
    width = max(map(len, sources)) + 1
    ids = np.zeros((len(sources), width), np.int32)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = source
        ids[row, len(source)] = EOS
    return ids


def load_model(
    run: Run, config: Config, checkpoint: str, precision: str = "float32", *, plain: bool = False
) -> tuple[Seq2Seq, Tokenizer, Tokenizer]:
    """The model of a checkpoint, to be asked only, and its source and target tokenizers."""
    folder = run.find_checkpoint(checkpoint)
    source, target = load_tokenizers(run, config, checksums(folder))
    return _with_weights(folder, config, source, target, precision, plain=plain), source, target


def _with_weights(
    folder: Path,
    config: Config,
    source: Tokenizer,
    target: Tokenizer,
    precision: str = "float32",
    *,
    plain: bool = False,
) -> Seq2Seq:
    """The model of a checkpoint whose tokenizers are at hand."""
    require_known_size(folder, config.model, source.size, target.size)
    seq2seq = Seq2Seq(config.model, source.size, target.size, precision, trains=False, plain=plain)
    load_weights(folder, seq2seq)
    return seq2seq


def load_tokenizers(run: Run, config: Config, sums: dict[str, str]) -> tuple[Tokenizer, Tokenizer]:
    """The source and the target tokenizer of a run, one and the same where they are shared.

    `sums` are those of the checkpoint whose weights go with them. Raises RunError.
    """
    shared = config.tokenizer.shared
    loaded = []
    for side in ("source",) if shared else ("source", "target"):
        path = run.tokenizer_file(side, shared)
        loaded.append(Tokenizer.load(path, config.tokenizer.type, sums.get(path.name)))
    return loaded[0], loaded[-1]
