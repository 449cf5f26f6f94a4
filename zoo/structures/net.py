# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the networks are built with: operators, quantizers and layers with random weights from a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
#: Steps of the 8-bit activations, behind a ReLU and without one: random layers below reach a few units.
UNSIGNED, SIGNED = 0.0193, 0.0271


class Net:
    """Nodes and constants of one ONNX file.

    Args:
        shape: of the input ``x``, (1, C, H, W) or (1, C).
        quantized: False leaves activations alone and dequantizes the weights: the float twin.
    """

    #: Mean of the addends of batch normalization.
    beta = 0.0

    def __init__(self, name: str, shape: list[int], quantized: bool = True) -> None:
        self.name, self.quantized = name, quantized
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def const(self, value: object) -> str:
        """A float constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def integers(self, *values: int) -> str:
        """A constant list of int64, for shapes and slices."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A node; its output is called ``out`` or by number."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out or name], name=name, **attributes))
        return out or name

    def quant(self, x: str, scale: object, signed: int, bits: int = 8, out: str = "") -> str:
        """A Quant node without zero point."""
        inputs = (x, self.const(scale), self.const(0.0), self.const(float(bits)))
        return self.op("Quant", *inputs, out=out, domain=QONNX, signed=signed, narrow=0, rounding_mode="ROUND")

    def activation(self, x: str, scale: float, signed: int, out: str = "") -> str:
        """An 8-bit quantizer; nothing in the float twin."""
        return self.quant(x, scale, signed, out=out) if self.quantized else x

    def weight(self, shape: tuple[int, ...], fan_in: int, bits: int = 4) -> str:
        """Normal weights of variance 1 / fan_in, quantized with one scale for each output (the first axis)."""
        w = self.rng.normal(scale=fan_in**-0.5, size=shape).astype(np.float32)
        top = 2 ** (bits - 1)
        scale = np.abs(w).reshape(shape[0], -1).max(axis=1).reshape(-1, *(1,) * (len(shape) - 1))
        scale = scale / np.float32(top - 0.5)
        if self.quantized:
            return self.quant(self.const(w), scale, 1, bits)
        return self.const(np.clip(np.round(w / scale), -top, top - 1) * scale)

    def norm(self, x: str, channels: int) -> str:
        """Batch normalization with random statistics."""
        gamma, beta = self.rng.uniform(0.8, 1.4, channels), self.rng.normal(self.beta, 0.2, channels)
        mean, var = self.rng.normal(scale=0.1, size=channels), self.rng.uniform(0.3, 0.8, channels)
        return self.op("BatchNormalization", x, *(self.const(v) for v in (gamma, beta, mean, var)), epsilon=1e-5)

    def conv(
        self, x: str, c: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, *, act: str = "relu6",
        scale: float = 0.0, bits: int = 4, dilation: int = 1,
    ) -> str:  # fmt: skip
        """Convolution (padding k // 2 times dilation), batch normalization, 'relu6', 'relu' or 'signed' activation.

        Args:
            c, o: channels in and out. scale: step of the activation, 0 for the usual one. bits: of the weights.
        """
        w = self.weight((o, c // groups, k, k), c // groups * k * k, bits)
        y = self.op(
            "Conv", x, w, kernel_shape=[k, k], strides=[stride, stride], pads=[k // 2 * dilation] * 4, group=groups,
            dilations=[dilation, dilation],
        )  # fmt: skip
        y = self.norm(y, o)
        if act == "signed":
            return self.activation(y, scale or SIGNED, 1)
        if act == "relu":
            return self.activation(self.op("Relu", y), scale or UNSIGNED, 0)
        return self.activation(self.op("Clip", y, self.const(0.0), self.const(6.0)), scale or UNSIGNED, 0)

    def depthwise(
        self, x: str, c: int, stride: int = 1, *, act: str = "relu6", scale: float = 0.0, dilation: int = 1
    ) -> str:
        """`conv` 3x3 of each channel on its own."""
        return self.conv(x, c, c, 3, stride, c, act=act, scale=scale, dilation=dilation)

    def last(self, x: str, c: int, o: int, bias: float, scale: float, out: str) -> str:
        """1x1 convolution with a random bias around ``bias``, to the signed output ``out``."""
        w, b = self.weight((o, c, 1, 1), c), self.const(self.rng.normal(bias, 0.2, o))
        return self.activation(self.op("Conv", x, w, b, kernel_shape=[1, 1]), scale, 1, out)

    def model(self, outputs: dict[str, list[int]], opset: int = 17) -> onnx.ModelProto:
        """The file, with its outputs and their shapes."""
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        graph = helper.make_graph(self.nodes, self.name, [self.input], infos, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset < 19 else 9)
