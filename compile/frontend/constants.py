# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Constant folding: constants are evaluated as every ONNX executor evaluates them (IEEE float32)."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compile.frontend.emit import common_unit
from bitwright.compile.frontend.values import Const, Item, Refuse, scalar
from bitwright.compile.ir.types import FractionArray, IntArray, fractions

#: Weights without a quantizer are taken as integers when they fit this many bits.
MAX_BARE_WEIGHT_BITS = 16
#: Operators that only move values: a quantized constant stays quantized through them.
MOVEMENT = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Identity", "Expand", "Gather"}


def evaluate(node: onnx.NodeProto, items: tuple[Item | None, ...], opset: int) -> tuple[Const, ...]:
    """Run one node of the ONNX domain on constants."""
    data = [i.data if isinstance(i, Const) else None for i in items]
    results = _run(node, data, opset)
    first = items[0] if items else None
    if node.op_type in MOVEMENT and isinstance(first, Const) and first.q is not None:
        return (_moved(first, results[0], lambda x: _run(node, [x, *data[1:]], opset)[0]),)
    return tuple(Const(r, onnx.helper.np_dtype_to_tensor_dtype(r.dtype)) for r in results)


def _run(node: onnx.NodeProto, data: list[NDArray[Any] | None], opset: int) -> list[NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator  # takes longer to import than most models have constants to fold

    feeds = {n: d for n, d in zip(node.input, data, strict=True) if n and d is not None}
    try:
        results = ReferenceEvaluator(node, opsets={"": opset}).run(None, feeds)
    except Exception as error:  # the evaluator raises whatever numpy raises
        raise Refuse(f"its constant inputs cannot be folded: {type(error).__name__}: {error}") from None
    return [np.asarray(r) for r in results]


def _moved(const: Const, data: NDArray[Any], move: Callable[[NDArray[Any]], NDArray[Any]]) -> Const:
    assert const.q is not None and const.scale is not None and const.zero is not None

    def follow(x: NDArray[Any]) -> NDArray[Any]:
        if x.size == 1:
            return x.reshape((1,) * data.ndim)
        index = np.broadcast_to(np.arange(x.size).reshape(x.shape), const.shape).astype(np.int64)
        moved = move(index)
        for axis in range(moved.ndim):
            first = moved.take([0], axis=axis)
            if (moved == first).all():
                moved = first
        return np.asarray(x.reshape(-1)[moved])

    return Const(data, const.elem, move(const.q), follow(const.scale), follow(const.zero))


def whole(x: FractionArray, what: str) -> IntArray:
    """Fractions that must be integers, as int64."""
    bad = next((v for v in x.flat if v.denominator != 1), None)
    if bad is not None:
        raise Refuse(f"{what} is {float(bad)}, it must be a whole number")
    return np.asarray([int(v) for v in x.flat], np.int64).reshape(x.shape)


def integer_weights(const: Const, out_axis: int | None) -> tuple[IntArray, NDArray[Any]]:
    """A weight constant as integers times a scale.

    Args:
        const: quantized, integer-typed, or float values that happen to be small integers times one number.
        out_axis: axis along which the scale may vary; None when it may not.

    Returns:
        int64 weights of the constant's shape with the zero point subtracted; scale of shape () or (O,), of floats or
        fractions.
    """
    if const.q is not None and const.scale is not None and const.zero is not None:
        zero = whole(fractions(const.zero), "the weight zero point")
        q = const.q - zero if zero.any() else const.q
        scale = const.scale
        varied = [k for k in range(scale.ndim) if scale.shape[k] > 1 and not np.all(scale == scale.take([0], axis=k))]
        if not varied:
            return q, np.asarray(scale.flat[0] if scale.size else Fraction(1))
        if varied != [out_axis]:
            raise Refuse(
                f"the weight scale of shape {list(scale.shape)} varies along axis {varied}, it may vary along the "
                f"output channels (axis {out_axis}) alone"
            )
        index = tuple(slice(None) if k == out_axis else 0 for k in range(scale.ndim))
        return q, scale[index]
    if const.data.dtype.kind in "iu":
        return const.data.astype(np.int64), scalar(Fraction(1))
    if not np.isfinite(const.data).all():
        raise Refuse("the weights hold NaN or infinity")
    unit = common_unit([x for x in fractions(np.unique(const.data)).flat])
    top = max((abs(Fraction(float(x))) for x in (const.data.min(), const.data.max())), default=Fraction(0)) / unit
    if math.ceil(top).bit_length() >= MAX_BARE_WEIGHT_BITS:
        raise Refuse("the weights are float: quantize them (Quant or DequantizeLinear on the weight tensor)")
    mantissa = np.rint(const.data.astype(np.float64) / float(unit))
    return mantissa.astype(np.int64), scalar(unit)
