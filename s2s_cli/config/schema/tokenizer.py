"""The section `tokenizer`: how sentences are split into tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.section import Count, MisfitError, Section


class Tokenizer(Section):
    """How sentences are split into tokens; SentencePiece learns it from the training pairs."""

    type: Literal["unigram", "bpe", "word", "char"] = "unigram"
    """Kind of token: subwords (unigram, bpe), words or characters. `word` separates punctuation
    from words and joins it again in translations."""
    vocab_size: Annotated[int, Field(ge=8)] = 8000
    """Tokens in a vocabulary, the four special tokens included. `word` and `char` use fewer where
    the corpus has fewer."""
    shared: bool = True
    """Use one vocabulary for both sides, learned from both."""
    normalization: Literal["nmt_nfkc", "nfkc", "identity"] = "nmt_nfkc"
    """SentencePiece's rule for Unicode normalization of the source."""
    target_normalization: Literal["nmt_nfkc", "nfkc", "identity"] = "identity"
    """The same for the target. With identity, translations are written as the training targets are;
    the other rules also change what scores count, such as `…`, `½` and letters of Thai and Persian."""
    lowercase: bool = False
    """Lowercase the source."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)] = 1.0
    """Share of the characters of the corpus that get a token of their own. 0.9995 suits Chinese
    and Japanese."""
    input_sentence_size: Count = 1_000_000
    """Sentences, drawn at random, from which the vocabulary is learned where the corpus has more."""

    @model_validator(mode="after")
    def _lowercasing_needs_a_rule(self) -> Tokenizer:
        if self.lowercase and self.normalization == "identity":
            raise MisfitError(
                (
                    "lowercase",
                    "needs normalization nmt_nfkc or nfkc; identity leaves all text as it is",
                )
            )
        return self
