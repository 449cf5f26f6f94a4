# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Options of the FINN backend (docs/finn.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Parallel = Annotated[int, Field(ge=1, le=1 << 16)]


class LayerOptions(BaseModel):
    """Folding of one FINN layer, by the name that it has in folding_config.json: ``layers.MVAU_rtl_0.PE=4``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    PE: Parallel | None = None
    SIMD: Parallel | None = None
    parallel_window: Annotated[int, Field(ge=0, le=1)] | None = None


class FinnOptions(BaseModel):
    """Options of the whole project.

    Attributes:
        fps: frames per second that the folding aims at; None takes the smallest hardware (PE = SIMD = 1).
        clock_mhz: clock that FINN aims at; None takes the board's default.
        max_activation_bits: widest output of a thresholding layer. It holds 2**bits - 1 thresholds for each channel.
        layers: folding given by hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fps: Annotated[float, Field(gt=0, le=1e9)] | None = None
    clock_mhz: Annotated[float, Field(gt=0, le=1000)] | None = None
    max_activation_bits: Annotated[int, Field(ge=1, le=10)] = 8
    layers: dict[str, LayerOptions] = Field(default_factory=dict)
