# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators that act on each value: arithmetic with constants, clipping, batch normalization, sums of branches."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bitwright.compile.frontend.emit import finite, finite_reals
from bitwright.compile.frontend.products import multiply_values
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import (
    FLOAT,
    INF,
    INTEGER_RANGES,
    Const,
    Item,
    RealInput,
    Refuse,
    Scaled,
    Value,
    scalar,
)
from bitwright.compile.ir import IntType
from bitwright.compile.ir.reals import Reals
from bitwright.compile.ir.types import FractionArray


def _sides(call: Call) -> tuple[Item, Const | None, bool]:
    """(run-time operand, constant operand or None, constant is on the left)."""
    a, b = call.item(0), call.item(1)
    if isinstance(b, Const):
        assert a is not None
        return a, b, False
    assert b is not None
    return (b, a, True) if isinstance(a, Const) else (call.value(0), None, False)


def _scaled_input(call: Call, real: RealInput, factor: FractionArray) -> RealInput:
    if factor.size != 1 or factor.flat[0] <= 0:
        raise Refuse(
            "before its quantizer a model input may be scaled by one positive number; do the rest before the model"
        )
    return replace(real, factor=real.factor * factor.flat[0])


@handles("Add", "Sum")
def add(call: Call) -> Item:
    """Sum of two run-time tensors or of one and a constant."""
    if len(call.inputs) == 1:
        return call.value(0)
    if len(call.inputs) > 2:
        raise Refuse(f"a sum of {len(call.inputs)} tensors is not supported; chain Add nodes")
    item, constant, _ = _sides(call)
    if isinstance(item, RealInput):
        if constant is not None and not finite(constant, "the constant").any():
            return item
        raise Refuse("it shifts the float model input; put the quantizer first or shift the data before the model")
    if constant is not None:
        v = call.value(1 if item is call.item(1) else 0)
        v, c = call.emitter.with_channel_constant(v, constant, "the constant")
        return _checked(call, v.plus(c))
    return _checked(call, add_values(call, call.value(0), call.value(1)))


def add_values(call: Call, a: Value, b: Value) -> Value:
    """Sum of two run-time tensors of one shape."""
    if a.shape != b.shape:
        raise Refuse(f"shapes {list(a.shape)} and {list(b.shape)} differ; run-time tensors are not broadcast")
    em = call.emitter
    a, b = (em.settle(x) for x in (a, b))
    a, b = (em.uniform(x) if x.clamped else x for x in (a, b))
    b = em.arrange(b, a.perm)
    terms = dict(a.terms)
    for name, coef in b.terms:
        terms[name] = terms[name] + coef if name in terms else coef
    kept = [(n, c) for n, c in terms.items() if any(x != 0 for x in np.asarray(c, object).flat)] or list(a.terms[:1])
    return a.with_map(kept, a.offset + b.offset, a.lo, a.hi, inexact=a.inexact or b.inexact)


@handles("Sub")
def sub(call: Call) -> Item:
    """Difference."""
    item, constant, left = _sides(call)
    minus = scalar(Fraction(-1))
    if isinstance(item, RealInput):
        if constant is not None and not left and not finite(constant, "the constant").any():
            return item
        raise Refuse("it shifts the float model input; put the quantizer first or shift the data before the model")
    if constant is None:
        return _checked(call, add_values(call, call.value(0), call.value(1).times(minus)))
    v, c = call.emitter.with_channel_constant(call.value(1 if left else 0), constant, "the constant")
    return _checked(call, v.times(minus).plus(c) if left else v.plus(-c))


@handles("Mul")
def mul(call: Call) -> Item:
    """Product of two run-time tensors or of one and a constant."""
    item, constant, left = _sides(call)
    if constant is None:
        return _checked(call, multiply_values(call, call.value(0), call.value(1)))
    if isinstance(item, RealInput):
        return _scaled_input(call, item, finite(constant, "the constant"))
    v, c = call.emitter.with_channel_constant(call.value(1 if left else 0), constant, "the constant")
    return _checked(call, v.times(c))


@handles("Div")
def div(call: Call) -> Item:
    """Quotient by a constant."""
    item, constant, left = _sides(call)
    if constant is None or left:
        raise Refuse("it divides by something computed at run time")
    c = finite(constant, "the divisor")
    if any(x == 0 for x in c.flat):
        raise Refuse("the divisor holds a zero")
    if isinstance(item, RealInput):
        return _scaled_input(call, item, np.asarray(1 / c, object))
    v = call.value(0)
    if v.elem != FLOAT:
        raise Refuse("integer division truncates; divide floats")
    v, c = call.emitter.with_channel_constant(v, constant, "the divisor")
    return v.times(np.asarray(1 / c, object))


@handles("Neg")
def neg(call: Call) -> Item:
    """-x."""
    return _checked(call, call.value().times(scalar(Fraction(-1))))


def _checked(call: Call, v: Value) -> Value:
    """Integer-typed tensors must not wrap around: ONNX integers have fixed widths."""
    if v.elem == FLOAT:
        return v
    lo, hi = call.emitter.bounds(v)
    low, high = INTEGER_RANGES[v.elem]
    if min(np.asarray(lo, object).flat) < low or max(np.asarray(hi, object).flat) > high:
        raise Refuse(f"its integer result may leave {low}..{high} and wrap around")
    return v


@handles("HardSigmoid")
def hard_sigmoid(call: Call) -> Item:
    """max(0, min(1, alpha * x + beta)), alpha and beta as the float32 numbers of the file."""
    alpha, beta = (Fraction(np.float32(call.attr(n, d)).item()) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    return call.value().times(scalar(alpha)).plus(scalar(beta)).clamp(scalar(Fraction(0)), scalar(Fraction(1)))


@handles("HardSwish")
def hard_swish(call: Call) -> Item:
    """x * max(0, min(1, x / 6 + 1 / 2)): a product, so its gate must have integers too."""
    v = call.value()
    gate = v.times(scalar(Fraction(1, 6))).plus(scalar(Fraction(1, 2))).clamp(scalar(Fraction(0)), scalar(Fraction(1)))
    return multiply_values(call, v, gate, ("its input", "x / 6 + 1 / 2, its gate,"))


@handles("Relu", scaled=True)
def relu(call: Call) -> Item:
    """max(x, 0)."""
    return call.scaled().clamp(scalar(Fraction(0)), scalar(INF))


@handles("Clip", scaled=True)
def clip(call: Call) -> Item:
    """min(max(x, lo), hi) with constant bounds."""
    v = call.scaled()
    bounds = []
    for i, name, default in ((1, "min", -INF), (2, "max", INF)):
        constant = call.optional_const(i, f"the {name}imum")
        if constant is None or constant.data.size == 0:
            bounds.append(scalar(default))
            continue
        number = float(constant.data.reshape(-1)[0])
        if np.isnan(number):
            raise Refuse(f"the {name}imum is NaN")
        bounds.append(scalar(number if np.isinf(number) else Fraction(constant.data.reshape(-1)[0].item())))
    lo, hi = bounds
    if lo[()] > hi[()]:  # ONNX: everything becomes the maximum
        lo = hi
    return v.clamp(lo, hi)


@handles("BatchNormalization", scaled=True)
@handles("BatchNormalization", domain="channels_last", scaled=True)
def batch_normalization(call: Call) -> Item:
    """(x - mean) * gamma / sqrt(var + epsilon) + beta, exact up to 2**-200 in the square root."""
    x = call.scaled()
    base = x.base if isinstance(x, Scaled) else x
    axis = len(base.shape) - 1 if call.channels_last else 1
    names = ("gamma", "beta", "mean", "variance")
    gamma, beta, mean, var = (finite_reals(call.const(i + 1, n), n) for i, n in enumerate(names))
    if call.attr("training_mode", 0):
        raise Refuse("training_mode is set; export the model in evaluation mode")
    var = var + Reals.of(np.float32(call.attr("epsilon", 1e-5)).item())
    channels = base.shape[axis]
    if any(len(p) not in (1, channels) for p in (gamma, beta, mean, var)):
        raise Refuse(f"its parameters do not fit {channels} channels")
    bad = np.flatnonzero(var.signs() <= 0)
    if len(bad):
        worst = float(var.pick(bad[:1]).fractions()[0])
        raise Refuse(f"the variance holds {worst} with epsilon added; it must be positive")
    factor = gamma / var.sqrt()
    constant = beta - mean * factor
    if base.perm[-1] != axis:
        x = call.emitter.channel_last(call.value(), axis)
    scaled = Scaled.of(x)
    if scaled is not None:
        return scaled.affine(factor, constant)
    v = x.value if isinstance(x, Scaled) else x
    by, plus = factor.exact(), constant.exact()
    v = v.times(by.fractions()).plus(plus.fractions())
    return replace(v, inexact=v.inexact or by.truncated or plus.truncated)


@handles("Identity", "Dropout")
def identity(call: Call) -> Item:
    """The same tensor."""
    item = call.item(0)
    if item is None:
        raise Refuse("its input is missing")
    return item


@handles("Cast")
def cast(call: Call) -> Item:
    """Between float types nothing changes; to integers, values must be whole numbers in range."""
    target = int(call.attr("to"))
    item = call.item(0)
    floats = (1, 10, 11, 16)
    if isinstance(item, RealInput):
        if target in floats:
            return item
        raise Refuse("it casts the float model input to integers; quantize it instead")
    v = call.value()
    if target in floats:
        return replace(v, elem=FLOAT)
    if target not in INTEGER_RANGES:
        raise Refuse(f"a cast to element type {target} is not supported")
    lo, hi = call.emitter.bounds(v)
    ends = [min(np.minimum(np.maximum(lo, v.lo), v.hi).flat), max(np.minimum(np.maximum(hi, v.lo), v.hi).flat)]
    low, high = INTEGER_RANGES[target]
    if ends[0] < low or ends[1] > high:
        raise Refuse(f"values from {float(ends[0])} to {float(ends[1])} do not fit {low}..{high}")
    whole = all(
        x.denominator == 1 for a in (*(c for _, c in v.terms), v.offset, v.lo, v.hi) for x in a.flat if abs(x) != INF
    )
    if whole:
        return replace(v, elem=target)
    a, b = int(ends[0]), int(ends[1])  # a cast truncates toward zero
    name = call.emitter.quantize(v, scalar(Fraction(1)), scalar(Fraction(0)), "DOWN", IntType.containing(a, b), a, b)
    inf = float("inf")
    return v.with_map([(name, scalar(Fraction(1)))], scalar(Fraction(0)), scalar(-inf), scalar(inf), elem=target)
