# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""An oracle that shares no code with the front end: evaluates an ONNX model in exact fractions, node by node.

Constants are folded in float32 like everywhere; run-time tensors are object arrays of fractions. Square roots of batch
normalization are taken to 300 bits.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

HALF = Fraction(1, 2)


def exact(x: Any) -> np.ndarray:
    x = np.asarray(x)
    out = np.empty(x.shape, object)
    for i in np.ndindex(x.shape):
        v = x[i]
        out[i] = v if isinstance(v, Fraction) else Fraction(v.item() if isinstance(v, np.generic) else v)
    return out


def round_one(v: Fraction, mode: str) -> int:
    away = 1 if v >= 0 else -1
    return {
        "ROUND": lambda: round(v),
        "HALF_EVEN": lambda: round(v),
        "FLOOR": lambda: math.floor(v),
        "CEIL": lambda: math.ceil(v),
        "UP": lambda: away * math.ceil(abs(v)),
        "DOWN": lambda: away * math.floor(abs(v)),
        "HALF_UP": lambda: away * math.floor(abs(v) + HALF),
        "HALF_DOWN": lambda: away * math.ceil(abs(v) - HALF),
    }[mode]()


def limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(2 ** (bits - 1)) + int(narrow), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - int(narrow)


class Oracle:
    """Runs a model. After `run`, ``before`` maps the output of every run-time quantizer to what it rounded."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = next(o.version for o in model.opset_import if o.domain == "")
        self.before: dict[str, np.ndarray] = {}
        self.values: dict[str, np.ndarray] = {}

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.constant = {i.name for i in self.model.graph.initializer}
        self.values = {i.name: numpy_helper.to_array(i) for i in self.model.graph.initializer}
        self.values |= {name: exact(x) for name, x in feeds.items()}
        for node in self.model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
            inputs = [self.values[n] if n else None for n in node.input]
            result = getattr(self, f"do_{node.op_type}")(node, attributes, *inputs)
            results = result if isinstance(result, list) else [result]
            for name, value in zip(node.output, results, strict=True):
                self.values[name] = value
            if all(n in self.constant or not n for n in node.input):
                self.constant.update(node.output)
        return {o.name: self.values[o.name] for o in self.model.graph.output}

    # Quantizers

    def do_Quant(self, node: Any, a: Any, x: Any, scale: Any, zero: Any, bits: Any) -> Any:
        mode = a.get("rounding_mode", "ROUND")
        signed, narrow, bits = bool(a["signed"]), bool(a["narrow"]), int(bits)
        if node.input[0] in self.constant:  # float32, as every executor folds it
            y = x / scale + zero
            if bits == 1 and signed:
                q = exact(np.where(y >= 0, 1, -1))
            else:
                rounded = [round_one(Fraction(float(v)), mode) for v in np.clip(y, *limits(bits, signed, narrow)).flat]
                q = exact(np.asarray(rounded, object).reshape(y.shape))
            self.constant.add(node.output[0])
            return (q - exact(zero)) * exact(scale)
        y = x / exact(scale) + exact(zero)
        self.before[node.output[0]] = y
        lo, hi = limits(bits, signed, narrow)
        if bits == 1 and signed:
            q = np.frompyfunc(lambda v: Fraction(1 if v >= 0 else -1), 1, 1)(y)
        else:
            q = np.frompyfunc(lambda v: Fraction(round_one(min(max(v, Fraction(lo)), Fraction(hi)), mode)), 1, 1)(y)
        return (q - exact(zero)) * exact(scale)

    def do_BipolarQuant(self, node: Any, a: Any, x: Any, scale: Any) -> Any:
        return np.frompyfunc(lambda v: Fraction(1 if v >= 0 else -1), 1, 1)(exact(x)) * exact(scale)

    def do_Trunc(self, node: Any, a: Any, x: Any, scale: Any, zero: Any, bits: Any, out_bits: Any) -> Any:
        whole = x / exact(scale) + exact(zero)
        assert all(v.denominator == 1 for v in whole.flat)
        dropped = whole / Fraction(2 ** int(bits - out_bits))
        mode = a.get("rounding_mode", "FLOOR")
        return (np.frompyfunc(lambda v: Fraction(round_one(v, mode)), 1, 1)(dropped) - exact(zero)) * exact(scale)

    def do_QuantizeLinear(self, node: Any, a: Any, x: Any, scale: Any, zero: Any) -> Any:
        kind = np.iinfo(zero.dtype)
        y = x / exact(scale)
        self.before[node.output[0]] = y
        z = int(zero)
        return np.frompyfunc(lambda v: Fraction(min(max(round(v) + z, int(kind.min)), int(kind.max))), 1, 1)(y)

    def do_DequantizeLinear(self, node: Any, a: Any, x: Any, scale: Any, zero: Any) -> Any:
        return (x - exact(int(zero))) * exact(scale)

    def do_MultiThreshold(self, node: Any, a: Any, x: Any, table: Any) -> Any:
        table, moved = exact(table), np.moveaxis(x, 1, -1)
        table = np.broadcast_to(table, (moved.shape[-1], table.shape[1]))
        count = (moved[..., None] >= table).sum(axis=-1)
        return exact(a.get("out_scale", 1.0)) * exact(np.moveaxis(count, -1, 1)) + exact(a.get("out_bias", 0.0))

    # Linear

    def do_Conv(self, node: Any, a: Any, x: Any, w: Any, b: Any = None) -> Any:
        w = exact(w)
        pads, strides, dil = a.get("pads", [0] * 4), a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        groups = a.get("group", 1)
        x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=Fraction(0))
        n, c, h, wd = x.shape
        o, cg, kh, kw = w.shape
        oh = (h - dil[0] * (kh - 1) - 1) // strides[0] + 1
        ow = (wd - dil[1] * (kw - 1) - 1) // strides[1] + 1
        y = np.full((n, o, oh, ow), Fraction(0), object)
        for oc in range(o):
            first = (oc // (o // groups)) * cg
            for ic in range(cg):
                for i in range(kh):
                    for j in range(kw):
                        part = x[:, first + ic, i * dil[0] :: strides[0], j * dil[1] :: strides[1]][:, :oh, :ow]
                        y[:, oc] = y[:, oc] + part * w[oc, ic, i, j]
        return y if b is None else y + exact(b).reshape(1, -1, 1, 1)

    def do_ConvTranspose(self, node: Any, a: Any, x: Any, w: Any, b: Any = None) -> Any:
        w = exact(w)
        pads, strides, dil = a.get("pads", [0] * 4), a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        extra, groups = a.get("output_padding", [0, 0]), a.get("group", 1)
        n, c, h, wd = x.shape
        _, og, kh, kw = w.shape
        full = [s * (m - 1) + e + d * (k - 1) + 1 for s, m, e, d, k in
                zip(strides, (h, wd), extra, dil, (kh, kw), strict=True)]  # fmt: skip
        y = np.full((n, og * groups, *full), Fraction(0), object)
        for ic in range(c):
            g = ic // (c // groups)
            for oc in range(og):
                for i in range(kh):
                    for j in range(kw):
                        for r in range(h):
                            for s in range(wd):
                                target = (
                                    slice(None),
                                    g * og + oc,
                                    r * strides[0] + i * dil[0],
                                    s * strides[1] + j * dil[1],
                                )
                                y[target] = y[target] + x[:, ic, r, s] * w[ic, oc, i, j]
        y = y[:, :, pads[0] : full[0] - pads[2], pads[1] : full[1] - pads[3]]
        return y if b is None else y + exact(b).reshape(1, -1, 1, 1)

    def do_Gemm(self, node: Any, a: Any, x: Any, w: Any, c: Any = None) -> Any:
        w = exact(w).T if a.get("transB") else exact(w)
        y = x.dot(w) * exact(a.get("alpha", 1.0))
        return y if c is None else y + exact(c) * exact(a.get("beta", 1.0))

    def do_MatMul(self, node: Any, a: Any, x: Any, w: Any) -> Any:
        return x.dot(exact(w))

    # Elementwise

    def do_Add(self, node: Any, a: Any, x: Any, y: Any) -> Any:
        return exact(x) + exact(y)

    def do_Sub(self, node: Any, a: Any, x: Any, y: Any) -> Any:
        return exact(x) - exact(y)

    def do_Mul(self, node: Any, a: Any, x: Any, y: Any) -> Any:
        return exact(x) * exact(y)

    def do_Div(self, node: Any, a: Any, x: Any, y: Any) -> Any:
        return exact(x) / exact(y)

    def do_Relu(self, node: Any, a: Any, x: Any) -> Any:
        return np.maximum(x, Fraction(0))

    def do_Clip(self, node: Any, a: Any, x: Any, lo: Any, hi: Any) -> Any:
        return np.minimum(np.maximum(x, exact(lo)), exact(hi))

    def do_Neg(self, node: Any, a: Any, x: Any) -> Any:
        return -exact(x)

    def do_HardSigmoid(self, node: Any, a: Any, x: Any) -> Any:
        alpha, beta = (Fraction(np.float32(a.get(n, d)).item()) for n, d in (("alpha", 0.2), ("beta", 0.5)))
        return np.minimum(np.maximum(exact(x) * alpha + beta, Fraction(0)), Fraction(1))

    def do_HardSwish(self, node: Any, a: Any, x: Any) -> Any:
        x = exact(x)
        return x * np.minimum(np.maximum(x + 3, Fraction(0)), Fraction(6)) / 6

    def do_BatchNormalization(self, node: Any, a: Any, x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
        eps = Fraction(np.float32(a.get("epsilon", 1e-5)).item())
        root = np.frompyfunc(lambda t: Fraction(math.isqrt(math.floor((t + eps) * 4**300)), 2**300), 1, 1)(exact(v))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return (x - exact(m).reshape(shape)) * (exact(g) / root).reshape(shape) + exact(b).reshape(shape)

    # Pooling and movement

    def _windows(self, a: Any, x: Any, fill: Any) -> Any:
        pads, strides = a.get("pads", [0] * 4), a.get("strides", [1, 1])
        kh, kw = a["kernel_shape"]
        x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
        oh, ow = (x.shape[2] - kh) // strides[0] + 1, (x.shape[3] - kw) // strides[1] + 1
        return [x[:, :, i :: strides[0], j :: strides[1]][:, :, :oh, :ow] for i in range(kh) for j in range(kw)]

    def do_MaxPool(self, node: Any, a: Any, x: Any) -> Any:
        parts = self._windows(a, x, Fraction(-(10**30)))
        y = parts[0]
        for part in parts[1:]:
            y = np.maximum(y, part)
        return y

    def do_AveragePool(self, node: Any, a: Any, x: Any) -> Any:
        parts = self._windows(a, x, Fraction(0))
        return sum(parts[1:], parts[0]) / Fraction(len(parts))

    def do_GlobalAveragePool(self, node: Any, a: Any, x: Any) -> Any:
        return x.sum(axis=(2, 3), keepdims=True) / Fraction(x.shape[2] * x.shape[3])

    def do_Concat(self, node: Any, a: Any, *xs: Any) -> Any:
        return np.concatenate(xs, axis=a["axis"])

    def do_Split(self, node: Any, a: Any, x: Any, sizes: Any) -> Any:
        return np.split(x, np.cumsum(sizes)[:-1], axis=a["axis"])

    def do_Slice(self, node: Any, a: Any, x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
        index = [slice(None)] * x.ndim
        for s, e, k, t in zip(starts, ends, axes, steps, strict=True):
            index[k] = slice(int(s), int(e), int(t))
        return x[tuple(index)]

    def do_Reshape(self, node: Any, a: Any, x: Any, shape: Any) -> Any:
        return x.reshape([int(n) for n in shape])

    def do_Flatten(self, node: Any, a: Any, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)

    def do_Transpose(self, node: Any, a: Any, x: Any) -> Any:
        return x.transpose(a["perm"])

    def do_Pad(self, node: Any, a: Any, x: Any, pads: Any, value: Any = None) -> Any:
        fill = Fraction(0) if value is None else exact(value).flat[0]
        n = x.ndim
        return np.pad(x, [(int(pads[k]), int(pads[k + n])) for k in range(n)], constant_values=fill)

    def do_Resize(self, node: Any, a: Any, x: Any, roi: Any, scales: Any) -> Any:
        assert a["mode"] == "nearest" and a["coordinate_transformation_mode"] == "asymmetric"
        for axis in (2, 3):
            x = x.repeat(int(scales[axis]), axis=axis)
        return x

    def do_ArgMax(self, node: Any, a: Any, x: Any) -> Any:
        y = np.argmax(x, axis=a["axis"])
        return exact(np.expand_dims(y, a["axis"]) if a.get("keepdims", 1) else y)
