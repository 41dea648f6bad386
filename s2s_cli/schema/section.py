"""What all sections of the config have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class MisfitError(ValueError):
    """Two settings that do not fit together; `path` is the one to blame."""

    def __init__(self, path: str, message: str):
        super().__init__(message)
        self.path = tuple(path.split("."))


class Section(BaseModel):
    """Frozen, and closed: an unknown key is a mistake."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
