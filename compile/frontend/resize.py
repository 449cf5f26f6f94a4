# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Where ONNX Resize samples: source indices (nearest) and integer weights (linear) along one axis.

Coordinates are computed in exact fractions after the formulas of the ONNX operator specification (Resize, opset 19).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from bitwright.compile.frontend.registry import Call
from bitwright.compile.frontend.values import Refuse
from bitwright.compile.ir.types import IntArray

#: Linear weights with a larger common denominator are refused: they would not be small integers.
MAX_DENOMINATOR = 1 << 12


def output_lengths(call: Call, shape: tuple[int, ...]) -> tuple[list[int], list[Fraction]]:
    """Output length and scale (output / input) of every axis, from scales or sizes."""
    if call.attr("axes") is not None:
        axes = [int(a) % len(shape) for a in call.attr("axes")]
    else:
        axes = list(range(len(shape)))
    scales_const, sizes_const = call.optional_const(2, "the scales"), call.optional_const(3, "the sizes")
    lengths, scales = list(shape), [Fraction(1)] * len(shape)
    if sizes_const is not None and sizes_const.data.size:
        if call.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Refuse("keep_aspect_ratio_policy other than stretch is not supported")
        for axis, n in zip(axes, sizes_const.data.reshape(-1), strict=True):
            lengths[axis] = int(n)
            scales[axis] = Fraction(int(n), shape[axis])
    elif scales_const is not None and scales_const.data.size:
        for axis, s in zip(axes, scales_const.data.reshape(-1), strict=True):
            scales[axis] = Fraction(float(s))
            lengths[axis] = math.floor(shape[axis] * scales[axis])
    else:
        raise Refuse("it gives neither scales nor sizes")
    if min(lengths) < 1 or call.attr("antialias", 0):
        raise Refuse(f"output shape {lengths} or antialias is not supported")
    return lengths, scales


def _coordinate(call: Call, i: int, n_in: int, n_out: int, scale: Fraction) -> Fraction:
    mode = call.attr("coordinate_transformation_mode", "half_pixel")
    half = Fraction(1, 2)
    match mode:
        case "half_pixel":
            return (i + half) / scale - half
        case "half_pixel_symmetric":
            adjust = n_out / (scale * n_in)
            return Fraction(n_in, 2) * (1 - adjust) + (i + half) / scale - half
        case "pytorch_half_pixel":
            return (i + half) / scale - half if n_out > 1 else Fraction(0)
        case "align_corners":
            if (scale * n_in).denominator != 1:  # the specification and onnxruntime disagree here
                raise Refuse(f"align_corners with the scale {float(scale)} of {n_in} values is ambiguous; give sizes")
            return Fraction(i * (n_in - 1), n_out - 1) if n_out > 1 else Fraction(0)
        case "asymmetric":
            return i / scale
    raise Refuse(f"coordinate_transformation_mode {mode} is not supported")


def nearest_indices(call: Call, n_in: int, n_out: int, scale: Fraction) -> tuple[int, ...]:
    """Source index of every output position."""
    if n_in == n_out and scale == 1:
        return tuple(range(n_in))
    mode = call.attr("nearest_mode", "round_prefer_floor")
    half = Fraction(1, 2)
    picked = []
    for i in range(n_out):
        x = _coordinate(call, i, n_in, n_out, scale)
        match mode:
            case "round_prefer_floor":
                k = math.ceil(x - half)
            case "round_prefer_ceil":
                k = math.floor(x + half)
            case "floor":
                k = math.floor(x)
            case "ceil":
                k = math.ceil(x)
            case _:
                raise Refuse(f"nearest_mode {mode} is not supported")
        picked.append(min(max(k, 0), n_in - 1))
    return tuple(picked)


def linear_taps(call: Call, n_in: int, n_out: int, scale: Fraction) -> tuple[IntArray, Fraction]:
    """Integer weights (n_out, n_in) and their unit; every row sums to 1 / unit."""
    if n_in == n_out and scale == 1:
        return np.eye(n_in, dtype=np.int64), Fraction(1)
    if call.attr("exclude_outside", 0):
        raise Refuse("exclude_outside is not supported")
    weights = [[Fraction(0)] * n_in for _ in range(n_out)]
    for i in range(n_out):
        x = _coordinate(call, i, n_in, n_out, scale)
        low = math.floor(x)
        part = x - low
        for k, w in ((low, 1 - part), (low + 1, part)):
            weights[i][min(max(k, 0), n_in - 1)] += w
    denominator = math.lcm(*(w.denominator for row in weights for w in row))
    if denominator > MAX_DENOMINATOR:
        raise Refuse(
            f"its linear weights have the common denominator {denominator}, more than {MAX_DENOMINATOR}: "
            "use a power of two as scale, or nearest"
        )
    taps = np.asarray([[int(w * denominator) for w in row] for row in weights], np.int64)
    return taps, Fraction(1, denominator)
