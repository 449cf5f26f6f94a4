# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators that move values: reshape, transpose, slice, split, concat, pad, resize."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from bitwright.compile.frontend.emit import finite
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import INT64, Const, Item, RealInput, Refuse, Value
from bitwright.compile.ir.ops import Concat, Pad, PermuteChannels, Slice


def moved(call: Call, shape: tuple[int, ...], move: Callable[[Value], Value]) -> Item:
    """Apply a movement now, or once the float model input has been quantized."""
    item = call.item(0)
    if isinstance(item, RealInput):
        return replace(item, shape=shape, moves=(*item.moves, move))
    return move(call.value())


def shape_of(call: Call, i: int = 0) -> tuple[int, ...]:
    """ONNX shape of an input."""
    item = call.item(i)
    if isinstance(item, (Value, RealInput, Const)):
        return item.shape
    raise Refuse(f"input {i} is missing")


def ints(call: Call, i: int, attribute: str, what: str) -> list[int] | None:
    """Integers that newer opsets give as an input and older ones as an attribute."""
    if call.item(i) is not None:
        return [int(x) for x in call.const(i, what).data.reshape(-1)]
    values = call.attr(attribute)
    return None if values is None else [int(x) for x in values]


@handles("Shape")
def shape(call: Call) -> Const:
    """The static shape."""
    dims = shape_of(call)
    start, end = call.attr("start", 0), call.attr("end", len(dims))
    return Const(np.asarray(dims[start:end], np.int64), INT64)


@handles("Reshape")
def reshape(call: Call) -> Item:
    """Any reshape that leaves the batch alone."""
    old = shape_of(call)
    wanted = ints(call, 1, "shape", "the shape") or []
    new = [old[k] if n == 0 and not call.attr("allowzero", 0) else n for k, n in enumerate(wanted)]
    if new.count(-1) > 1:
        raise Refuse(f"the shape {wanted} has more than one -1")
    if -1 in new:
        rest = math.prod(n for n in new if n != -1)
        new[new.index(-1)] = math.prod(old) // rest if rest else 0
    if math.prod(new) != math.prod(old):
        raise Refuse(f"{list(old)} cannot be reshaped to {wanted}")
    return moved(call, tuple(new), lambda v: call.emitter.reshape(v, tuple(new)))


@handles("Flatten")
def flatten(call: Call) -> Item:
    """To two axes."""
    old = shape_of(call)
    axis = int(call.attr("axis", 1))
    axis += len(old) if axis < 0 else 0
    new = (math.prod(old[:axis]), math.prod(old[axis:]))
    return moved(call, new, lambda v: call.emitter.reshape(v, new))


@handles("Squeeze", "Unsqueeze")
def squeeze(call: Call) -> Item:
    """Remove or insert axes of length 1."""
    old = shape_of(call)
    axes = ints(call, 1, "axes", "the axes")
    if call.op == "Squeeze":
        chosen = {a % len(old) for a in axes} if axes is not None else {k for k, n in enumerate(old) if n == 1 and k}
        new = tuple(n for k, n in enumerate(old) if k not in chosen)
    else:
        rank = len(old) + len(axes or [])
        chosen = {a % rank for a in axes or []}
        rest = iter(old)
        new = tuple(1 if k in chosen else next(rest) for k in range(rank))
    if 0 in chosen:
        raise Refuse("it moves the batch axis")
    return moved(call, new, lambda v: call.emitter.reshape(v, new))


@handles("Transpose")
def transpose(call: Call) -> Item:
    """Bookkeeping: the integers stay where they are until an operator wants another order."""
    old = shape_of(call)
    order = [int(p) for p in call.attr("perm", list(reversed(range(len(old)))))]
    if order[0] != 0:
        raise Refuse(f"perm {order} moves the batch axis")

    def move(v: Value) -> Value:
        return replace(v, shape=tuple(v.shape[p] for p in order), perm=tuple(order.index(p) for p in v.perm))

    return moved(call, tuple(old[p] for p in order), move)


# Selecting ----------------------------------------------------------------------------------------------------------


def cut(call: Call, v: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """v[start:stop:step] along one ONNX axis (already normalized, not the batch)."""
    if axis == 0:
        raise Refuse("it cuts the batch axis")
    length = len(range(start, stop, step))
    if length == 0:
        raise Refuse(f"the slice {start}:{stop}:{step} of axis {axis} is empty")
    if (start, step, length) == (0, 1, v.shape[axis]):
        return v
    k = v.perm.index(axis)
    stop = start + step * length
    terms = tuple((call.emitter.emit(Slice, n, axis=k, start=start, stop=stop, step=step).name, c) for n, c in v.terms)
    new_shape = tuple(length if a == axis else n for a, n in enumerate(v.shape))
    v = replace(v, shape=new_shape, terms=terms)
    if k != len(v.perm) - 1:
        return v
    return v.take(np.arange(start, stop, step))


@handles("Slice")
def slice_(call: Call) -> Value:
    """Slices with constant bounds."""
    v = call.value()
    starts, ends = ints(call, 1, "starts", "the starts") or [], ints(call, 2, "ends", "the ends") or []
    axes = ints(call, 3, "axes", "the axes") or list(range(len(starts)))
    steps = ints(call, 4, "steps", "the steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis % len(v.shape)
        if step == 0:
            raise Refuse("a step is 0")
        first, last, stride = slice(start, end if end > -(2**62) else None, step).indices(v.shape[axis])
        if axis == 0 and (first, last, stride) == (0, v.shape[0], 1):
            continue
        v = cut(call, v, axis, first, last, stride)
    return v


@handles("Split")
def split(call: Call) -> tuple[Item, ...]:
    """Consecutive pieces along one axis."""
    v = call.value()
    axis = int(call.attr("axis", 0)) % len(v.shape)
    sizes = ints(call, 1, "split", "the sizes")
    count = len(call.outputs)
    if sizes is None:
        chunk = -(-v.shape[axis] // count)
        sizes = [min(chunk, v.shape[axis] - i * chunk) for i in range(count)]
    if sum(sizes) != v.shape[axis] or len(sizes) != count or min(sizes) < 1:
        raise Refuse(f"sizes {sizes} do not add up to {v.shape[axis]}")
    edges = np.cumsum([0, *sizes])
    return tuple(cut(call, v, axis, int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True))


@handles("Gather")
def gather(call: Call) -> Value:
    """Constant indices along one axis (a fixed selection of channels)."""
    v = call.value()
    axis = int(call.attr("axis", 0)) % len(v.shape)
    indices = call.const(1, "the indices").data
    if axis == 0 or indices.ndim != 1:
        raise Refuse("one axis other than the batch and a list of indices are supported")
    order = tuple(int(i) % v.shape[axis] for i in indices)
    v = call.emitter.channel_last(v, axis)
    terms = tuple((call.emitter.emit(PermuteChannels, n, order=order).name, c) for n, c in v.terms)
    v = replace(v, shape=tuple(len(order) if k == axis else n for k, n in enumerate(v.shape)), terms=terms)
    return v.take(list(order))


@handles("Concat")
def concat(call: Call) -> Value:
    """Joins tensors; along the channels each keeps its own scale."""
    if any(isinstance(i, Const) for i in call.inputs):
        raise Refuse("it joins a constant to a run-time tensor; pad or add instead")
    em = call.emitter
    values = [call.value(i) for i in range(len(call.inputs))]
    axis = int(call.attr("axis")) % len(values[0].shape)
    if axis == 0:
        raise Refuse("it joins along the batch axis")
    values = [v if len(v.terms) == 1 else em.uniform(v) for v in values]
    if len({v.elem for v in values}) > 1:
        raise Refuse("its inputs have different element types")
    maps = [(v.terms[0][1], v.offset, v.lo, v.hi) for v in values]
    same = all(not any(a.ndim for a in m) and m == maps[0] for m in maps)
    perm = values[0].perm if same or values[0].perm[-1] == axis else (*(p for p in values[0].perm if p != axis), axis)
    values = [em.arrange(v, perm) for v in values]
    maps = [(v.terms[0][1], v.offset, v.lo, v.hi) for v in values]
    joined = em.emit(Concat, *(v.terms[0][0] for v in values), axis=perm.index(axis))
    total = sum(v.shape[axis] for v in values)
    shape = tuple(total if k == axis else n for k, n in enumerate(values[0].shape))
    first = replace(values[0], shape=shape)
    if same:
        return replace(first, terms=((joined.name, maps[0][0]),))
    lengths = [v.shape[axis] for v in values]
    full = [
        np.concatenate([np.broadcast_to(np.atleast_1d(m[i]), (n,)) for m, n in zip(maps, lengths, strict=True)])
        for i in range(4)
    ]
    return first.with_map([(joined.name, full[0])], full[1], full[2], full[3], inexact=any(v.inexact for v in values))


@handles("Pad")
def pad(call: Call) -> Value:
    """Constant padding."""
    v = call.value()
    rank = len(v.shape)
    mode = call.attr("mode", "constant")
    if mode != "constant":
        raise Refuse(f"mode {mode} is not supported; pad with a constant")
    pads = ints(call, 1, "pads", "the pads") or []
    axes = ints(call, 3, "axes", "the axes")
    axes = [a % rank for a in axes] if axes is not None else list(range(rank))
    before, after = dict(zip(axes, pads[: len(axes)], strict=True)), dict(zip(axes, pads[len(axes) :], strict=True))
    if any(n < 0 for n in pads):
        raise Refuse(f"pads {pads} are negative; slice instead")
    if before.get(0, 0) or after.get(0, 0):
        raise Refuse("it pads the batch axis")
    constant = call.optional_const(2, "the padding value")
    real = finite(constant, "the padding value").flat[0] if constant is not None else Fraction(call.attr("value", 0.0))
    v = call.emitter.plain(v)
    fills = {x for x in np.asarray((real - v.offset) / v.terms[0][1], object).flat}
    if len(fills) > 1 or next(iter(fills)).denominator != 1:
        v = call.emitter.uniform(v)
        fills = {real / v.terms[0][1].flat[0]}
    fill = fills.pop()
    if fill.denominator != 1:
        raise Refuse(f"the padding value {float(real)} is not on the integer grid of its input")
    b, a = tuple(before.get(p, 0) for p in v.perm), tuple(after.get(p, 0) for p in v.perm)
    if v.per_channel and (b[-1] or a[-1]):
        raise Refuse("it pads a channel axis that has a scale per channel")
    tensor = call.emitter.emit(Pad, v.terms[0][0], before=b, after=a, value=int(fill))
    shape = tuple(n + before.get(k, 0) + after.get(k, 0) for k, n in enumerate(v.shape))
    return replace(v, shape=shape, terms=((tensor.name, v.terms[0][1]),))
