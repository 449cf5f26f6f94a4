# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a configuration cannot hold is refused before a program is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitwright.compile.backends.engine.compiler import lower
from bitwright.compile.ir import Graph, GraphInput, GraphOutput
from bitwright.compile.ir.graph import GraphBuilder
from bitwright.compile.ir.ops import Conv2d, Requantize
from bitwright.compile.ir.types import IntType
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS


def wide(channels: int) -> Graph:
    """One convolution whose accumulators reach 255 * 127 * channels."""
    b = GraphBuilder("wide")
    x = b.input("image", (1, 1, channels), IntType(8, False), 0, 255)
    y = b.add(Conv2d, "c", x.name, weight=np.full((1, 1, channels, 8), 127))
    q = b.add(
        Requantize, "q", y.name, multiplier=np.full(8, 3), addend=np.zeros(8, np.int64), shift=20, rounding="floor",
        lo=np.array([-128]), hi=np.array([127]), itype=IntType(8, True),
    )  # fmt: skip
    inputs = [GraphInput("image", x.shape, x.name, (0, 1, 2), None)]
    return b.finish(inputs, [GraphOutput("out", q.shape, q.name, (0, 1, 2), None)])


@pytest.mark.parametrize(("channels", "fits"), [(518, True), (519, False)])  # 2^24 / (255 * 127) = 518.06
def test_accumulators_that_the_requantizer_does_not_take(channels: int, fits: bool) -> None:
    graph = wide(channels)
    _, _, refused = lower(graph, CONFIGS["z7020"])
    if fits:
        assert not refused
    else:
        ((node, _, reason),) = refused
        assert node.startswith("q") and "25 bits" in reason, refused
    assert not lower(graph, CONFIGS["zu3eg"])[2]  # 27 bits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_bits": 28}, "x_bits must be 18 to 27"),
        ({"am_ultra": 1}, "am_depth must be 4096"),
        ({"am_ultra": 2}, "0 or 1"),
        ({"small": 1, "mul18": 1}, "small must be 0 with more than 4 pairs"),
        ({"dw": 2}, "dw must be 0 or 1"),
        ({"am_blocks": 0, "am_depth": 32}, "am_depth must be 64 to 4096 with am_blocks 0"),
    ],
)
def test_parameters_out_of_range(change: dict[str, int], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        replace(CONFIGS["zu3eg"], **change)


def test_hash_covers_what_programs_depend_on() -> None:
    config = CONFIGS["zu3eg"]
    assert replace(config, x_bits=25).hash != config.hash
    assert replace(config, name="other", device="xck26").hash == config.hash
