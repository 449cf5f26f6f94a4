# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Random small quantized networks over all operators, for differential tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from tests.support import ModelBuilder

ROUNDINGS = ("ROUND", "ROUND", "ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


@dataclass
class Style:
    """What a random model may contain.

    Attributes:
        dyadic: scales are powers of two, so float32 executors are exact.
        zero_points: quantizers have zero points.
    """

    dyadic: bool
    zero_points: bool


class RandomModel:
    """One random model; deterministic in its seed."""

    def __init__(self, seed: int, style: Style) -> None:
        self.rng = np.random.default_rng(seed)
        self.style = style
        self.b = ModelBuilder(opset=int(self.rng.choice([11, 13, 17, 18, 21, 22])))
        self.used: list[str] = []

    def pick(self, *options: object) -> object:
        return options[int(self.rng.integers(len(options)))]

    def scale(self, size: int | None = None, center: float = 0.1) -> np.ndarray:
        shape = () if size is None else (size,)
        if self.style.dyadic:
            power = np.round(np.log2(center)) + self.rng.integers(-1, 2, shape)
            return np.asarray(2.0**power, np.float32)
        return np.asarray(center * self.rng.uniform(0.5, 2.0, shape), np.float32)

    def activation_quant(self, x: str, rank: int, channels: int, center: float) -> str:
        bits = int(self.rng.integers(2, 9))
        signed = bool(self.rng.integers(2))
        narrow = bool(self.rng.integers(2)) and bits > 1
        scale = self.scale(None, center * 2.0 ** (6 - bits))
        zero = float(self.rng.integers(-3, 4)) if self.style.zero_points and self.rng.integers(2) else 0.0
        return self.b.quant(x, scale, zero, bits, signed, narrow, str(self.pick(*ROUNDINGS)))

    def weights(self, shape: tuple[int, ...], out_axis: int) -> str:
        bits = int(self.rng.integers(1, 9))
        w = self.rng.normal(size=shape).astype(np.float32)
        per_channel = bool(self.rng.integers(2))
        # the grid covers about two standard deviations
        scale = self.scale(shape[out_axis] if per_channel else None, 4.0 / 2**bits)
        if per_channel:
            scale = scale.reshape([-1 if k == out_axis else 1 for k in range(len(shape))])
        narrow = bits > 1 and bool(self.rng.integers(2))
        return self.b.quant_const(w, scale, 0.0, bits, narrow=narrow)

    def build(self, steps: int) -> onnx.ModelProto:
        rng, b = self.rng, self.b
        self.shape = [1, int(rng.integers(1, 5)), int(rng.integers(4, 8)), int(rng.integers(4, 8))]
        if rng.integers(3) == 0:
            self.shape = [1, int(rng.integers(2, 9))]
        x = b.input(["N", *self.shape[1:]])
        self.x = b.quant(x, self.scale(), float(rng.integers(-2, 3)) if self.style.zero_points else 0.0, 8,
                         bool(rng.integers(2)), False, str(self.pick(*ROUNDINGS)))  # fmt: skip
        for _ in range(steps):
            if len(self.shape) == 4:
                ops = [
                    "conv", "conv", "depthwise", "residual", "pool", "concat", "split", "shuffle", "pad", "resize",
                    "transposed", "elementwise", "flatten", "slice", "threshold", "trunc", "bipolar", "qdq",
                    "product", "excite", "hard_swish",
                ]  # fmt: skip
            else:
                ops = [
                    "dense",
                    "dense",
                    "residual",
                    "elementwise",
                    "slice",
                    "trunc",
                    "bipolar",
                    "qdq",
                    "product",
                    "hard_swish",
                ]
            op = str(self.pick(*ops))
            self.used.append(op)
            getattr(self, op)()
        if rng.integers(4) == 0:
            self.x = b.node("ArgMax", self.x, axis=1, keepdims=int(rng.integers(2)))
            return b.model(self.x, elem=onnx.TensorProto.INT64)
        return b.model(self.x)

    def finish(self, y: str, center: float = 0.3, batchnorm: bool = True) -> None:
        rng, b = self.rng, self.b
        channels = self.shape[1]
        if batchnorm and rng.integers(2):
            if self.style.dyadic:
                gamma, var, eps = 2.0 ** rng.integers(-1, 2, channels), np.full(channels, 0.75), 0.25
            else:
                gamma, var, eps = rng.uniform(-1.5, 1.5, channels), rng.uniform(0.3, 2, channels), 1e-5
            beta, mean = rng.integers(-8, 9, channels) / 8, rng.integers(-8, 9, channels) / 8
            y = b.node("BatchNormalization", y, *(b.const(v) for v in (gamma, beta, mean, var)), epsilon=eps)
        act = str(self.pick("none", "relu", "relu6", "none"))
        if act == "relu":
            y = b.node("Relu", y)
        elif act == "relu6":
            y = b.node("Clip", y, b.const(0.0), b.const(1.5))
        self.x = self.activation_quant(y, len(self.shape), channels, center)

    def conv(self, groups: int = 1) -> None:
        rng, (_, c, h, w) = self.rng, self.shape
        k = [int(rng.integers(1, 4)), int(rng.integers(1, 4))]
        strides, dil = [int(rng.integers(1, 3)) for _ in k], [int(rng.integers(1, 3)) for _ in k]
        pads = [int(rng.integers(0, 2)) for _ in range(4)]
        dil = [d if (n + 2 > d * (kk - 1) + 1) else 1 for d, kk, n in zip(dil, k, (h, w), strict=True)]
        if min(h, w) < 3:
            k, dil = [1, 1], [1, 1]
        if groups == 1 and c % 2 == 0 and rng.integers(2):
            groups = 2
        o = groups * int(rng.integers(1, 4))
        out = [(n + pads[i] + pads[i + 2] - dil[i] * (k[i] - 1) - 1) // strides[i] + 1 for i, n in enumerate((h, w))]
        if min(out) < 1:
            k, dil, out = (
                [1, 1],
                [1, 1],
                [(n + pads[i] + pads[i + 2] - 1) // strides[i] + 1 for i, n in enumerate((h, w))],
            )
        inputs = [self.x, self.weights((o, c // groups, *k), 0)]
        if rng.integers(2):
            bias = rng.integers(-8, 9, o) / 8 if self.style.dyadic else rng.normal(size=o)
            inputs.append(self.b.const(bias) if rng.integers(2) else self.b.quant_const(bias, self.scale(), 0.0, 8))
        y = self.b.node("Conv", *inputs, kernel_shape=k, strides=strides, dilations=dil, pads=pads, group=groups)
        self.shape = [1, o, *out]
        self.finish(y)

    def depthwise(self) -> None:
        self.conv(groups=self.shape[1])

    def transposed(self) -> None:
        rng, (_, c, h, w) = self.rng, self.shape
        if h > 8 or w > 8:
            return
        k, strides = [int(rng.integers(1, 4)) for _ in range(2)], [int(rng.integers(1, 3)) for _ in range(2)]
        o, extra = int(rng.integers(1, 4)), [int(rng.integers(0, s)) for s in strides]
        y = self.b.node("ConvTranspose", self.x, self.weights((c, o, *k), 1), strides=strides, output_padding=extra)
        self.shape = [1, o, *(s * (n - 1) + e + kk for s, n, e, kk in zip(strides, (h, w), extra, k, strict=True))]
        self.finish(y)

    def dense(self) -> None:
        rng, n = self.rng, self.shape[1]
        o = int(rng.integers(1, 9))
        if rng.integers(2):
            y = self.b.node("MatMul", self.x, self.weights((n, o), 1))
        else:
            bias = rng.integers(-8, 9, o) / 8 if self.style.dyadic else rng.normal(size=o)
            y = self.b.node("Gemm", self.x, self.weights((o, n), 0), self.b.const(bias), transB=1)
        self.shape = [1, o]
        self.finish(y)

    def residual(self) -> None:
        a = self.activation_quant(self.x, len(self.shape), self.shape[1], 0.2)
        c = self.activation_quant(self.b.node("Relu", self.x), len(self.shape), self.shape[1], 0.2)
        y = self.b.node("Add", a, c)
        self.finish(y, batchnorm=False)

    def gate(self, y: str) -> str:
        """A quantized hard sigmoid. With dyadic scales its slope is dyadic too, so that float32 is exact."""
        alpha = float(self.pick(0.25, 0.125)) if self.style.dyadic else 1 / 6
        y = self.b.node("HardSigmoid", y, alpha=alpha, beta=0.5)
        return self.b.quant(y, 2.0**-8 if self.style.dyadic else 1 / 255, 0.0, 8, False)

    def product(self) -> None:
        """Two branches, or a branch with itself."""
        a = self.activation_quant(self.x, len(self.shape), self.shape[1], 0.2)
        c = a
        if self.rng.integers(4):
            c = self.activation_quant(self.b.node("Neg", self.x), len(self.shape), self.shape[1], 0.2)
        self.finish(self.b.node("Mul", a, c))

    def hard_swish(self) -> None:
        x = self.activation_quant(self.x, len(self.shape), self.shape[1], 0.2)
        self.finish(self.b.node("Mul", x, self.gate(x)))

    def excite(self) -> None:
        """Squeeze-and-excitation with a gate for each channel, for the sample, or for each position."""
        x = self.activation_quant(self.x, 4, self.shape[1], 0.2)
        kind = int(self.rng.integers(3))
        if kind == 2:  # one channel for all
            w = self.b.quant_const(np.ones((1, self.shape[1], 1, 1), np.float32), 1.0, 0.0, 2)
            y = self.b.node("Conv", x, w, kernel_shape=[1, 1])
        else:
            y = (
                self.b.node("MaxPool", x, kernel_shape=self.shape[2:])
                if self.rng.integers(2)
                else self.b.node("GlobalAveragePool", x)
            )
            if kind == 1:
                w = self.b.quant_const(np.ones((1, self.shape[1], 1, 1), np.float32), 1.0, 0.0, 2)
                y = self.b.node("Conv", self.activation_quant(y, 4, self.shape[1], 0.2), w, kernel_shape=[1, 1])
        y = self.gate(self.activation_quant(y, 4, self.shape[1], 0.2))
        self.finish(self.b.node("Mul", *((x, y) if self.rng.integers(2) else (y, x))))

    def pool(self) -> None:
        rng, b, (_, c, h, w) = self.rng, self.b, self.shape
        kind = str(self.pick("MaxPool", "AveragePool", "GlobalAveragePool"))
        if kind == "GlobalAveragePool":
            y, out = b.node(kind, self.x), [1, 1]
        else:
            k = [min(h, int(rng.integers(1, 4))), min(w, int(rng.integers(1, 4)))]
            if self.style.dyadic and kind == "AveragePool":
                k = [min(h, 2), 1]
            strides = [int(rng.integers(1, 3)) for _ in k]
            pads = [int(rng.integers(0, kk)) if kk > 1 else 0 for kk in k] * 2
            more = {"count_include_pad": 1} if kind == "AveragePool" else {}
            y = b.node(kind, self.x, kernel_shape=k, strides=strides, pads=pads, **more)
            out = [(n + 2 * pads[i] - k[i]) // strides[i] + 1 for i, n in enumerate((h, w))]
        self.shape = [1, c, *out]
        self.finish(y, batchnorm=False)

    def concat(self) -> None:
        branches = [self.activation_quant(self.x, 4, self.shape[1], 0.2) for _ in range(int(self.rng.integers(1, 3)))]
        axis = int(self.rng.integers(1, 4)) if len(branches) == 1 else 1
        y = self.b.node("Concat", self.x, *(branches if axis == 1 else [self.x]), axis=axis)
        self.shape[axis] *= 1 + (len(branches) if axis == 1 else 1)
        if self.shape[1] > 8:
            self.x = y
            self.slice()
            return
        self.finish(y, batchnorm=axis == 1)

    def split(self) -> None:
        if self.shape[1] < 2:
            return
        first = int(self.rng.integers(1, self.shape[1]))
        sizes = [first, self.shape[1] - first]
        if self.b.opset < 13:
            return
        parts = self.b.node("Split", self.x, self.b.const(sizes, np.int64), outputs=2, axis=1)
        keep = int(self.rng.integers(2))
        self.x, self.shape[1] = parts[keep], sizes[keep]

    def slice(self) -> None:
        axis = int(self.rng.integers(1, len(self.shape)))
        n = self.shape[axis]
        start, step = int(self.rng.integers(0, n)), int(self.rng.integers(1, 3))
        start = min(start, n // 2)
        stop = min(n, start + 6)
        arrays = [self.b.const([v], np.int64) for v in (start, stop, axis, step)]
        self.x = self.b.node("Slice", self.x, *arrays)
        self.shape[axis] = len(range(start, stop, step))

    def shuffle(self) -> None:
        _, c, h, w = self.shape
        if c % 2:
            return
        y = self.b.node("Reshape", self.x, self.b.const([1, 2, c // 2, h, w], np.int64))
        y = self.b.node("Transpose", y, perm=[0, 2, 1, 3, 4])
        self.x = self.b.node("Reshape", y, self.b.const([1, c, h, w], np.int64))

    def pad(self) -> None:
        p = [int(self.rng.integers(0, 2)) for _ in range(4)]
        if self.shape[2] > 9:
            return
        self.x = self.b.node("Pad", self.x, self.b.const([0, 0, p[0], p[1], 0, 0, p[2], p[3]], np.int64))
        self.shape = [*self.shape[:2], self.shape[2] + p[0] + p[2], self.shape[3] + p[1] + p[3]]

    def resize(self) -> None:
        if max(self.shape[2:]) > 5:
            return
        scales = self.b.const([1.0, 1.0, 2.0, 2.0])
        roi = self.b.const([]) if self.b.opset < 13 else ""  # unused, but not optional before opset 13
        self.x = self.b.node(
            "Resize", self.x, roi, scales, mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip
        self.shape = [*self.shape[:2], self.shape[2] * 2, self.shape[3] * 2]

    def elementwise(self) -> None:
        rng, b, c = self.rng, self.b, self.shape[1]
        y = self.x
        tail = (1,) * (len(self.shape) - 2)
        for _ in range(int(rng.integers(1, 3))):
            size = (c, *tail) if rng.integers(2) else ()
            value = rng.integers(-8, 9, size) / 4 if self.style.dyadic else rng.normal(size=size)
            op = str(self.pick("Mul", "Add", "Sub"))
            if op == "Mul":
                value = np.where(np.abs(value) < 0.1, 0.5, np.sign(value) * self.scale(None, 1.0))
            y = b.node(op, y, b.const(value))
        self.finish(y)

    def threshold(self) -> None:
        rng, c = self.rng, self.shape[1]
        table = np.sort(rng.integers(-16, 17, (c, int(rng.integers(1, 8)))) / 16, axis=1)
        self.x = self.b.node(
            "MultiThreshold", self.x, self.b.const(table), domain="qonnx.custom_op.general",
            out_dtype="UINT4", out_scale=0.25, out_bias=-0.5,
        )  # fmt: skip

    def trunc(self) -> None:
        """A quantizer, then fewer bits: what Brevitas' TruncAvgPool and friends export."""
        bits, scale = int(self.rng.integers(4, 9)), self.scale()
        drop = int(self.rng.integers(1, bits - 1))
        signed = bool(self.rng.integers(2))
        x = self.b.quant(self.x, scale, 0.0, bits, signed)
        inputs = (x, *(self.b.const(v) for v in (scale, 0.0, float(bits), float(bits - drop))))
        mode = str(self.pick("FLOOR", "ROUND", "CEIL"))
        self.x = self.b.node("Trunc", *inputs, domain="qonnx.custom_op.general", rounding_mode=mode)

    def bipolar(self) -> None:
        self.x = self.b.node("BipolarQuant", self.x, self.b.const(self.scale()), domain="qonnx.custom_op.general")

    def qdq(self) -> None:
        dtype = np.int8 if self.rng.integers(2) else np.uint8
        zero = int(self.rng.integers(-4, 5)) if self.style.zero_points else 0
        scale = self.b.const(self.scale())
        point = self.b.const(zero if dtype is np.int8 else abs(zero), dtype)
        y = self.b.node("QuantizeLinear", self.x, scale, point)
        self.x = self.b.node("DequantizeLinear", y, scale, point)

    def flatten(self) -> None:
        _, c, h, w = self.shape
        if c * h * w > 64:
            return
        self.x = self.b.node("Flatten", self.x)
        self.shape = [1, c * h * w]
