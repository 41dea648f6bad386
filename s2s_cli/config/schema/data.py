"""The section `data`: where the sentence pairs come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.section import Count, FileName, MisfitError, OnResume, Positive, Section

SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
"""The tokens of every vocabulary, by id."""
FormatName = Literal["tsv", "csv", "jsonl", "tmx", "parquet"]


class Files(Section):
    """Files of sentence pairs: `path`, `tsv`, or `source` and `target`; packed or not."""

    source: FileName | None = None
    """File with one source sentence a line."""
    target: FileName | None = None
    """File with the translation of each line of `source`."""
    tsv: FileName | None = None
    """File with lines `source<TAB>target`, optionally with a third column."""
    third_column: Literal["weight", "ignore"] = "weight"
    """Meaning of the third column of `tsv`: the weight of the pair in the loss, or ignored."""
    path: FileName | None = None
    """File of pairs as TSV, CSV, JSON Lines, TMX or Parquet. The keys below say how it is read."""
    format: FormatName | None = None
    """Format of `path`; null: recognised by its content and the end of its name."""
    columns: Annotated[list[Count | str], Field(min_length=2, max_length=2)] | None = None
    """Columns of source and target in TSV, CSV or Parquet, by number from 1 or by name, such as
    [en, de]; in Parquet `a.b` is a field in a column. null: those called source and target, or else
    1 and 2."""
    fields: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """Names of source and target in JSON Lines, such as [en, de]; `a.b` is a field in a field. null:
    source and target."""
    languages: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """Languages of source and target in TMX, such as [en, de]; `en` stands for en-GB too. null: the
    source language that the file names, and the other one of its first unit."""
    weight: Count | str | None = None
    """Column or field of `path` with the weight of the pair in the loss; null: 1."""
    header: bool | None = None
    """Whether the first row of TSV or CSV holds names; null: where `columns` or `weight` has a name,
    where it says source and target, or where it has a word above a column of numbers."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character between the columns of CSV; null: a comma, semicolon or tab, by its first lines."""
    quotes: bool | None = None
    """Whether cells may stand in double quotes, with the quotes in them doubled, as spreadsheets
    write them; null: in CSV, and in TSV whose first rows have such cells."""
    inline_tags: Literal["drop", "keep"] = "drop"
    """Codes of formatting in TMX: left out, or kept as text."""

    @property
    def paths(self) -> list[str]:
        """Every file that is set."""
        paths = (self.source, self.target, self.tsv, self.path)
        return [path for path in paths if path is not None]

    @property
    def reading(self) -> dict[str, Any]:
        """The settings by which the files are read, without their names."""
        return self.model_dump(
            include=set(Files.model_fields) - {"source", "target", "tsv", "path"}
        )

    def _require_one_kind(self) -> None:
        kinds = (
            self.tsv is not None,
            self.path is not None,
            self.source is not None or self.target is not None,
        )
        if sum(kinds) != 1 or (self.source is None) != (self.target is None):
            raise MisfitError(
                ("", "needs `path: FILE` or `tsv: FILE`, or both `source: FILE` and `target: FILE`")
            )

    @model_validator(mode="after")
    def _only_a_path_has_a_format(self) -> Files:
        names = list(Files.model_fields)
        is_set = [
            name
            for name in names[names.index("path") + 1 :]
            if getattr(self, name) != Files.model_fields[name].default
        ]
        if is_set and self.path is None:
            raise MisfitError(*((name, "needs `path: FILE`") for name in is_set))
        return self


class Corpus(Files):
    """Sentence pairs to train on."""

    mixing_weight: Positive | None = None
    """Share of this corpus in an epoch, relative to the other corpora; null: every pair once."""
    source_tag: Annotated[str | None, OnResume.NEW_RUN] = None
    """A token such as <BT> that is put before each source of this corpus, so that the model can tell
    it from the others (https://arxiv.org/abs/1906.06442). No text is ever taken for it."""

    @model_validator(mode="after")
    def _one_kind_of_files(self) -> Corpus:
        self._require_one_kind()
        return self

    @model_validator(mode="after")
    def _the_tag_is_one_token(self) -> Corpus:
        tag = self.source_tag
        if tag is not None and (tag.split() != [tag] or tag in SPECIAL_TOKENS):
            raise MisfitError(
                (
                    "source_tag",
                    f"is {tag!r}; it must be one word, such as <BT>, and no special token",
                )
            )
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
                    "needs `fraction: 0.05`, `pairs: 500`, `path: FILE`, `tsv: FILE`, or `source:` and"
                    " `target:`",
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
    bidirectional: bool = False
    """Train on every pair in both directions, as a beginning for a training in one of them
    (https://arxiv.org/abs/2109.07780). Held-out pairs are left out in both, and validated on from
    source to target. Needs tokenizer.shared."""
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

    @property
    def source_tags(self) -> tuple[str, ...]:
        """The tags of all corpora, each once."""
        return tuple(dict.fromkeys(c.source_tag for c in self.train if c.source_tag is not None))
