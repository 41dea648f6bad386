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
    """Hypotheses that are returned for a sentence, at most beam_size."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """Exponent p of a hypothesis's score, log probability / length**p; the length counts `</s>`."""
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

    @model_validator(mode="after")
    def _bounds_fit(self) -> Decoding:
        misfits = []
        if self.min_length > self.max_length:
            misfits.append(
                ("min_length", f"is {self.min_length}, above max_length, {self.max_length}")
            )
        if self.n_best > self.beam_size:
            misfits.append(
                (
                    "n_best",
                    f"is {self.n_best}, but the beam holds {self.beam_size};"
                    " raise decoding.beam_size",
                )
            )
        if misfits:
            raise MisfitError(*misfits)
        return self
