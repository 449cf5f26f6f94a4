# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Products and sums with constants, which FINN computes as they are (ChannelwiseOp)."""

from __future__ import annotations

import numpy as np

from bitwright.compile.backends.finn.thresholds import Stepped
from bitwright.compile.ir import IntType, Tensor
from bitwright.compile.ir.ops import Node, Requantize
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray


def linear(
    name: str, x: Tensor, multiplier: IntArray | int = 1, addend: int = 0, itype: IntType | None = None
) -> Requantize:
    """The node y = x * multiplier + addend, exact and unclamped."""
    m = np.atleast_1d(np.asarray(multiplier, np.int64))
    ends = [per_channel(v, x.channels) * m + addend for v in (x.lo, x.hi)]
    lo, hi = int(np.minimum(*ends).min()), int(np.maximum(*ends).max())
    return Requantize(
        name=name, inputs=(x.name,), output=name, multiplier=m, addend=np.asarray([addend]), shift=0, rounding="floor",
        lo=np.asarray([lo]), hi=np.asarray([hi]), itype=itype or IntType.containing(lo, hi),
    )  # fmt: skip


def is_linear(node: Node, x: Tensor) -> bool:
    """The node is a product and a sum with constants: nothing is shifted or clamped."""
    if not isinstance(node, Requantize) or isinstance(node, Stepped) or node.shift or node.offset:
        return False
    ends = [v * node.multiplier + node.addend for v in (x.lo, x.hi)]
    return bool((np.minimum(*ends) >= node.lo).all() and (np.maximum(*ends) <= node.hi).all())
