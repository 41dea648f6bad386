"""What all sections of the config have in common."""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class OnResume(enum.Enum):
    """Marks what it takes to resume a run after a setting, or a whole section, has changed.

    The mark nearest to a setting holds; without any, it is FORCE.
    """

    SAFE = "safe"
    """It changes no weight, though it may change which checkpoint is the best."""
    FORCE = "needs --force"
    """The rest of the training depends on it."""
    NEW_RUN = "makes a new run"
    """Saved weights, vocabularies or optimizer state do not fit, or trained pairs would be
    validated on."""


class FileMark:
    """Marks a setting that holds the name of a file."""


FileName = Annotated[str, FileMark()]


class MisfitError(ValueError):
    """Settings that are valid one by one and do not fit together.

    Each misfit is the dotted path of the setting to change, within the section that raises
    this error, and a clause that follows its name, such as "needs tokenizer.shared: true".
    """

    def __init__(self, *misfits: tuple[str, str]):
        super().__init__("; ".join(f"{path} {clause}" for path, clause in misfits))
        self.misfits = tuple((tuple(filter(None, path.split("."))), text) for path, text in misfits)


class Section(BaseModel):
    """A section of the config: immutable, and an unknown key in it is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def shown(value: object) -> str:
    """A value as it stands in a message: as Python writes it, YAML's words aside, cut short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}…"
