# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Convolutions and matrix products."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from bitwright.compile.frontend.constants import integer_weights
from bitwright.compile.frontend.emit import ZERO, finite, finite_reals
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import Const, Refuse, Scaled, Value, scalar
from bitwright.compile.ir.ops import Add, Conv2d, ConvTranspose2d, DeformConv2d, Dense
from bitwright.compile.ir.ops import Reshape as ReshapeOp
from bitwright.compile.ir.reals import Reals
from bitwright.compile.ir.types import FractionArray, fractions

INF = float("inf")


def operand(call: Call, v: Value, padded: bool, depthwise: bool = False) -> tuple[Value, int, FractionArray]:
    """The activation of a linear operator as (single-term value, zero point z, rest): real = coef * (q - z) + rest.

    ``rest`` is what cannot be a whole zero point; it is 0 wherever padding (which is a real 0) must meet it.
    """
    v = call.emitter.plain(v)
    coef, offset = v.terms[0][1], v.offset
    if (coef.ndim and not depthwise) or any(c == 0 for c in coef.flat):
        v = call.emitter.uniform(v)
        coef, offset = v.terms[0][1], v.offset
    zeros = {x for x in np.asarray(-offset / coef, object).flat}
    zero = next(iter(zeros))
    if len(zeros) == 1 and zero.denominator == 1:
        return v, int(zero), ZERO
    if not padded and (depthwise or not offset.ndim):
        return v, 0, offset
    return call.emitter.uniform(v), 0, ZERO


def pads_of(call: Call, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Explicit (top, left, bottom, right) from pads or auto_pad; spatial and kernel are (H, W)."""
    mode = call.attr("auto_pad", "NOTSET")
    strides = _pair(call, "strides", 1, len(kernel))
    dilations = _pair(call, "dilations", 1, len(kernel))
    if mode in ("NOTSET", ""):
        pads = [int(p) for p in call.attr("pads", [0] * 2 * len(kernel))]
        if min(pads) < 0:
            raise Refuse(f"pads {pads} are negative; slice the input instead")
        if len(pads) == 2:
            return 0, pads[0], 0, pads[1]
        return pads[0], pads[1], pads[2], pads[3]
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise Refuse(f"auto_pad {mode} is unknown")
    before, after = [], []
    for n, k, s, d in zip(spatial, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return (0, *before, 0, *after) if len(kernel) == 1 else (*before, *after)  # type: ignore[return-value]


def _pair(call: Call, name: str, default: int, rank: int) -> tuple[int, ...]:
    return tuple(int(x) for x in call.attr(name, [default] * rank))


def two(call: Call, name: str, default: int, rank: int) -> tuple[int, int]:
    """A spatial attribute as (vertical, horizontal); one-dimensional operators have one row."""
    values = _pair(call, name, default, rank)
    return (default, values[0]) if rank == 1 else (values[0], values[1])


def image_axes(call: Call, rank: int) -> tuple[int, ...]:
    """perm that makes a feature map (H, W, C) or (L, C), whatever the ONNX layout of the node."""
    if rank not in (3, 4):
        raise Refuse(f"its input has rank {rank}; feature maps of rank 3 (N, C, L) and 4 (N, C, H, W) are supported")
    if call.channels_last:
        return tuple(range(1, rank))
    return (*range(2, rank), 1)


def as_rows(call: Call, v: Value) -> str:
    """Name of the (H, W, C) tensor of a value arranged as image; (L, C) becomes (1, L, C)."""
    name = v.terms[0][0]
    shape = call.emitter.tensor(name).shape
    return name if len(shape) == 3 else call.emitter.emit(ReshapeOp, name, shape=(1, *shape)).name


def from_rows(call: Call, name: str, rank: int) -> tuple[str, tuple[int, ...]]:
    """Undo `as_rows` on a result; returns the tensor and the ONNX shape."""
    tensor = call.emitter.tensor(name)
    if rank == 3:
        tensor = call.emitter.emit(ReshapeOp, name, shape=tensor.shape[1:])
    *spatial, channels = tensor.shape
    shape = (call.batch, *spatial, channels) if call.channels_last else (call.batch, channels, *spatial)
    return tensor.name, shape


@handles("Conv")
@handles("Conv", domain="channels_last")
def conv(call: Call) -> Scaled:
    """Convolution with constant weights (O, C / group, kH, kW)."""
    weight = call.const(1, "the weight")
    if call.channels_last:  # qonnx keeps these weights (O, kH, kW, C / group)
        rank = weight.data.ndim
        weight = weight.transposed((0, rank - 1, *range(1, rank - 1)))
    return convolve(call, call.value(), weight, call.optional_const(2, "the bias"))


def convolve(call: Call, x: Value, weight: Const, bias: Const | None) -> Scaled:
    """Conv of a run-time value with a constant weight."""
    rank = len(x.shape)
    perm = image_axes(call, rank)
    if weight.data.ndim != rank:
        raise Refuse(f"the weight of shape {list(weight.shape)} does not fit an input of rank {rank}")
    w, scale = integer_weights(weight, 0)
    groups = int(call.attr("group", 1))
    channels = x.shape[perm[-1]]
    outputs, per_group = w.shape[0], w.shape[1]
    if channels != per_group * groups or outputs % groups:
        raise Refuse(f"{channels} input channels, group {groups} and weight {list(w.shape)} do not fit together")
    kernel = w.shape[2:]
    spatial = tuple(x.shape[p] for p in perm[:-1])
    pads = pads_of(call, spatial, kernel)
    depthwise = per_group == 1
    v, zero, rest = operand(call, call.emitter.arrange(x, perm), any(pads), depthwise)
    if w.ndim == 3:
        w = w[:, :, None, :]
    tensor = call.emitter.emit(
        Conv2d, as_rows(call, v), weight=np.ascontiguousarray(w.transpose(2, 3, 1, 0)), zero_point=zero,
        strides=two(call, "strides", 1, len(kernel)), pads=pads, dilations=two(call, "dilations", 1, len(kernel)),
        groups=groups,
    )  # fmt: skip
    of_output = np.arange(outputs) // (outputs // groups)
    coef = v.terms[0][1]
    coef = coef[of_output] if coef.ndim else coef
    offset = np.asarray(ZERO, object)
    if any(r != 0 for r in rest.flat):
        sums = fractions(w.reshape(outputs, -1).sum(axis=1))
        offset = (rest[of_output] if rest.ndim else rest) * sums
    name, shape = from_rows(call, tensor.name, rank)
    constant = None if bias is None else finite_reals(bias, "the bias")
    if bias is not None and constant is not None and len(constant) not in (1, outputs):
        raise Refuse(f"the bias of shape {list(bias.shape)} does not fit {outputs} output channels")
    return Scaled(linear_value(v, name, shape, perm, coef, offset), Reals.of(scale), constant)


def linear_value(
    v: Value, tensor: str, shape: tuple[int, ...], perm: tuple[int, ...], coef: Any, offset: Any
) -> Value:  # fmt: skip
    """The accumulator of a linear operator as a value."""
    fresh = replace(v, shape=shape, perm=perm)
    return fresh.with_map([(tensor, np.asarray(coef, object))], np.asarray(offset, object), scalar(-INF), scalar(INF))


def with_bias(call: Call, v: Value, bias: Const | None, axis: int) -> Value:
    """Add a bias per output channel (ONNX axis ``axis``)."""
    if bias is None:
        return v
    b = finite(bias, "the bias").reshape(-1)
    if b.size not in (1, v.shape[axis]):
        raise Refuse(f"the bias of shape {list(bias.shape)} does not fit {v.shape[axis]} output channels")
    return v.plus(b)


@handles("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    """Transposed convolution with constant weights (C, O / group, kH, kW)."""
    x = call.value()
    rank = len(x.shape)
    perm = image_axes(call, rank)
    weight, bias = call.const(1, "the weight"), call.optional_const(2, "the bias")
    groups = int(call.attr("group", 1))
    w, scale = integer_weights(weight, 1)
    scale = fractions(scale)
    if scale.ndim and groups > 1:
        raise Refuse("a weight scale per channel of a grouped transposed convolution is not supported")
    if w.ndim != rank:
        raise Refuse(f"the weight of shape {list(weight.shape)} does not fit an input of rank {rank}")
    w = w[:, :, None, :] if rank == 3 else w
    strides, dilations = two(call, "strides", 1, rank - 2), two(call, "dilations", 1, rank - 2)
    extra = two(call, "output_padding", 0, rank - 2)
    spatial = (1, x.shape[2]) if rank == 3 else (x.shape[2], x.shape[3])
    pads, extra = _transposed_pads(call, spatial, (w.shape[2], w.shape[3]), strides, dilations, extra)
    v, zero, _ = operand(call, call.emitter.arrange(x, perm), True)
    tensor = call.emitter.emit(
        ConvTranspose2d, as_rows(call, v), weight=np.ascontiguousarray(w.transpose(2, 3, 0, 1)), zero_point=zero,
        strides=strides, pads=pads, dilations=dilations, groups=groups, output_padding=extra,
    )  # fmt: skip
    name, shape = from_rows(call, tensor.name, rank)
    value = linear_value(v, name, shape, perm, v.terms[0][1] * scale, ZERO)
    return with_bias(call, value, bias, 1)


def _transposed_pads(
    call: Call, spatial: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int],
    dilations: tuple[int, int], extra: tuple[int, int],
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:  # fmt: skip
    """(top, left, bottom, right) to cut off, and the output padding."""
    wanted = call.attr("output_shape")
    mode = call.attr("auto_pad", "NOTSET")
    if wanted is None and mode in ("NOTSET", ""):
        pads = [int(p) for p in call.attr("pads", [0] * 4)]
        return ((0, pads[0], 0, pads[1]) if len(pads) == 2 and spatial[0] == 1 else tuple(pads)), extra  # type: ignore[return-value]
    if mode == "VALID" and wanted is None:
        return (0, 0, 0, 0), extra
    before, after, grown = [], [], []
    for i in range(2):
        full = strides[i] * (spatial[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        target = spatial[i] * strides[i]
        if wanted is not None:
            sizes = [1, *wanted][-2:] if spatial[0] == 1 and len(wanted) == 1 else wanted[-2:]
            target = int(sizes[i])
        total = max(full - target, 0)
        grown.append(extra[i] + max(target - full, 0))
        before.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        after.append(total - before[-1])
    return (before[0], before[1], after[0], after[1]), (grown[0], grown[1])


@handles("DeformConv")
def deform_conv(call: Call) -> Value:
    """Deformable convolution (ONNX opset 19) with whole-number offsets; nothing is interpolated then."""
    x, offsets = call.value(0), call.value(2)
    if len(x.shape) != 4:
        raise Refuse(f"its input has rank {len(x.shape)}; (N, C, H, W) is supported")
    mask = call.item(4)
    if mask is not None and not (isinstance(mask, Const) and np.all(mask.data == 1)):
        raise Refuse("a modulation mask (DCNv2) has no integer operator here; train without it")
    perm = (2, 3, 1)
    em = call.emitter
    offsets = em.arrange(em.uniform(offsets) if not is_integer(offsets) else em.uniform(em.settle(offsets)), perm)
    unit = offsets.terms[0][1].flat[0]
    if unit.denominator != 1:
        raise Refuse(
            f"its offsets are multiples of {float(unit)}: bilinear sampling is not supported in integers; quantize the "
            "offsets with scale 1 (rounded offsets)"
        )
    if unit != 1:
        offsets = _scaled_up(call, offsets, int(unit))
    w, scale = integer_weights(call.const(1, "the weight"), 0)
    scale = fractions(scale)
    groups, offset_groups = int(call.attr("group", 1)), int(call.attr("offset_group", 1))
    pads = tuple(int(p) for p in call.attr("pads", [0, 0, 0, 0]))
    depthwise = w.shape[1] == 1
    v, zero, _ = operand(call, em.arrange(x, perm), True, depthwise)
    tensor = em.emit(
        DeformConv2d, v.terms[0][0], offsets.terms[0][0], weight=np.ascontiguousarray(w.transpose(2, 3, 1, 0)),
        zero_point=zero, strides=two(call, "strides", 1, 2), pads=pads, dilations=two(call, "dilations", 1, 2),
        groups=groups, offset_groups=offset_groups,
    )  # fmt: skip
    coef = v.terms[0][1]
    if coef.ndim:
        coef = coef[np.arange(w.shape[0]) // (w.shape[0] // groups)]
    h, wd, c = tensor.shape
    value = linear_value(v, tensor.name, (call.batch, c, h, wd), perm, coef * scale, ZERO)
    return with_bias(call, value, call.optional_const(3, "the bias"), 1)


def _scaled_up(call: Call, v: Value, factor: int) -> Value:
    name = call.emitter.emit(Add, v.terms[0][0], multipliers=np.asarray([[factor]], np.int64)).name
    return replace(v, terms=((name, scalar(Fraction(1))),))


def is_integer(v: Value) -> bool:
    """Every value is a whole number."""
    return all(x.denominator == 1 for a in (*(c for _, c in v.terms), v.offset) for x in a.flat)


# Matrix products ----------------------------------------------------------------------------------------------------


@handles("Gemm")
def gemm(call: Call) -> Value:
    """alpha * x @ W + beta * C with a constant W."""
    x = call.value(0)
    if call.attr("transA", 0):
        raise Refuse("transA swaps the batch axis with the features; transpose before export")
    weight = call.const(1, "the weight")
    alpha, beta = (scalar(Fraction(float(call.attr(n, 1.0)))) for n in ("alpha", "beta"))
    v = dense(call, x, weight, transposed=bool(call.attr("transB", 0))).times(alpha)
    bias = call.optional_const(2, "the bias")
    if bias is None:
        return v
    v, b = call.emitter.with_channel_constant(v, bias, "the bias")
    return v.plus(b * beta)


@handles("MatMul")
def matmul(call: Call) -> Value:
    """x @ W with a constant W of rank 2."""
    if isinstance(call.item(0), Const):
        raise Refuse("its left operand is a constant and its right one computed at run time; transpose the product")
    x = call.value(0)
    return dense(call, x, call.const(1, "the right operand"), transposed=False)


def dense(call: Call, x: Value, weight: Const, transposed: bool) -> Value:
    """Product over the last ONNX axis."""
    if weight.data.ndim != 2 or len(x.shape) < 2:
        raise Refuse(f"shapes {list(x.shape)} and {list(weight.shape)} are not a matrix product that is supported")
    w, scale = integer_weights(weight, 0 if transposed else 1)
    scale = fractions(scale)
    w = w.T if transposed else w
    if x.shape[-1] != w.shape[0]:
        raise Refuse(f"{x.shape[-1]} features do not fit a weight of {w.shape[0]} rows")
    rank = len(x.shape)
    v = x if x.perm[-1] == rank - 1 else call.emitter.channel_last(x, rank - 1)
    v, zero, rest = operand(call, v, padded=False)
    tensor = call.emitter.emit(Dense, v.terms[0][0], weight=np.ascontiguousarray(w), zero_point=zero)
    offset = rest.flat[0] * fractions(w.sum(axis=0)) * scale if any(r != 0 for r in rest.flat) else ZERO
    shape = (*x.shape[:-1], w.shape[1])
    return linear_value(v, tensor.name, shape, v.perm, v.terms[0][1] * scale, offset)


def quantized_weight(call: Call, i: int, zero: Const | None, scale: FractionArray, out_axis: int) -> Const:
    """An integer weight input with its zero point and scale (QLinear operators, ConvInteger, MatMulInteger)."""
    weight = call.const(i, "the weight")
    if weight.data.dtype.kind not in "iu":
        raise Refuse(f"the weight has type {weight.data.dtype}, integers are expected")
    rank = weight.data.ndim

    def along(x: FractionArray) -> FractionArray:
        if x.size == 1:
            return x.reshape((1,) * rank)
        return x.reshape([-1 if k == out_axis % rank else 1 for k in range(rank)])

    z = fractions(zero.data) if zero is not None else scalar(Fraction(0))
    return Const(weight.data, weight.elem, weight.data.astype(np.int64), along(scale), along(z))
