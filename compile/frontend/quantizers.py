# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Quantizers: QONNX Quant / IntQuant, BipolarQuant, Trunc, MultiThreshold; ONNX QuantizeLinear, DequantizeLinear.

Semantics of the QONNX operators: qonnx 1.0.0, qonnx/custom_op/general/{intquant,bipolar_quant,trunc,multithreshold}.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.frontend.constants import whole
from bitwright.compile.frontend.emit import finite, round_fraction
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import (
    FLOAT,
    INTEGER_RANGES,
    Const,
    RealInput,
    Refuse,
    Scaled,
    Value,
    scalar,
)
from bitwright.compile.ir import IntType
from bitwright.compile.ir.types import FractionArray, row_blocks

#: Widest quantizer: wider integers than these are no activations any more.
MAX_QUANT_BITS = 32
#: Constants that are quantized at once: they and what is made of them fit a cache.
QUANTIZED_AT_ONCE = 1 << 15
ONE = scalar(Fraction(1))
NP_ROUND: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def positive(const: Const, what: str) -> FractionArray:
    """A scale: finite and > 0."""
    check_positive(const, what)
    return finite(const, what)


def check_positive(const: Const, what: str) -> None:
    """Refuse a scale that is not finite and > 0."""
    if const.data.dtype.kind in "fiu" and np.isfinite(const.data).all() and (const.data > 0).all():
        return
    bad = next((s for s in finite(const, what).flat if s <= 0), None)
    if bad is not None:
        raise Refuse(f"{what} is {float(bad)}, it must be positive")


def bit_width(call: Call, i: int) -> int:
    """The bit width input: a whole number, 1 to 32."""
    values = {v for v in finite(call.const(i, "the bit width"), "the bit width").flat}
    if len(values) != 1:
        raise Refuse(f"the bit width varies ({sorted(map(float, values))}); one for the tensor is supported")
    bits = values.pop()
    if bits.denominator != 1 or not 1 <= bits <= MAX_QUANT_BITS:
        raise Refuse(f"the bit width is {float(bits)}, it must be a whole number from 1 to {MAX_QUANT_BITS}")
    return int(bits)


def integer_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Lowest and highest integer of a QONNX quantizer."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _dequantized(v: Value, tensor: str, scale: FractionArray, zero: FractionArray) -> Value:
    ends = scalar(-float("inf")), scalar(float("inf"))
    return v.with_map([(tensor, scale)], -scale * zero, *ends, elem=FLOAT, inexact=False)


@handles("Quant", "IntQuant", domain="qonnx", scaled=True)
def quant(call: Call) -> Value | Const:
    """y = (round(clip(x / scale + zero)) - zero) * scale."""
    bits = bit_width(call, 3)
    signed, narrow = bool(call.attr("signed", 1)), bool(call.attr("narrow", 0))
    rounding = str(call.attr("rounding_mode", "ROUND")).upper()
    if rounding not in NP_ROUND:
        raise Refuse(f"rounding mode {rounding} is unknown; qonnx has {', '.join(NP_ROUND)}")
    scale_const, zero_const = call.const(1, "the scale"), call.const(2, "the zero point")
    check_positive(scale_const, "the scale")
    zero = finite(zero_const, "the zero point")
    item = call.item(0)
    if isinstance(item, Const):
        return _quant_const(call, item, scale_const, zero_const, bits, signed, narrow, rounding)
    scale = finite(scale_const, "the scale")
    if bits == 1 and signed:
        return _bipolar(call, call.value(), scale, zero)
    lo, hi = integer_range(bits, signed, narrow)
    itype = IntType(bits, signed)
    if isinstance(item, RealInput):
        if scale.size != 1 or zero.size != 1:
            raise Refuse("the model input has a scale per channel; the host quantizes per tensor")
        shift = int(whole(zero.reshape(()), "the zero point of a model input"))
        v = call.quantize_input(item, scale.flat[0], shift, itype, lo, hi, rounding, shift != 0)
        return _dequantized(v, v.terms[0][0], scalar(scale.flat[0]), scalar(zero.flat[0]))
    if isinstance(item, Scaled) and scale.size == zero.size == 1:
        s, z = scalar(scale.flat[0]), scalar(zero.flat[0])
        return _dequantized(item.base, call.emitter.quantize(item, s, z, rounding, itype, lo, hi), s, z)
    v, s = call.emitter.with_channel_constant(call.value(), scale_const, "the scale")
    v, z = call.emitter.with_channel_constant(v, zero_const, "the zero point")
    if s.ndim and v.perm[-1] != _axis_of(scale, len(v.shape)):
        raise Refuse("scale and zero point vary along different axes")
    tensor = call.emitter.quantize(v, s, z, rounding, itype, lo, hi)
    return _dequantized(v, tensor, s, z)


def _axis_of(x: FractionArray, rank: int) -> int:
    return int(np.argmax(x.shape)) + rank - x.ndim


def _quant_const(
    call: Call, x: Const, scale: Const, zero: Const, bits: int, signed: bool, narrow: bool, rounding: str
) -> Const:  # fmt: skip
    # As brevitas and qonnx compute it: in the float type of the file, clamp before round.
    if x.data.dtype.kind != "f" or not np.isfinite(x.data).all():
        raise Refuse(f"the constant that it quantizes must be finite floats, it is {x.data.dtype}")
    rank, kind = x.data.ndim, x.data.dtype.type
    if np.broadcast_shapes(x.shape, scale.shape, zero.shape) != x.shape:
        raise Refuse(f"its scale {list(scale.shape)} and zero point {list(zero.shape)} do not fit {list(x.shape)}")
    s_full, z_full = (f.data.reshape((1,) * (rank - f.data.ndim) + f.shape) for f in (scale, zero))
    s, z = s_full.astype(kind), z_full.astype(kind)

    def integers(x: NDArray[Any], s: NDArray[Any], z: NDArray[Any]) -> NDArray[Any]:
        y = np.asarray(x / s)
        if z.any():
            y += z
        if bits == 1 and signed:
            return np.asarray(np.where(y >= 0, 1, -1), y.dtype)
        return np.asarray(NP_ROUND[rounding](np.clip(y, *integer_range(bits, signed, narrow), out=y)))

    q, data, ties = np.empty(x.shape, np.int64), np.empty(x.shape, kind), 0
    every: Iterable[Any] = row_blocks(len(q), q.size // max(len(q), 1), QUANTIZED_AT_ONCE) if rank else [...]
    for part in every:
        sp, zp = (f[part] if f.ndim and f.shape[0] > 1 else f for f in (s, z))
        made = integers(x.data[part], sp, zp)
        ties += int(np.count_nonzero(made != integers(*(f.astype(np.float64) for f in (x.data[part], sp, zp)))))
        q[part], data[part] = made, (made - zp) * sp
    if ties:
        call.emitter.notes.append(
            f"{call.name}: {ties} of {q.size} constants lie within float32 rounding of a tie; "
            "they are quantized as float32 executors do"
        )
    return Const(data, x.elem, q, s_full, z_full)


@handles("BipolarQuant", domain="qonnx")
def bipolar_quant(call: Call) -> Value | Const:
    """y = +scale where x >= 0, else -scale."""
    scale_const = call.const(1, "the scale")
    scale = positive(scale_const, "the scale")
    item = call.item(0)
    if isinstance(item, Const):
        zero = Const(np.zeros((), np.float32), FLOAT)
        return _quant_const(call, item, scale_const, zero, 1, True, False, "ROUND")
    return _bipolar(call, call.value(), scale, scalar(Fraction(0)))


def _bipolar(call: Call, v: Value, scale: FractionArray, zero: FractionArray) -> Value:
    v, s = call.emitter.with_channel_constant(v, _float_const(scale), "the scale")
    if zero.size != 1:
        raise Refuse("a bipolar quantizer with a zero point per channel is not supported")
    z = scalar(zero.flat[0])
    # x / s + z >= 0  <=>  x >= -z * s
    level = np.atleast_1d(-z * s).reshape(-1, 1)
    tensor = call.emitter.count_thresholds(v, level, -1, 2, IntType(2, True))
    return _dequantized(v, tensor, s, z)


def _float_const(x: FractionArray) -> Const:
    data = np.asarray([float(v) for v in x.flat], np.float64).reshape(x.shape)
    return Const(data, FLOAT)


@handles("Trunc", domain="qonnx")
def trunc(call: Call) -> Value:
    """Drops low bits of integers: y = (round(q / 2**k) - zero') * scale' with q = x / scale + zero."""
    v = call.value()
    em = call.emitter
    rounding = str(call.attr("rounding_mode", "FLOOR")).upper()
    v, s = em.with_channel_constant(v, call.const(1, "the scale"), "the scale")
    positive(call.const(1, "the scale"), "the scale")
    v, z = em.with_channel_constant(v, call.const(2, "the zero point"), "the zero point")
    whole_numbers = [x for _, c in v.terms for x in np.ravel(c / s)] + list(np.ravel(v.offset / s + z))
    if any(Fraction(x).denominator != 1 for x in whole_numbers):
        raise Refuse("its input is not on the integer grid of its scale and zero point; quantize it first")
    if len(call.inputs) >= 6:  # version 2: the output scale is given
        out_scale = positive(call.const(4, "the output scale"), "the output scale")
        if out_scale.size != 1 or s.ndim:
            raise Refuse("a scale per channel is not supported in Trunc")
        shift = _log2(out_scale.flat[0] / s.flat[0])
        bits = bit_width(call, 5)
        lo, hi = integer_range(bits, bool(call.attr("signed", 1)), bool(call.attr("narrow", 0)))
        step, new_zero = scalar(out_scale.flat[0]), z / (1 << shift)
    else:
        shift = bit_width(call, 3) - bit_width(call, 4)
        ends = [np.ravel(e / s + z) for e in em.bounds(v)]
        rounded = [[round_fraction(Fraction(x) / (1 << max(shift, 0)), rounding) for x in end] for end in ends]
        lo, hi = min(rounded[0]), max(rounded[1])
        step, new_zero = s, z
    if shift < 0:
        raise Refuse(f"it would add {-shift} bits; Trunc must remove some")
    div = scalar(Fraction(1 << shift))
    itype = IntType.containing(lo, hi)
    tensor = em.quantize(v, s * div, z / div, rounding, itype, lo, hi)
    return _dequantized(v, tensor, step, new_zero)


def _log2(x: Fraction) -> int:
    shift = round(float(np.log2(float(x))))
    if shift < 0:
        raise Refuse(f"its output scale is {float(x)} times the input scale; it must not be smaller")
    return shift


@handles("MultiThreshold", domain="qonnx")
def multi_threshold(call: Call) -> Value:
    """y = out_scale * (number of thresholds <= x) + out_bias."""
    v = call.value()
    table = finite(call.const(1, "the thresholds"), "the thresholds")
    if table.ndim != 2:
        raise Refuse(f"the thresholds have shape {list(table.shape)}, (channels, steps) is expected")
    rank = len(v.shape)
    layout = call.attr("data_layout") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank)
    axis = layout.index("C") if layout and "C" in layout else 1
    if axis >= rank or len(table) not in (1, v.shape[axis]):
        raise Refuse(f"{len(table)} rows of thresholds do not fit axis {axis} of {list(v.shape)}")
    if len(table) > 1:
        v = call.emitter.channel_last(v, axis)
    table = np.sort(table, axis=1)
    steps = table.shape[1]
    tensor = call.emitter.count_thresholds(v, table, 0, 1, IntType.containing(0, steps))
    scale, bias = (scalar(Fraction(float(call.attr(n, d)))) for n, d in (("out_scale", 1.0), ("out_bias", 0.0)))
    inf = float("inf")
    return v.with_map([(tensor, scale)], bias, scalar(-inf), scalar(inf), elem=FLOAT)


# ONNX ---------------------------------------------------------------------------------------------------------------


def _axis_const(call: Call, const: Const, rank: int, axis_default: int = 1) -> Const:
    """A per-axis parameter of shape (C,), reshaped so that it broadcasts along the node's axis."""
    if const.data.size == 1:
        return Const(const.data.reshape(()), const.elem)
    if call.attr("block_size", 0):
        raise Refuse("blocked quantization is not supported")
    axis = int(call.attr("axis", axis_default))
    axis += rank if axis < 0 else 0
    shape = [1] * rank
    if const.data.ndim != 1 or not 0 <= axis < rank:
        raise Refuse(f"a parameter of shape {list(const.shape)} does not fit axis {axis} of a tensor of rank {rank}")
    shape[axis] = const.data.size
    return Const(const.data.reshape(shape), const.elem)


def _zero_point(call: Call, rank: int, default_elem: int) -> Const:
    if call.item(2) is None:
        return Const(np.zeros((), np.int64), default_elem)
    return _axis_const(call, call.const(2, "the zero point"), rank)


@handles("QuantizeLinear")
def quantize_linear(call: Call) -> Value:
    """q = saturate(round_half_even(x / scale) + zero)."""
    item = call.item(0)
    rank = len(item.shape) if isinstance(item, (Value, RealInput)) else 0
    scale_const = _axis_const(call, call.const(1, "the scale"), rank)
    positive(scale_const, "the scale")
    zero_const = _zero_point(call, rank, int(call.attr("output_dtype", 0)) or 2)
    elem = zero_const.elem
    if elem not in INTEGER_RANGES:
        raise Refuse("it quantizes to a float type; integers of 4, 8 or 16 bits are supported")
    lo, hi = INTEGER_RANGES[elem]
    itype = IntType.containing(lo, hi)
    zeros = {int(z) for z in zero_const.data.flat}
    if len(zeros) != 1:
        raise Refuse("zero points that differ between channels are not supported in activations")
    zero = zeros.pop()
    if isinstance(item, RealInput):
        if scale_const.data.size != 1:
            raise Refuse("the model input has a scale per channel; the host quantizes per tensor")
        scale = finite(scale_const, "the scale").flat[0]
        v = call.quantize_input(item, scale, zero, itype, lo, hi, "HALF_EVEN", False)
        return v.with_map(v.terms, v.offset, v.lo, v.hi, elem=elem)
    v, s = call.emitter.with_channel_constant(call.value(), scale_const, "the scale")
    tensor = call.emitter.quantize(v, s, scalar(Fraction(0)), "HALF_EVEN", itype, lo, hi, zero)
    inf = float("inf")
    return v.with_map([(tensor, ONE)], scalar(Fraction(0)), scalar(-inf), scalar(inf), elem=elem)


def dequantize(call: Call, item: Value | Const, scale_const: Const, zero_const: Const) -> Value | Const:
    """(q - zero) * scale."""
    if isinstance(item, Const):
        q = item.data.astype(np.int64)
        rank = q.ndim
        scale, zero = positive(scale_const, "the scale"), finite(zero_const, "the zero point")
        scale, zero = (x.reshape((1,) * (rank - x.ndim) + x.shape) for x in (scale, zero))
        data = ((q - zero_const.data.astype(np.int64)).astype(np.float32) * scale_const.data).astype(np.float32)
        return Const(data, FLOAT, q, scale, zero)
    positive(scale_const, "the scale")
    v, z = call.emitter.with_channel_constant(item, zero_const, "the zero point")
    v, s = call.emitter.with_channel_constant(v.plus(-z), scale_const, "the scale")
    v = v.times(s)
    return v.with_map(v.terms, v.offset, v.lo, v.hi, elem=FLOAT)


@handles("DequantizeLinear")
def dequantize_linear(call: Call) -> Value | Const:
    """y = (q - zero) * scale."""
    item = call.item(0)
    if not isinstance(item, Const):
        item = call.value()
    rank = len(item.shape)
    scale = _axis_const(call, call.const(1, "the scale"), rank)
    zero = _zero_point(call, rank, item.elem)
    if isinstance(item, Const) and item.data.dtype.kind not in "iu":
        item = Const(np.asarray(item.data, np.int64), item.elem)
    return dequantize(call, item, scale, zero)


dequantize_linear.folds_constants = True  # type: ignore[attr-defined]
