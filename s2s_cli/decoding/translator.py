"""A list of sentences becomes a list of translations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.decoding.long_sources import join_parts
from s2s_cli.decoding.model_search import ModelSearch, SearchFunction
from s2s_cli.decoding.sampling import sentence_keys
from s2s_cli.decoding.search import Hypotheses
from s2s_cli.decoding.top_k import BLOCK
from s2s_cli.decoding.translation import Hypothesis, Required, Translation
from s2s_cli.decoding.unknown import replaced_unknown
from s2s_cli.errors import DataError, RunError, S2SError
from s2s_cli.inspection.states import States, states_of
from s2s_cli.model.family import VocabSizes, family_of
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import checksums, read_inference_weights, require_size
from s2s_cli.runs.run import Run
from s2s_cli.runtime.precision import resolve_decoding_precision
from s2s_cli.runtime.start import inter_op_threads
from s2s_cli.text.chunks import chunks
from s2s_cli.text.glossary import Glossary, contains, target_ids
from s2s_cli.text.lexicon import Lexicon
from s2s_cli.text.padding import padded, source_ids, target_in_ids
from s2s_cli.text.splitting import split_source
from s2s_cli.text.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, Tokenizers

# Sentences that are read, sorted by length and translated together: enough to fill batches with
# sentences of one length, few enough to return the first of them soon.
CHUNK = 4096


NOTHING = Required()


@dataclass(frozen=True)
class _Source:
    """The tokens of a sentence, or of a part of it that begins at its token `start`."""

    ids: Sequence[int]
    sentence: str
    start: int
    required: Required = NOTHING


def _ignore(count: int) -> None:
    """Takes a report of progress, and does nothing with it."""


class Translator:
    """Sentences become translations, by a search over their tokens."""

    def __init__(
        self,
        search: SearchFunction,
        tokenizers: Tokenizers,
        decoding: Decoding,
        lexicon: Lexicon | None = None,
        *,
        has_attention: bool = True,
        load_models: Callable[[], Seq2Seq] | None = None,
    ):
        """`search` takes source_ids (B,S) and, where `decoding.shortlist` says how many of the
        tokens in `lexicon` are scored, candidates (C,) and allowed (B,C).

        Where `decoding.max_source_length` is None, sources may have any length. `load_models` gives
        `models`.
        """
        self._load_models = load_models
        assert lexicon or not decoding.shortlist
        self.search_function, self._tokenizers = search, tokenizers
        self.decoding, self._has_attention = decoding, has_attention
        self._lexicon = lexicon if decoding.shortlist else None
        self._source_tokens = tokenizers.source.tokens()
        self._target_tokens = tokenizers.target.tokens()

    @classmethod
    def from_run(
        cls, run: Run, checkpoint: str = "best", decoding: Decoding | None = None
    ) -> Translator:
        """The translator of a trained run, as `decoding` says (None: as the run's config says).

        Raises RunError where the run, its checkpoint or its tokenizers cannot be read.
        """
        return cls.from_runs([run], checkpoint, decoding)

    @classmethod
    def from_runs(
        cls, runs: Sequence[Run], checkpoint: str = "best", decoding: Decoding | None = None
    ) -> Translator:
        """The translator of an ensemble: each token has the mean of its probabilities in all runs.

        `decoding`, where it is None, and the lexicon are those of the first run. Sources and
        translations are no longer than every model allows. Raises RunError where a run cannot be
        read, or has other tokenizers than the first.
        """
        configs = [run.config() for run in runs]
        decoding = resolve_decoding(decoding or configs[0].decoding, configs)
        folders = [run.find_checkpoint(checkpoint) for run in runs]
        tokenizers = _common_tokenizers(runs, configs, folders)
        sizes = VocabSizes(*tokenizers.vocab_sizes)
        for config, folder in zip(configs, folders, strict=True):
            require_size(folder, family_of(config.model).parameter_count(config.model, sizes))
        lexicon = None
        if decoding.shortlist:
            lexicon = Lexicon.load(runs[0].lexicon_file, sizes.source, sizes.target)
        search = ModelSearch(tuple(config.model for config in configs), sizes, decoding)
        weights = map(read_inference_weights, folders, search.shapes)
        return cls(
            search.bind(*weights),
            tokenizers,
            decoding,
            lexicon,
            has_attention=search.has_attention,
            load_models=partial(_load_models, runs[0], checkpoint) if len(runs) == 1 else None,
        )

    @classmethod
    def from_weights(
        cls,
        search: ModelSearch,
        weights: Mapping[str, Any],
        tokenizers: Tokenizers,
        lexicon: Lexicon | None = None,
    ) -> Translator:
        """The translator of a model with weights by path, as they are now; for a training."""
        return cls(
            search.bind(weights),
            tokenizers,
            search.decoding,
            lexicon,
            has_attention=search.has_attention,
        )

    @cached_property
    def models(self) -> Seq2Seq:
        """The Keras models of the checkpoint, in float32: `training_model`, `encoder` and `decoder`, of
        the same layer objects. They are made when they are first asked for.

        Raises S2SError for an ensemble, which has several.
        """
        if self._load_models is None:
            raise S2SError(
                "An ensemble has no models of its own.", "Load one of its runs, and ask that."
            )
        return self._load_models()

    def encode(self, sentences: Sequence[str]) -> NDArray[np.int32]:
        """What the encoder reads: the ids of each sentence and of `</s>`, 0 on the right, (B,S)."""
        return source_ids(self._tokenizers.source.encode([one.strip() for one in sentences]))

    def states(self, sentences: Sequence[str]) -> States:
        """The hidden states and attentions for sentences and their best translations.

        Of a source that is too long, only the first tokens are read. Raises S2SError for an
        ensemble, and for a sentence without tokens.
        """
        longest = self.decoding.max_source_length
        sources = self._tokenizers.source.encode([sentence.strip() for sentence in sentences])
        if not all(sources):
            raise S2SError("There are no states of an empty sentence.", "Leave it out.")
        sources = [row[:longest] for row in sources]
        targets = [[i for i in found[0].ids if i != EOS] for found in self.search(sources)]
        inputs = source_ids(sources), target_in_ids(targets)
        hidden, attentions = states_of(self.models, *inputs)
        return States(
            [[self._source_tokens[i] for i in (*row, EOS)] for row in sources],
            [[self._target_tokens[i] for i in (BOS, *row)] for row in targets],
            hidden,
            attentions,
            *(ids != PAD for ids in inputs),
        )

    def glossary(self, entries: Mapping[str, str]) -> Glossary:
        """A glossary for the methods below, from target terms by source term.

        Raises DataError for a term that the target vocabulary cannot write.
        """
        return Glossary(entries, self._tokenizers.target)

    def translate(
        self,
        sentences: Sequence[str],
        on_batch: Callable[[int], None] = _ignore,
        *,
        prefixes: Sequence[str] | None = None,
        glossary: Glossary | None = None,
    ) -> list[Translation]:
        """The best translation of each sentence, in order; see `n_best`."""
        found = self.n_best(sentences, on_batch, prefixes=prefixes, glossary=glossary)
        return [n_best[0] for n_best in found]

    def translate_iter(
        self,
        sentences: Iterable[str],
        on_batch: Callable[[int], None] = _ignore,
        *,
        chunk: int = CHUNK,
        glossary: Glossary | None = None,
    ) -> Iterator[list[Translation]]:
        """The n-best list of each sentence, in order, reading `chunk` sentences at a time.

        Memory is bounded by the chunk, so an endless iterable will do. Raises MemoryError.
        """
        for some in chunks(sentences, chunk):
            yield from self.n_best(some, on_batch, glossary=glossary)

    def n_best(
        self,
        sentences: Sequence[str],
        on_batch: Callable[[int], None] = _ignore,
        *,
        prefixes: Sequence[str] | None = None,
        glossary: Glossary | None = None,
    ) -> list[list[Translation]]:
        """The `decoding.n_best` best translations of each sentence, or as many as there are.

        `on_batch` is called with the number of sentences that are finished. Sentences of
        similar length are translated together. A sentence with no tokens (empty, white space)
        has the empty translation.

        The translations of a sentence begin with the tokens of its prefix, if it has one, the last of
        which may be continued to a longer word. They hold the terms of the glossary (see `glossary`)
        whose source terms stand in the sentence; `Translation.missing_terms` are those for which
        there was no room. Of a source that is split, the first part has the prefix, and each part its
        own terms.

        Raises MemoryError, and DataError for a prefix that cannot be written or is too long.
        """
        sentences = [sentence.strip() for sentence in sentences]
        whole = self._tokenizers.source.encode(sentences)
        size, is_split = self.decoding.max_source_length, self.decoding.long_sources == "split"
        parts = [split_source(ids, self._source_tokens, size or max(1, len(ids))) for ids in whole]
        used = [row if is_split else row[:1] for row in parts]
        sources = [
            _Source(part, sentence, start)
            for sentence, row in zip(sentences, used, strict=True)
            for part, start in zip(row, accumulate(map(len, row), initial=0), strict=False)
        ]
        ends = list(accumulate(map(len, used)))
        sources = self._with_required(sources, [0, *ends], prefixes, glossary)
        found = self._translate_all(sources, set(ends), on_batch)
        return [
            join_parts(found[start:end], self.decoding.length_penalty, is_long=len(row) > 1)
            for row, (start, end) in zip(parts, pairwise([0, *ends]), strict=True)
        ]

    def _with_required(
        self,
        sources: list[_Source],
        starts: Sequence[int],
        prefixes: Sequence[str] | None,
        glossary: Glossary | None,
    ) -> list[_Source]:
        """The sources with their terms, and the first of each sentence with its prefix."""
        if glossary is not None:
            sources = [
                replace(one, required=Required(terms=tuple(glossary.terms_in(self._text_of(one)))))
                for one in sources
            ]
        if prefixes is not None:
            target = self._tokenizers.target
            for start, text in zip(starts[:-1], prefixes, strict=True):
                if text.strip():
                    prefix = tuple(target_ids(text, target, "the prefix"))
                    required = replace(sources[start].required, prefix=prefix)
                    sources[start] = replace(sources[start], required=required)
        return sources

    def _text_of(self, source: _Source) -> str:
        """The text of a source, which may be a part of its sentence."""
        surfaces = self._surfaces(source)
        return self._tokenizers.source.original("".join(surfaces))

    def _surfaces(self, source: _Source) -> list[str]:
        """The text of each token of a source."""
        surfaces = self._tokenizers.source.surfaces(source.sentence)
        return surfaces[source.start : source.start + len(source.ids)]

    def _translate_all(
        self, sources: Sequence[_Source], ends: set[int], on_batch: Callable[[int], None]
    ) -> list[list[Translation]]:
        """The translations of each source; a sentence ends before each of `ends`."""
        results = [[Translation("")] for _ in sources]
        rows = sorted(
            (row for row, source in enumerate(sources) if source.ids),
            key=lambda row: len(sources[row].ids),
        )
        on_batch(len(sources) - len(rows))
        size = self.decoding.batch_size
        # The longest come first, so that no thread is left alone with them at the end.
        batches = [rows[max(0, end - size) : end] for end in range(len(rows), 0, -size)]
        for batch, found in zip(batches, self._search_batches(sources, batches), strict=True):
            texts = iter(self._tokenizers.target.decode([h.ids for row in found for h in row]))
            for row, hypotheses in zip(batch, found, strict=True):
                results[row] = [
                    self._translation(sources[row], next(texts), hypothesis)
                    for hypothesis in hypotheses
                ]
            on_batch(sum(row + 1 in ends for row in batch))
        return results

    def _search_batches(
        self, sources: Sequence[_Source], batches: Sequence[Sequence[int]]
    ) -> Iterator[list[list[Hypothesis]]]:
        """The hypotheses of each batch, in order; some batches are searched at the same time."""

        def search(batch: Sequence[int]) -> list[list[Hypothesis]]:
            some = [sources[row] for row in batch]
            return self.search([one.ids for one in some], [one.required for one in some])

        if sum(map(len, batches)) == 1:  # a thread takes longer to start than it saves
            yield search(batches[0])
            return
        workers = ThreadPoolExecutor(inter_op_threads())
        try:
            yield from workers.map(search, batches)
        finally:
            workers.shutdown(cancel_futures=True)

    def _translation(self, source: _Source, text: str, hypothesis: Hypothesis) -> Translation:
        visible = [
            (token, aligned)
            for token, aligned in zip(hypothesis.ids, hypothesis.aligned, strict=True)
            if token >= SPECIAL_TOKENS or token == UNK
        ]
        tokens = tuple(self._target_tokens[i] for i, _ in visible)
        replaced = 0
        if self.decoding.unknown == "replace" and UNK in hypothesis.ids:
            ids, aligned = zip(*visible, strict=True)
            words, replaced = replaced_unknown(ids, tokens, aligned, self._surfaces(source))
            text = self._tokenizers.target.join(words)
        missing = (term for term in source.required.terms if not contains(hypothesis.ids, term.ids))
        return Translation(
            text,
            hypothesis.score,
            hypothesis.log_probability,
            len(hypothesis.ids),
            tuple(self._source_tokens[i] for i in source.ids),
            tokens,
            tuple(hypothesis.token_log_probability),
            # The `</s>` of the source is not one of its tokens.
            tuple(
                (aligned, place)
                for place, (_, aligned) in enumerate(visible)
                if self._has_attention and aligned < len(source.ids)
            ),
            replaced=replaced,
            missing_terms=tuple(term.text for term in missing),
        )

    def search(
        self, sources: Sequence[Sequence[int]], required: Sequence[Required] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best best hypotheses for each row of source ids, or as many as there are.

        `required`: what they must hold. Raises MemoryError, and DataError for a prefix that is too
        long.
        """
        required = required or [NOTHING] * len(sources)
        inputs = [source_ids(sources)]
        if self._lexicon:
            further = [[*one.prefix, *(i for t in one.terms for i in t.ids)] for one in required]
            shortlist = self.decoding.shortlist or 0
            inputs += _padded_candidates(*self._lexicon.candidates(sources, shortlist, further))
        given = given_tensors(required)
        if self.decoding.sampling:
            given["keys"] = sentence_keys(self.decoding.seed, sources)
        try:
            found = Hypotheses(*(part.numpy() for part in self.search_function(*inputs, **given)))
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None
        results = [self._hypotheses(found, row) for row in range(len(sources))]
        for hypotheses, one in zip(results, required, strict=True):
            if tuple(hypotheses[0].ids[: len(one.prefix)]) != one.prefix:
                raise self._too_long(one.prefix)
        return results

    def _too_long(self, prefix: Sequence[int]) -> DataError:
        (text,) = self._tokenizers.target.decode([prefix])
        return DataError(
            f"the prefix {text!r} has {len(prefix)} tokens, more than a translation may have.",
            f"Shorten it, or raise decoding.max_length, {self.decoding.max_length}, as far as the"
            " model has positions.",
        )

    def _hypotheses(self, found: Hypotheses, row: int) -> list[Hypothesis]:
        """The n_best best hypotheses of one row of NumPy results."""
        results = []
        for rank in range(self.decoding.n_best):
            if rank and found.log_probability[row, rank] == -np.inf:
                break  # there are no more
            length = np.count_nonzero(found.ids[row, rank])
            results.append(
                Hypothesis(
                    found.ids[row, rank, :length].tolist(),
                    float(found.score[row, rank]),
                    float(found.log_probability[row, rank]),
                    found.aligned[row, rank, :length].tolist(),
                    found.token_log_probability[row, rank, :length].tolist(),
                )
            )
        return results


def _load_models(run: Run, checkpoint: str) -> Seq2Seq:
    from s2s_cli.decoding.loading import load_model

    return load_model(run, checkpoint)


def resolve_decoding(decoding: Decoding, configs: Sequence[ResolvedConfig]) -> Decoding:
    """The decoding section with its precision resolved, and with a source length that is set and
    that every model has positions for."""
    longest = decoding.max_source_length
    return decoding.model_copy(
        update={
            "precision": resolve_decoding_precision(decoding.precision),
            "max_source_length": min(
                config.model.bounded_source(longest or config.data.max_length) for config in configs
            ),
        }
    )


def load_tokenizers(run: Run, config: ResolvedConfig, checkpoint: Path) -> Tokenizers:
    """The tokenizers of a run, which must be those of a checkpoint. Raises RunError."""
    sums = checksums(checkpoint)
    source, target = (run.tokenizer_file(side) for side in ("source", "target"))
    return Tokenizers.load(source, target, config.tokenizer.type, lambda path: sums.get(path.name))


def _common_tokenizers(
    runs: Sequence[Run], configs: Sequence[ResolvedConfig], checkpoints: Sequence[Path]
) -> Tokenizers:
    """The tokenizers that all runs have. Raises RunError where one has others than the first."""
    first, *others = map(load_tokenizers, runs, configs, checkpoints)
    for run, other in zip(runs[1:], others, strict=True):
        differing = [
            side
            for side in ("source", "target")
            if not getattr(first, side).is_equal_to(getattr(other, side))
        ]
        if differing:
            raise RunError(
                f"{runs[0].root} and {run.root} have different {' and '.join(differing)}"
                " vocabularies; the runs of an ensemble must have the same ones.",
                "A vocabulary follows from the training pairs, from the section `tokenizer`, and, for"
                " type unigram, from --threads; which pairs data.validation holds out follows from"
                " training.seed.",
            )
    return first


def given_tensors(required: Sequence[Required]) -> dict[str, NDArray[np.integer]]:
    """The tensors `prefix` and `terms` of a search, as far as any sentence of a batch needs them."""
    given: dict[str, NDArray[np.integer]] = {}
    if any(one.prefix for one in required):
        given["prefix"] = padded([one.prefix for one in required])
    count = max(len(one.terms) for one in required)
    if count:
        terms = [
            [*(t.ids for t in one.terms), *[()] * (count - len(one.terms))] for one in required
        ]
        flat = padded([ids for row in terms for ids in row])
        given["terms"] = flat.reshape(len(required), count, flat.shape[1])
    return given


def _padded_candidates(candidates: Any, allowed: Any) -> list[Any]:
    """candidates (C,) and allowed (B,C), padded until C is a multiple of BLOCK.

    No sentence may use the padding. Other widths would be copied to such a one at each position.
    """
    missing = -len(candidates) % BLOCK
    return [
        np.pad(candidates, (0, missing), constant_values=PAD),
        np.pad(allowed, ((0, 0), (0, missing))),
    ]
