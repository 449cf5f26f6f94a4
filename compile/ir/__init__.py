# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The integer intermediate representation (docs/ir.md)."""

from bitwright.compile.ir.graph import (
    IR_VERSION,
    Graph,
    GraphBuilder,
    GraphError,
    GraphInput,
    GraphOutput,
    HostOp,
    Quantize,
)
from bitwright.compile.ir.types import Affine, IntType, Tensor

__all__ = [
    "IR_VERSION",
    "Affine",
    "Graph",
    "GraphBuilder",
    "GraphError",
    "GraphInput",
    "GraphOutput",
    "HostOp",
    "IntType",
    "Quantize",
    "Tensor",
]
