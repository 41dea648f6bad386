"""The whole config, for the families of models that a program knows."""

from __future__ import annotations

import functools
from typing import Annotated, Any, TypeVar, Union

from pydantic import Discriminator, Field, Tag, create_model, model_validator

from s2s_cli.config.schema.cleaning import Cleaning
from s2s_cli.config.schema.data import Data
from s2s_cli.config.schema.decoding import Decoding
from s2s_cli.config.schema.model import ModelSettings
from s2s_cli.config.schema.recurrent import RecurrentModel
from s2s_cli.config.schema.run import Resolved
from s2s_cli.config.schema.section import MisfitError, OnResume, Section
from s2s_cli.config.schema.tokenizer import Tokenizer
from s2s_cli.config.schema.training import Training
from s2s_cli.config.schema.transformer import TransformerModel

FAMILIES: tuple[type[ModelSettings], ...] = (RecurrentModel, TransformerModel)
"""The settings class of every family of models; the first has the default architecture."""


class Config(Section):
    """All settings of a training.

    This class is for annotations. `config_type` returns the subclass that values are validated
    by, in which `model` is one of the families' settings.
    """

    data: Data
    """Where the sentence pairs come from."""
    cleaning: Annotated[Cleaning, OnResume.SAFE] = Cleaning()
    """Which training pairs `s2s clean` rejects; training does not read this section."""
    tokenizer: Annotated[Tokenizer, OnResume.NEW_RUN] = Tokenizer()
    """How sentences are split into tokens."""
    model: Annotated[ModelSettings, OnResume.NEW_RUN]
    """The encoder-decoder."""
    training: Training = Training()
    """How the weights are trained."""
    decoding: Annotated[Decoding, OnResume.SAFE] = Decoding()
    """How translations are searched for."""

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        misfits = []
        if self.model.embedding.shared and not self.tokenizer.shared:
            misfits.append(
                (
                    "model.embedding.shared",
                    "needs tokenizer.shared: true (one table, one vocabulary)",
                )
            )
        if self.data.bidirectional and not self.tokenizer.shared:
            misfits.append(
                (
                    "data.bidirectional",
                    "needs tokenizer.shared: true (each side is source and target)",
                )
            )
        if self.data.validation is None and self.training.schedule.name == "plateau":
            misfits.append(
                (
                    "training.schedule.name",
                    "is plateau, which needs a validation loss; set data.validation",
                )
            )
        if self.training.subword_sampling.is_on and self.tokenizer.type in ("word", "char"):
            misfits.append(
                (
                    "training.subword_sampling",
                    f"needs tokenizer.type unigram or bpe; {self.tokenizer.type} has one way to cut"
                    " a sentence",
                )
            )
        schedule = self.training.schedule
        has_no_warmup = schedule.name == "auto" and schedule.warmup_steps == 0
        if has_no_warmup and self.model.default_schedule == "inverse_sqrt":
            misfits.append(
                (
                    "training.schedule.warmup_steps",
                    "must be at least 1 for inverse_sqrt, which training.schedule.name: auto chooses"
                    f" for {self.model.architecture}",
                )
            )
        too_long = self.model.beyond_positions(self.decoding.max_source_length)
        if too_long is not None:
            misfits.append(("decoding.max_source_length", too_long))
        if misfits:
            raise MisfitError(*misfits)
        return self


class ResolvedConfig(Config):
    """The config of a run: no value is `auto`, and `resolved` says which were chosen."""

    format: int
    """Number of the run's format."""
    resolved: Resolved
    """What the program chose and recorded."""

    @model_validator(mode="after")
    def _nothing_is_auto(self) -> ResolvedConfig:
        values = {
            "training.precision": self.training.precision,
            "training.batch_tokens": self.training.batch_tokens,
            "training.bleu_tokenizer": self.training.bleu_tokenizer,
            "training.schedule.name": self.training.schedule.name,
            "decoding.precision": self.decoding.precision,
        }
        misfits = [(key, "is auto in a run") for key, value in values.items() if value == "auto"]
        if self.training.schedule.warmup_steps is None:
            misfits.append(("training.schedule.warmup_steps", "is null in a run"))
        if misfits:
            raise MisfitError(*misfits)
        return self


_ConfigT = TypeVar("_ConfigT", bound=Config)


def config_type(families: tuple[type[ModelSettings], ...] = FAMILIES) -> type[Config]:
    """The type of a config whose `model` belongs to one of `families`."""
    return _with_families(Config, families)


def resolved_config_type(
    families: tuple[type[ModelSettings], ...] = FAMILIES,
) -> type[ResolvedConfig]:
    """The type of a run's config whose `model` belongs to one of `families`."""
    return _with_families(ResolvedConfig, families)


@functools.cache
def _with_families(
    base: type[_ConfigT], families: tuple[type[ModelSettings], ...]
) -> type[_ConfigT]:
    """A subclass of `base` whose field `model` is a union of families, told apart by `architecture`."""
    default = families[0].architectures()[0]

    def family_name(model: Any) -> str:
        if isinstance(model, ModelSettings):
            return type(model).__name__
        architecture = model.get("architecture", default) if isinstance(model, dict) else default
        owners = (family for family in families if architecture in family.architectures())
        return next((family.__name__ for family in owners), "")

    annotation: Any = families[0]
    if len(families) > 1:
        tagged = tuple(Annotated[family, Tag(family.__name__)] for family in families)
        annotation = Annotated[Union[tagged], Discriminator(family_name)]  # noqa: UP007
    model = Field(
        default=families[0].model_validate({"architecture": default}),
        description=Config.model_fields["model"].description,
    )
    summary = (base.__doc__ or "").partition("\n")[0]
    return create_model(
        base.__name__,
        __base__=base,
        __doc__=summary,
        model=(Annotated[annotation, OnResume.NEW_RUN], model),
    )
