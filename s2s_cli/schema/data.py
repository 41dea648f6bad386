"""The sections `data` and `tokenizer`: where text comes from, and how it is cut."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from s2s_cli.schema.section import Count, MisfitError, Positive, Section


class Files(Section):
    """Sentence pairs: `tsv`, or `source` and `target`; any of them may end in .gz."""

    source: str | None = None
    """File with one source sentence a line."""
    target: str | None = None
    """File with the translation of each source line."""
    tsv: str | None = None
    """File with lines `source<TAB>target`, and perhaps a third column."""
    third_column: Literal["weight", "ignore"] = "weight"
    """What a third column of the tsv holds: the weight of the pair in the loss, or nothing of use."""

    @property
    def paths(self) -> list[str]:
        """Every file that is set."""
        return [path for path in (self.source, self.target, self.tsv) if path is not None]

    def _require_one_kind(self) -> None:
        pair = self.source is not None and self.target is not None
        if (self.tsv is not None) == pair or (self.source is None) != (self.target is None):
            raise ValueError("needs `tsv: FILE`, or both `source: FILE` and `target: FILE`")


class Corpus(Files):
    """Sentence pairs to train on."""

    mixing_weight: Positive | None = None
    """Share of this corpus in an epoch, relative to the others; null: every pair once an epoch."""

    @model_validator(mode="after")
    def _one_kind_of_files(self) -> Corpus:
        self._require_one_kind()
        return self


class Validation(Files):
    """Pairs that are never trained on: files, or a fraction of the training pairs."""

    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of the training pairs to hold out, by a hash of (seed, source): no source is on both sides."""
    max_pairs: Count = 2000
    """At most this many pairs are scored at a validation; more that are held out stay unused."""

    @model_validator(mode="after")
    def _files_or_fraction(self) -> Validation:
        if self.fraction is None and not self.paths:
            raise ValueError("needs `fraction: 0.05`, `tsv: FILE`, or `source:` and `target:`")
        if self.fraction is None:
            self._require_one_kind()
        elif self.paths:
            raise ValueError("needs files or `fraction`, not both")
        return self


class Data(Section):
    """Where the sentence pairs come from."""

    train: list[Corpus]
    """One corpus, or a list of them."""
    validation: Validation | None = Validation(fraction=0.05)
    """What the model is judged by while it trains; null: nothing."""
    max_length: Count = 100
    """Pieces a side; longer pairs are counted and left out."""
    max_length_ratio: Positive | None = None
    """Pieces of the longer side for each of the shorter, at most; other pairs are counted and left
    out. null: any."""
    drop_identical: bool = False
    """Leave out the pairs whose sides are the same text, and count them."""

    @model_validator(mode="before")
    @classmethod
    def _one_corpus_is_a_list_of_one(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("train"), dict):
            return {**values, "train": [values["train"]]}
        return values

    @model_validator(mode="after")
    def _all_or_none_are_mixed(self) -> Data:
        if not self.train:
            raise MisfitError("train", "is an empty list; give at least one corpus")
        if len({corpus.mixing_weight is None for corpus in self.train}) > 1:
            raise MisfitError("train", "needs `mixing_weight` on every corpus or on none")
        return self


class Tokenizer(Section):
    """How sentences are cut into pieces; learned by SentencePiece from the training pairs."""

    type: Literal["unigram", "bpe", "word", "char"] = "unigram"
    """`word` keeps punctuation apart from words and joins it again in the output."""
    vocab_size: Annotated[int, Field(ge=8)] = 8000
    """Types a vocabulary, the four special ones counted; `word` and `char` take at most this many."""
    shared: bool = True
    """One vocabulary for both sides, learned from both."""
    normalization: Literal["nmt_nfkc", "nfkc", "identity"] = "nmt_nfkc"
    """SentencePiece's rule for Unicode."""
    lowercase: bool = False
    """Fold case on both sides, in the output too."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)] = 1.0
    """Share of the characters that get a type of their own; 0.9995 suits Chinese or Japanese."""
    input_sentence_size: Count = 1_000_000
    """Sentences drawn at random to learn from, where the corpus has more."""

    @model_validator(mode="after")
    def _case_folding_needs_a_rule(self) -> Tokenizer:
        if self.lowercase and self.normalization == "identity":
            raise MisfitError(
                "lowercase", "needs normalization nmt_nfkc or nfkc; identity changes nothing"
            )
        return self
