# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The dense autoencoder of MLPerf Tiny's anomaly detection task, one layer less."""

from __future__ import annotations

import onnx

from bitwright.zoo.structures.net import Net


def autoencoder(quantized: bool = True) -> onnx.ModelProto:
    """640-128-128-8-128-128-640, input (1, 640)."""
    widths = (640, 128, 128, 8, 128, 128, 640)
    net = Net("autoencoder", [1, widths[0]], quantized)
    x = net.activation("x", 0.0157, 1)
    for k, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        y = net.op("Gemm", x, net.weight((b, a), a), net.const(net.rng.normal(scale=0.1, size=b)), transB=1)
        x = net.activation(net.op("Relu", y), 0.0131, 0) if k < len(widths) - 2 else net.activation(y, 0.0173, 1)
    return net.model({x: [1, widths[-1]]})
