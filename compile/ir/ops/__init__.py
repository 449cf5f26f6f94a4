# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators of the IR. Importing this package registers all of them."""

from bitwright.compile.ir.ops.add import Add
from bitwright.compile.ir.ops.base import OPERATORS, Cost, Inferred, Node, ShapeError
from bitwright.compile.ir.ops.conv2d import Conv2d
from bitwright.compile.ir.ops.dense import Dense
from bitwright.compile.ir.ops.movement import Concat, Pad, PermuteChannels, Reshape, Slice, Transpose
from bitwright.compile.ir.ops.pool import MaxPool2d, SumPool2d
from bitwright.compile.ir.ops.requantize import Requantize
from bitwright.compile.ir.ops.threshold import Threshold

__all__ = [
    "OPERATORS",
    "Add",
    "Concat",
    "Conv2d",
    "Cost",
    "Dense",
    "Inferred",
    "MaxPool2d",
    "Node",
    "Pad",
    "PermuteChannels",
    "Requantize",
    "Reshape",
    "ShapeError",
    "Slice",
    "SumPool2d",
    "Threshold",
    "Transpose",
]
