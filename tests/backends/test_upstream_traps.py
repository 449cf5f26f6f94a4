# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Patterns that hls4ml 1.3.0 computes wrongly without a word, from ONNX: here they are rewritten, and exact.

Source of the list: measurements with hls4ml 1.3.0 and qonnx 1.0.0 (docs/hls4ml.md, section "What upstream gets wrong").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitwright.compile.frontend import import_model
from bitwright.compile.ir.ops import Transpose
from tests.backends.test_hls4ml import IO_TYPES, check
from tests.support import ModelBuilder

pytestmark = pytest.mark.hls


def weights(b: ModelBuilder, *shape: int, per_channel: bool = True, bits: int = 4) -> str:
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.05, 0.4, (shape[0], *(1,) * (len(shape) - 1))) if per_channel else 0.2
    return b.quant_const(rng.normal(size=shape), scale, 0.0, bits)


def global_average_pool(b: ModelBuilder, x: str) -> str:
    y = b.quant(b.node("Conv", x, weights(b, 4, 3, 3, 3), pads=[1, 1, 1, 1]), 0.07, 0.0, 8)
    return b.quant(b.node("GlobalAveragePool", y), 0.013, 0.0, 8)


def max_pool_flatten_dense(b: ModelBuilder, x: str) -> str:
    y = b.quant(b.node("Conv", x, weights(b, 4, 3, 3, 3), pads=[1, 1, 1, 1]), 0.07, 3.0, 8)
    y = b.node("Flatten", b.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    return b.quant(b.node("Gemm", y, weights(b, 5, 36), transB=1), 0.11, 0.0, 8)


def channels_last_export(b: ModelBuilder, x: str) -> str:
    y = b.node("Transpose", b.node("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    y = b.quant(b.node("Conv", y, weights(b, 4, 3, 1, 1)), 0.05, 0.0, 8)
    y = b.node("Transpose", y, perm=[0, 2, 3, 1])
    return b.quant(b.node("MatMul", b.node("Flatten", y), weights(b, 144, 5, per_channel=False)), 0.3, 0.0, 8)


def two_bit_weights(b: ModelBuilder, x: str) -> str:
    """-2 is not a ternary weight."""
    y = b.node("Conv", x, weights(b, 6, 3, 3, 3, bits=2), strides=[2, 2])
    return b.quant(y, 0.21, -4.0, 8)


def stride_beyond_the_kernel(b: ModelBuilder, x: str) -> str:
    y = b.quant(b.node("Conv", x, weights(b, 3, 1, 1, 1), strides=[2, 2], group=3), 0.03, 0.0, 8)
    return b.quant(b.node("Conv", y, weights(b, 2, 3, 1, 2), strides=[2, 1]), 0.05, 0.0, 8)


PATTERNS = (
    global_average_pool, max_pool_flatten_dense, channels_last_export, two_bit_weights, stride_beyond_the_kernel,
)  # fmt: skip


@pytest.mark.parametrize("io_type", IO_TYPES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern(pattern: Callable[[ModelBuilder, str], str], io_type: str, tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 3, 6, 6]), 0.04, 1.0, 8)
    graph = import_model(b.save(tmp_path / "m.onnx", pattern(b, x)))
    assert not any(isinstance(n, Transpose) for n in graph.nodes)
    check(graph, tmp_path / "project", io_type)
