"""The section `decoding`: how translations are searched for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.section import Count, MisfitError, Positive, Section

MAX_CANDIDATES = 64
"""Candidate target tokens that a run stores for each source token: the longest shortlist."""


class Decoding(Section):
    """How translations are searched for."""

    beam_size: Count = 1
    """Hypotheses in the beam of a sentence; 1 is greedy search."""
    n_best: Count = 1
    """Hypotheses that are returned for a sentence, at most beam_size, or samples of it."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """Exponent p of a hypothesis's score, log probability / length**p; the length counts `</s>`."""
    coverage_penalty: Annotated[float, Field(ge=0.0)] = 0.0
    """Factor of the coverage penalty, which is added to the score of a hypothesis that has ended: the
    sum of log(min(attention, 1)) over its source tokens, where the attention is summed over its target
    tokens (https://arxiv.org/abs/1609.08144, equation 14). It needs a beam, and attention."""
    diversity: Annotated[float, Field(ge=0.0)] = 0.0
    """What a continuation loses, in log probability, for each better continuation of the same
    hypothesis while the beam is chosen, so that hypotheses differ earlier
    (https://arxiv.org/abs/1611.08562). Scores do not include it. It needs a beam."""
    unknown: Literal["allow", "suppress", "replace"] = "allow"
    """What becomes of `<unk>` in a translation: suppress never chooses it; replace puts the source
    word with the most attention in its place, which needs attention."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    """Number of tokens of which no sequence stands twice in a translation; 0: any may be repeated."""
    sampling: bool = False
    """Draw each token at random from the model's distribution, instead of searching for the best
    ones; n_best translations are then independent samples. beam_size must be 1."""
    temperature: Annotated[float, Field(ge=0.01)] = 1.0
    """What scores are divided by before a token is drawn: above 1, rare tokens are drawn more often,
    below 1 less often. Needs sampling, as the next three settings do."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw from this many of the most probable tokens; 0: from all."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Draw from the fewest of the most probable tokens whose probabilities sum to this share
    (https://arxiv.org/abs/1904.09751)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of sampling. What is drawn for a sentence follows from it and from the sentence alone."""
    shortlist: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    """Score only this many candidate target tokens for each source token, and some that are
    frequent; null: score the whole vocabulary. The run learns the candidates from its corpus.
    Probabilities are then relative to the candidates."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "float32"
    """Data type of weights and matrix products; auto is the fastest for which this processor has
    instructions. bfloat16 and int8 round, so that some translations differ, without being worse.
    int8 needs VNNI instructions."""
    min_length: Annotated[int, Field(ge=0)] = 0
    """Least number of tokens in a translation, unless max_length or max_length_ratio allow fewer."""
    max_length: Count = 200
    """Largest number of tokens in a translation, where the model has positions for as many."""
    max_length_ratio: Positive = 2.0
    """Largest number of tokens in a translation for each token of its source, plus 10."""
    max_source_length: Count | None = None
    """Largest number of source tokens that are translated at once; null: data.max_length, or as many
    as the model has positions for. Models translate sentences longer than those they were trained on
    badly."""
    long_sources: Literal["split", "truncate"] = "split"
    """How longer sources are translated: split after sentences or between words and translated in
    parts, or truncated."""
    batch_size: Count = 128
    """Sentences that are translated together. Fewer need less memory. Each thread translates a batch
    of its own."""

    @property
    def rows(self) -> int:
        """Rows of a sentence in the search: hypotheses in its beam, or its samples."""
        return self.n_best if self.sampling else self.beam_size

    @model_validator(mode="after")
    def _settings_fit(self) -> Decoding:
        misfits = []
        if self.min_length > self.max_length:
            misfits.append(
                ("min_length", f"is {self.min_length}, above max_length, {self.max_length}")
            )
        if self.n_best > self.rows:
            misfits.append(
                (
                    "n_best",
                    f"is {self.n_best}, but the beam holds {self.beam_size};"
                    " raise decoding.beam_size",
                )
            )
        misfits += self._sampling_misfits() if self.sampling else self._search_misfits()
        if misfits:
            raise MisfitError(*misfits)
        return self

    def _sampling_misfits(self) -> list[tuple[str, str]]:
        """What samples cannot have, as they do not compete in a beam."""
        beam = [("beam_size", self.beam_size > 1, "samples are drawn without a beam; set it to 1")]
        ranked = [
            (name, getattr(self, name) > 0, "samples are not ranked; set it to 0")
            for name in ("coverage_penalty", "diversity")
        ]
        return [
            (name, f"is {getattr(self, name):g}, but with decoding.sampling, {reason}")
            for name, is_set, reason in (*beam, *ranked)
            if is_set
        ]

    def _search_misfits(self) -> list[tuple[str, str]]:
        """What only a beam, or only sampling, can have."""
        misfits = []
        for name in ("coverage_penalty", "diversity"):
            if getattr(self, name) and self.beam_size == 1:
                value = f"{getattr(self, name):g}"
                misfits.append((name, f"is {value}, which needs a beam; raise decoding.beam_size"))
        for name in ("temperature", "top_k", "top_p"):
            if getattr(self, name) != type(self).model_fields[name].default:
                value = f"{getattr(self, name):g}"
                misfits.append((name, f"is {value}, which needs decoding.sampling: true"))
        return misfits
