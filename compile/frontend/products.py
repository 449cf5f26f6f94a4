# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Products of two run-time tensors: squeeze-and-excitation, hard-swish.

A product of two affine functions is not affine, so each factor must be integers minus a whole zero point, times one
exact number: what a quantizer leaves. The product is one integer tensor again, its scale the product of the scales.
"""

from __future__ import annotations

from fractions import Fraction

from bitwright.compile.frontend.emit import ZERO, Emitter
from bitwright.compile.frontend.registry import Call
from bitwright.compile.frontend.values import Refuse, Value
from bitwright.compile.ir.ops import Multiply

#: Widest factor that is made here, where no quantizer did: the narrower operand of a DSP48 multiplier.
MAX_FACTOR_BITS = 18


def multiply_values(call: Call, a: Value, b: Value, names: tuple[str, str] = ("input 0", "input 1")) -> Value:
    """Product of two run-time tensors; one of them may be broadcast along every axis but one, or along a single axis.

    Args:
        names: what the factors are called in a refusal.
    """
    if len(a.shape) != len(b.shape):
        raise Refuse(f"shapes {list(a.shape)} and {list(b.shape)} differ in rank; reshape one of the run-time tensors")
    shape = tuple(max(pair) for pair in zip(a.shape, b.shape, strict=True))
    if shape not in (a.shape, b.shape) or any(
        1 not in (n, m) and n != m for n, m in zip(a.shape, b.shape, strict=True)
    ):
        raise Refuse(f"shapes {list(a.shape)} and {list(b.shape)} do not fit: one of them must broadcast to the other")
    a, b = (_factor(call.emitter, v, name) for v, name in zip((a, b), names, strict=True))
    whole, gate = (a, b) if a.shape == shape else (b, a)
    whole, gate = _aligned(call.emitter, whole, gate)
    (x, p), (y, q) = whole.terms[0], gate.terms[0]
    zeros = int(_zero_point(whole)), int(_zero_point(gate))
    tensor = call.emitter.emit(Multiply, x, y, zero_points=zeros)
    return whole.with_map([(tensor.name, p * q)], ZERO, whole.lo, whole.hi, inexact=a.inexact or b.inexact)


def _factor(em: Emitter, v: Value, name: str) -> Value:
    """The value as one tensor, coef * (q - zero) with one coefficient and a whole zero point."""
    v = em.settle(v)
    coef, offset = v.terms[0][1], v.offset
    if len(v.terms) == 1 and not v.clamped and not coef.ndim and not offset.ndim and coef[()] != 0:
        zero = _zero_point(v)
        if zero.denominator == 1:
            return v
        why = f"its zero point is {float(zero):.6g}, not a whole number"
    else:
        why = "it is a sum, a clamp or has a scale per channel"
    try:
        v = em.uniform(v)
        if em.tensor(v.terms[0][0]).itype.bits <= MAX_FACTOR_BITS:
            return v
    except Refuse:
        pass
    raise Refuse(
        f"a factor of a product must be integers with one scale, and {name} is not: {why}; put a quantizer before it"
    )


def _zero_point(v: Value) -> Fraction:
    """Of a value with one term and one coefficient."""
    zero: Fraction = -v.offset.item() / v.terms[0][1].item()
    return zero


def _aligned(em: Emitter, whole: Value, gate: Value) -> tuple[Value, Value]:
    """Both with one order of axes, the one that a gate varies along last."""
    wide = [k for k, (n, m) in enumerate(zip(whole.shape, gate.shape, strict=True)) if n != m]
    if wide:
        kept = [k for k in range(1, len(gate.shape)) if gate.shape[k] != 1]
        if not kept:  # one factor for the whole sample
            kept = [whole.perm[-1]]
            gate = em.widen(gate, kept[0], whole.shape[kept[0]])
        if len(kept) == 1:
            whole = em.channel_last(whole, kept[0])
        elif len(wide) == 1:
            gate = em.widen(gate, wide[0], whole.shape[wide[0]])
        else:
            raise Refuse(
                f"{list(gate.shape)} is broadcast along {len(wide)} axes of {list(whole.shape)} and varies along "
                f"{len(kept)}; it may vary along one, or be broadcast along one"
            )
    return whole, em.arrange(gate, whole.perm)
