# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""ONNX operators on integer tensors: QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger.

Each is what its specification says: dequantize, the float operator, quantize; here in exact arithmetic.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from bitwright.compile.frontend.linear import convolve, dense, quantized_weight
from bitwright.compile.frontend.quantizers import positive
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import FLOAT, INF, INTEGER_RANGES, Const, Refuse, Value, scalar
from bitwright.compile.ir import IntType
from bitwright.compile.ir.types import FractionArray, fractions

INT32 = 6
ONE = scalar(Fraction(1))


def _shifted(call: Call, x: Value, zero: Const | None, scale: FractionArray) -> Value:
    """(x - zero) * scale per tensor, as a float value."""
    if zero is not None and zero.data.size != 1:
        raise Refuse("a zero point per row of the activation is not supported")
    z = scalar(Fraction(0 if zero is None else int(zero.data.reshape(-1)[0])))
    v = x.plus(-z).times(scale)
    return v.with_map(v.terms, v.offset, v.lo, v.hi, elem=FLOAT)


def _one(const: Const, what: str) -> FractionArray:
    values = positive(const, what)
    if values.size != 1:
        raise Refuse(f"{what} has {values.size} values; one for the tensor is supported")
    return scalar(values.flat[0])


def _requantized(call: Call, v: Value, scale_i: int, zero_i: int) -> Value:
    scale = _one(call.const(scale_i, "the output scale"), "the output scale")
    zero = call.const(zero_i, "the output zero point")
    if zero.data.size != 1 or zero.elem not in INTEGER_RANGES:
        raise Refuse("the output zero point must be one integer")
    lo, hi = INTEGER_RANGES[zero.elem]
    name = call.emitter.quantize(
        v, scale, scalar(Fraction(0)), "HALF_EVEN", IntType.containing(lo, hi), lo, hi, int(zero.data.reshape(-1)[0])
    )
    return v.with_map([(name, ONE)], scalar(Fraction(0)), scalar(-INF), scalar(INF), elem=zero.elem)


@handles("QLinearConv")
def qlinear_conv(call: Call) -> Value:
    """Inputs: x, its scale and zero point, w, its scale and zero point, y's scale and zero point, int32 bias."""
    x_scale = _one(call.const(1, "the input scale"), "the input scale")
    w_scale = positive(call.const(4, "the weight scale"), "the weight scale").reshape(-1)
    x = _shifted(call, call.value(0), call.const(2, "the input zero point"), x_scale)
    weight = quantized_weight(call, 3, call.const(5, "the weight zero point"), w_scale, 0)
    v = convolve(call, x, weight, None).value
    bias = call.optional_const(8, "the bias")
    if bias is not None:  # int32 in units of the accumulator
        b = fractions(bias.data.reshape(-1)) * x_scale * (w_scale if w_scale.size > 1 else w_scale.flat[0])
        v = v.plus(np.asarray(b, object))
    return _requantized(call, v, 6, 7)


@handles("QLinearMatMul")
def qlinear_matmul(call: Call) -> Value:
    """Inputs: a, its scale and zero point, constant b, its scale and zero point, y's scale and zero point."""
    a = _shifted(call, call.value(0), call.const(2, "a's zero point"), _one(call.const(1, "a's scale"), "a's scale"))
    b_scale = positive(call.const(4, "b's scale"), "b's scale").reshape(-1)
    weight = quantized_weight(call, 3, call.const(5, "b's zero point"), b_scale, -1)
    return _requantized(call, dense(call, a, weight, transposed=False), 6, 7)


def _as_int32(call: Call, v: Value) -> Value:
    lo, hi = call.emitter.bounds(v)
    low, high = INTEGER_RANGES[INT32]
    if min(lo.flat) < low or max(hi.flat) > high:
        raise Refuse("its int32 result may wrap around")
    return v.with_map(v.terms, v.offset, v.lo, v.hi, elem=INT32)


@handles("ConvInteger")
def conv_integer(call: Call) -> Value:
    """int32 convolution of integers with zero points."""
    zero_x, zero_w = call.optional_const(2, "x's zero point"), call.optional_const(3, "the weight zero point")
    x = _shifted(call, call.value(0), zero_x, ONE)
    weight = quantized_weight(call, 1, zero_w, ONE, 0)
    return _as_int32(call, convolve(call, x, weight, None).value)


@handles("MatMulInteger")
def matmul_integer(call: Call) -> Value:
    """int32 product of integers with zero points."""
    zero_a, zero_b = call.optional_const(2, "a's zero point"), call.optional_const(3, "b's zero point")
    a = _shifted(call, call.value(0), zero_a, ONE)
    weight = quantized_weight(call, 1, zero_b, ONE, -1)
    return _as_int32(call, dense(call, a, weight, transposed=False))
