# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What every table of a recipe shares: strictness and the types of common fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bitwright.errors import ModelError


class RecipeError(ModelError):
    """The recipe cannot be read or breaks a rule of its schema."""


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Channels = Annotated[int, Field(ge=1, le=8192)]
Bits = Annotated[int, Field(ge=2, le=8)]
Classes = Annotated[int, Field(ge=1, le=10_000)]
Resolution = Annotated[int, Field(ge=8, le=4096)]
Width = Annotated[float, Field(gt=0, le=4)]
