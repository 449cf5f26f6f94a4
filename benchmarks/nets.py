# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Networks to benchmark with, as QONNX files: random weights from a fixed seed, 4-bit weights, 8-bit activations.

Every network comes with its float twin: the same operators on the dequantized weights, without activation quantizers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
#: (expansion, channels, repeats, stride) of MobileNetV2, table 2 of Sandler et al., 2018.
MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class _Net:
    def __init__(self, name: str, shape: list[int], quantized: bool) -> None:
        self.name, self.quantized = name, quantized
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def const(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    def quant(self, x: str, scale: object, signed: int, bits: int = 8) -> str:
        inputs = (x, self.const(scale), self.const(0.0), self.const(float(bits)))
        return self.op("Quant", *inputs, domain=QONNX, signed=signed, narrow=0, rounding_mode="ROUND")

    def activation(self, x: str, scale: float, signed: int) -> str:
        return self.quant(x, scale, signed) if self.quantized else x

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        w = self.rng.normal(scale=fan_in**-0.5, size=shape).astype(np.float32)
        scale = np.abs(w).reshape(shape[0], -1).max(axis=1).reshape(-1, *(1,) * (len(shape) - 1)) / np.float32(7.5)
        if self.quantized:
            return self.quant(self.const(w), scale, 1, 4)
        return self.const(np.clip(np.round(w / scale), -8, 7) * scale)

    def conv(self, x: str, c: int, o: int, k: int, stride: int, groups: int, relu: bool) -> str:
        w = self.weight((o, c // groups, k, k), c // groups * k * k)
        pad = k // 2
        y = self.op("Conv", x, w, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, group=groups)
        gamma, beta = self.rng.uniform(0.8, 1.4, o), self.rng.normal(scale=0.2, size=o)
        mean, var = self.rng.normal(scale=0.1, size=o), self.rng.uniform(0.3, 0.8, o)
        y = self.op("BatchNormalization", y, *(self.const(v) for v in (gamma, beta, mean, var)), epsilon=1e-5)
        if relu:
            return self.activation(self.op("Clip", y, self.const(0.0), self.const(6.0)), 0.0193, 0)
        return self.activation(y, 0.0271, 1)

    def model(self, y: str, outputs: int) -> onnx.ModelProto:
        info = helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, outputs])
        graph = helper.make_graph(self.nodes, self.name, [self.input], [info], self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def mobilenet_v2(quantized: bool = True, size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 at width 1.0 (3.4 million weights), input (1, 3, size, size)."""
    net = _Net("mobilenet_v2", [1, 3, size, size], quantized)
    x = net.activation("x", 0.0157, 1)
    x = net.conv(x, 3, 32, 3, 2, 1, True)
    c = 32
    for expand, out, repeats, first_stride in MOBILENET_V2:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            y, wide = x, c * expand
            if expand > 1:
                y = net.conv(y, c, wide, 1, 1, 1, True)
            y = net.conv(y, wide, wide, 3, stride, wide, True)
            y = net.conv(y, wide, out, 1, 1, 1, False)
            x = net.activation(net.op("Add", x, y), 0.0313, 1) if stride == 1 and c == out else y
            c = out
    x = net.conv(x, c, 1280, 1, 1, 1, True)
    x = net.activation(net.op("GlobalAveragePool", x), 0.0157, 0)
    x = net.op("Flatten", x)
    y = net.op("Gemm", x, net.weight((1000, 1280), 1280), net.const(net.rng.normal(size=1000)), transB=1)
    return net.model(net.activation(y, 0.0417, 1), 1000)


def autoencoder(quantized: bool = True) -> onnx.ModelProto:
    """The dense autoencoder 640-128-128-8-128-128-640 of MLPerf Tiny's anomaly detection task, one layer less."""
    widths = (640, 128, 128, 8, 128, 128, 640)
    net = _Net("autoencoder", [1, widths[0]], quantized)
    x = net.activation("x", 0.0157, 1)
    for k, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        y = net.op("Gemm", x, net.weight((b, a), a), net.const(net.rng.normal(scale=0.1, size=b)), transB=1)
        x = net.activation(net.op("Relu", y), 0.0131, 0) if k < len(widths) - 2 else net.activation(y, 0.0173, 1)
    return net.model(x, widths[-1])


NETS = {"mobilenet_v2_224": mobilenet_v2, "autoencoder_640": autoencoder}
