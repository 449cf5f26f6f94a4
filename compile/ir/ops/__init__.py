# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators of the IR. Importing this package registers all of them."""

from bitwright.compile.ir.ops.add import Add
from bitwright.compile.ir.ops.argmax import ArgMax
from bitwright.compile.ir.ops.base import OPERATORS, Cost, Inferred, Node, ShapeError
from bitwright.compile.ir.ops.conv2d import Conv2d
from bitwright.compile.ir.ops.conv_transpose2d import ConvTranspose2d
from bitwright.compile.ir.ops.deform_conv2d import DeformConv2d
from bitwright.compile.ir.ops.dense import Dense
from bitwright.compile.ir.ops.movement import Concat, Pad, PermuteChannels, Reshape, Slice, Transpose
from bitwright.compile.ir.ops.multiply import Multiply
from bitwright.compile.ir.ops.pool import MaxPool2d, SumPool2d
from bitwright.compile.ir.ops.requantize import Requantize
from bitwright.compile.ir.ops.resize import ResizeLinear, ResizeNearest
from bitwright.compile.ir.ops.threshold import Threshold

__all__ = [
    "OPERATORS",
    "Add",
    "ArgMax",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Cost",
    "DeformConv2d",
    "Dense",
    "Inferred",
    "MaxPool2d",
    "Multiply",
    "Node",
    "Pad",
    "PermuteChannels",
    "Requantize",
    "Reshape",
    "ResizeLinear",
    "ResizeNearest",
    "ShapeError",
    "Slice",
    "SumPool2d",
    "Threshold",
    "Transpose",
]
