"""The section `data`: where the sentence pairs come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.section import Count, FileName, MisfitError, OnResume, Positive, Section


class Files(Section):
    """Files of sentence pairs: `tsv`, or `source` and `target`; any of them may end in .gz."""

    source: FileName | None = None
    """File with one source sentence a line."""
    target: FileName | None = None
    """File with the translation of each line of `source`."""
    tsv: FileName | None = None
    """File with lines `source<TAB>target`, optionally with a third column."""
    third_column: Literal["weight", "ignore"] = "weight"
    """Meaning of the third column of `tsv`: the weight of the pair in the loss, or ignored."""

    @property
    def paths(self) -> list[str]:
        """Every file that is set."""
        return [path for path in (self.source, self.target, self.tsv) if path is not None]

    def _require_one_kind(self) -> None:
        pair = self.source is not None and self.target is not None
        if (self.tsv is not None) == pair or (self.source is None) != (self.target is None):
            raise MisfitError(("", "needs `tsv: FILE`, or both `source: FILE` and `target: FILE`"))


class Corpus(Files):
    """Sentence pairs to train on."""

    mixing_weight: Positive | None = None
    """Share of this corpus in an epoch, relative to the other corpora; null: every pair once."""

    @model_validator(mode="after")
    def _one_kind_of_files(self) -> Corpus:
        self._require_one_kind()
        return self


class Validation(Files):
    """Sentence pairs that are never trained on: files, or some of the training pairs."""

    fraction: Annotated[Annotated[float, Field(gt=0.0, lt=1.0)] | None, OnResume.NEW_RUN] = None
    """Share of the training pairs to hold out. A hash of (seed, normalized source sentence) selects
    them, so that no source sentence is both trained on and held out."""
    pairs: Annotated[Count | None, OnResume.NEW_RUN] = None
    """The same as a number: at least so many pairs, those of the sources with the smallest hashes."""
    max_pairs: Count = 2000
    """Largest number of pairs that a validation scores. Further held-out pairs are not used."""

    @model_validator(mode="after")
    def _files_or_fraction(self) -> Validation:
        if self.fraction is not None and self.pairs is not None:
            raise MisfitError(("", "needs `fraction` or `pairs`, not both"))
        if not self.is_held_out and not self.paths:
            raise MisfitError(
                (
                    "",
                    "needs `fraction: 0.05`, `pairs: 500`, `tsv: FILE`, or `source:` and `target:`",
                )
            )
        if not self.is_held_out:
            self._require_one_kind()
        elif self.paths:
            raise MisfitError(("", "needs files, or `fraction` or `pairs`, not both"))
        return self

    @property
    def is_held_out(self) -> bool:
        """Whether the pairs are some of the training pairs."""
        return self.fraction is not None or self.pairs is not None


class Data(Section):
    """Where the sentence pairs come from."""

    train: list[Corpus]
    """The training corpus, or a list of corpora."""
    validation: Validation | None = Validation(fraction=0.05)
    """Held-out pairs on which the model is scored during training; null: no validation."""
    max_length: Count = 100
    """Largest number of tokens of a side. Longer pairs are counted and left out."""
    max_length_ratio: Positive | None = None
    """Largest ratio between the token counts of the longer and the shorter side. Other pairs are
    counted and left out. null: no limit."""
    drop_identical: bool = False
    """Leave out pairs whose source and target are the same text, and count them."""

    @model_validator(mode="before")
    @classmethod
    def _one_corpus_is_a_list_of_one(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("train"), dict):
            return {**values, "train": [values["train"]]}
        return values

    @model_validator(mode="after")
    def _all_or_none_are_mixed(self) -> Data:
        if not self.train:
            raise MisfitError(("train", "is an empty list; give at least one corpus"))
        if len({corpus.mixing_weight is None for corpus in self.train}) > 1:
            raise MisfitError(("train", "needs `mixing_weight` on every corpus or on none"))
        return self
