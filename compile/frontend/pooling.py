# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pooling, resizing and ArgMax."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from bitwright.compile.frontend.linear import as_rows, from_rows, image_axes, linear_value, operand, pads_of, two
from bitwright.compile.frontend.movement import ints
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.resize import linear_taps, nearest_indices, output_lengths
from bitwright.compile.frontend.values import INF, INT64, Refuse, Value, scalar
from bitwright.compile.ir.ops import ArgMax, MaxPool2d, ResizeLinear, ResizeNearest, SumPool2d

ONE = Fraction(1)


def _window(call: Call, x: Value) -> tuple[dict[str, Any], bool]:
    """Constructor fields of a pooling node; whether windows reach beyond input and padding (ceil_mode)."""
    kernel = tuple(int(k) for k in call.attr("kernel_shape"))
    rank = len(x.shape)
    perm = image_axes(call, rank)
    if len(kernel) != rank - 2:
        raise Refuse(f"kernel_shape {list(kernel)} does not fit an input of rank {rank}")
    spatial = tuple(x.shape[p] for p in perm[:-1])
    top, left, bottom, right = pads_of(call, spatial, kernel)
    strides, dilations = two(call, "strides", 1, len(kernel)), two(call, "dilations", 1, len(kernel))
    window = (1, kernel[0]) if len(kernel) == 1 else (kernel[0], kernel[1])
    size = (1, spatial[0]) if len(kernel) == 1 else (spatial[0], spatial[1])
    grown = False
    if call.attr("ceil_mode", 0) and call.attr("auto_pad", "NOTSET") in ("NOTSET", ""):
        ends = []
        for n, k, s, d, a, b in zip(size, window, strides, dilations, (top, left), (bottom, right), strict=True):
            extent = d * (k - 1) + 1
            out = math.ceil((n + a + b - extent) / s) + 1
            if (out - 1) * s >= n + a:  # a window must not start in the padding behind the input
                out -= 1
            ends.append((out - 1) * s + extent - n - a)
        grown = ends[0] > bottom or ends[1] > right
        bottom, right = max(bottom, ends[0]), max(right, ends[1])
    fields = {"kernel": window, "strides": strides, "pads": (top, left, bottom, right), "dilations": dilations}
    return fields, grown


@handles("MaxPool")
@handles("MaxPool", domain="channels_last")
def max_pool(call: Call) -> Value:
    """Maximum of each window; the maximum of the integers, as the map to reals rises."""
    if len([o for o in call.outputs if o]) > 1:
        raise Refuse("its second output, the indices, is not supported")
    x = call.value()
    fields, _ = _window(call, x)
    return _max(call, x, fields)


def _max(call: Call, x: Value, fields: dict[str, Any]) -> Value:
    perm = image_axes(call, len(x.shape))
    v = call.emitter.arrange(call.emitter.rising(x), perm)
    tensor = call.emitter.emit(MaxPool2d, as_rows(call, v), **fields)
    name, shape = from_rows(call, tensor.name, len(x.shape))
    return replace(v, shape=shape, terms=((name, v.terms[0][1]),))


@handles("GlobalMaxPool")
def global_max_pool(call: Call) -> Value:
    """Maximum of each channel."""
    x = call.value()
    return _max(call, x, {"kernel": _whole(call, x)})


def _whole(call: Call, x: Value) -> tuple[int, int]:
    spatial = [x.shape[p] for p in image_axes(call, len(x.shape))[:-1]]
    return (1, spatial[0]) if len(spatial) == 1 else (spatial[0], spatial[1])


@handles("AveragePool")
def average_pool(call: Call) -> Value:
    """Mean of each window: an integer sum whose scale carries the division."""
    x = call.value()
    fields, grown = _window(call, x)
    padded = any(fields["pads"])
    if grown or (padded and not call.attr("count_include_pad", 0)):
        raise Refuse(
            "its windows hold different numbers of values (padding that does not count, or ceil_mode); "
            "use count_include_pad=1 without ceil_mode, or no padding"
        )
    return _mean(call, x, fields, padded)


@handles("GlobalAveragePool")
def global_average_pool(call: Call) -> Value:
    """Mean of each channel."""
    x = call.value()
    return _mean(call, x, {"kernel": _whole(call, x)}, False)


def _mean(call: Call, x: Value, fields: dict[str, Any], padded: bool) -> Value:
    rank = len(x.shape)
    perm = image_axes(call, rank)
    v, zero, rest = operand(call, call.emitter.arrange(x, perm), padded, depthwise=True)
    tensor = call.emitter.emit(SumPool2d, as_rows(call, v), zero_point=zero, **fields)
    name, shape = from_rows(call, tensor.name, rank)
    area = fields["kernel"][0] * fields["kernel"][1]
    return linear_value(v, name, shape, perm, v.terms[0][1] / area, rest)


@handles("ReduceMean")
def reduce_mean(call: Call) -> Value:
    """Mean over all spatial axes, the way exporters write global pooling."""
    x = call.value()
    rank = len(x.shape)
    axes = ints(call, 1, "axes", "the axes")
    chosen = sorted(a % rank for a in axes) if axes is not None else []
    if rank not in (3, 4) or chosen != list(range(2, rank)):
        raise Refuse(f"it reduces axes {chosen} of {list(x.shape)}; all spatial axes of (N, C, H, W) are supported")
    pooled = _mean(call, x, {"kernel": _whole(call, x)}, False)
    if call.attr("keepdims", 1):
        return pooled
    return call.emitter.reshape(pooled, pooled.shape[:2])


@handles("Resize")
def resize(call: Call) -> Value:
    """Nearest neighbour, or linear with integer weights whose common denominator goes into the scale."""
    x = call.value()
    if len(x.shape) != 4:
        raise Refuse(f"its input has rank {len(x.shape)}; (N, C, H, W) is supported")
    lengths, scales = output_lengths(call, x.shape)
    if lengths[:2] != list(x.shape[:2]):
        raise Refuse(f"it resizes batch or channels: {list(x.shape)} -> {lengths}")
    em, perm = call.emitter, (2, 3, 1)
    mode = call.attr("mode", "nearest")
    shape = (x.shape[0], x.shape[1], lengths[2], lengths[3])
    if mode == "nearest":
        v = em.arrange(x, perm)
        rows, columns = (nearest_indices(call, x.shape[k], lengths[k], scales[k]) for k in (2, 3))
        terms = tuple((em.emit(ResizeNearest, n, rows=rows, columns=columns).name, c) for n, c in v.terms)
        return replace(v, shape=shape, terms=terms)
    if mode != "linear":
        raise Refuse(f"mode {mode} is not supported; use nearest or linear")
    (row_taps, row_unit), (column_taps, column_unit) = (
        linear_taps(call, x.shape[k], lengths[k], scales[k]) for k in (2, 3)
    )
    v = em.arrange(em.plain(x), perm)
    tensor = em.emit(ResizeLinear, v.terms[0][0], row_taps=row_taps, column_taps=column_taps)
    # The weights of every output sum to 1, so an offset passes through unchanged.
    return linear_value(v, tensor.name, shape, perm, v.terms[0][1] * (row_unit * column_unit), v.offset)


@handles("ArgMax")
def arg_max(call: Call) -> Value:
    """Index of the largest value along one axis."""
    item = call.item(0)
    if isinstance(item, Value) and item.host_ops and item.host_ops[-1].op in ("Softmax", "LogSoftmax"):
        axis = int(call.attr("axis", 0)) % len(item.shape)
        if dict(item.host_ops[-1].attributes).get("axis") == axis:  # softmax keeps the order along its axis
            return _arg_max(call, replace(item, host_ops=item.host_ops[:-1]))
    return _arg_max(call, call.value())


def _arg_max(call: Call, x: Value) -> Value:
    axis = int(call.attr("axis", 0)) % len(x.shape)
    if axis == 0:
        raise Refuse("it reduces the batch axis")
    em = call.emitter
    v = em.settle(x)
    if len(v.terms) > 1 or v.clamped or v.terms[0][1].ndim or v.offset.ndim or v.terms[0][1].flat[0] <= 0:
        v = em.uniform(v)  # clamps make ties, and scales of its own per channel change the order
    k = v.perm.index(axis)
    tensor = em.emit(ArgMax, v.terms[0][0], axis=k, keepdims=True, last=bool(call.attr("select_last_index", 0)))
    shape = tuple(1 if a == axis else n for a, n in enumerate(x.shape))
    result = replace(v, shape=shape, elem=INT64).with_map(
        [(tensor.name, scalar(ONE))], scalar(Fraction(0)), scalar(-INF), scalar(INF)
    )
    if call.attr("keepdims", 1):
        return result
    return em.reshape(result, tuple(n for a, n in enumerate(shape) if a != axis))
