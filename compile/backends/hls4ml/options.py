# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Options of the hls4ml backend (docs/hls4ml.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bitwright.compile.backends.base import nearest
from bitwright.errors import BackendError

Reuse = Annotated[int, Field(ge=1, le=1 << 20)]
Strategy = Literal["latency", "resource"]


class LayerOptions(BaseModel):
    """Options of one layer, by the name of its IR node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reuse_factor: Reuse | None = None
    strategy: Strategy | None = None


class Hls4mlOptions(BaseModel):
    """Options of the whole project.

    Attributes:
        tool: 'vitis' (hls4ml's Vitis backend) or 'vivado-accelerator' (adds the AXI wrapper and block design).
        io_type: 'parallel', 'stream', or 'auto': stream as soon as there is a feature map.
        clock_mhz: clock that HLS aims at; None takes the board's default.
        reuse_factor, strategy: hls4ml's, for all layers.
        layers: overrides by layer name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: Literal["vitis", "vivado-accelerator"] = "vivado-accelerator"
    io_type: Literal["auto", "parallel", "stream"] = "auto"
    clock_mhz: Annotated[float, Field(gt=0, le=1000)] | None = None
    reuse_factor: Reuse = 1
    strategy: Strategy = "latency"
    layers: dict[str, LayerOptions] = Field(default_factory=dict)


def check_layer_names(options: Hls4mlOptions, names: list[str]) -> None:
    """Every layer that the options name must exist."""
    for name in options.layers:
        if name not in names:
            hint = nearest(name, names) or f"; there are {', '.join(names[:20])}"
            raise BackendError(f"hls4ml option layers.{name}: no such layer{hint}")
