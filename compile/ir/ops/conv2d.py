# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Two-dimensional convolution: dense, grouped or depthwise, with stride, dilation and explicit padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import (
    Cost,
    Inferred,
    ShapeError,
    WeightedNode,
    per_channel,
    register,
)
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(WeightedNode):
    """Convolution of x - zero_point with weight.

    acc[h, w, o] = sum over (i, j, c) of weight[i, j, c, o] * (x[h*sh + i*dh - pt, w*sw + j*dw - pl, c'] - zero_point).

    Positions outside x count as ``zero_point``, so they add nothing. Group g reads input channels
    g*C/groups .. and writes output channels g*O/groups ..

    Attributes:
        weight: int64 (kh, kw, C / groups, O), weight zero point already subtracted.
        zero_point: of x.
        strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right).
    """

    zero_point: int = 0
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if len(x.shape) != 3:
            raise ShapeError(f"input must be (H, W, C), got {x.shape}")
        height, width, channels = x.shape
        kh, kw, per_group, outputs = self.weight.shape
        if channels != per_group * self.groups or outputs % self.groups:
            raise ShapeError(
                f"{channels} input channels, {self.groups} groups and weight {self.weight.shape} do not fit"
            )
        oh = conv_length(height, kh, self.strides[0], self.dilations[0], self.pads[0], self.pads[2])
        ow = conv_length(width, kw, self.strides[1], self.dilations[1], self.pads[1], self.pads[3])
        lo, hi = accumulator_bounds(self.weight, x, self.zero_point, self.groups, any(self.pads))
        return Inferred((oh, ow, outputs), lo, hi)

    def compute(self, *xs: IntArray) -> IntArray:
        (x,) = xs
        kh, kw, per_group, outputs = self.weight.shape
        columns = windows(x - self.zero_point, (kh, kw), self.strides, self.pads, self.dilations, fill=0)
        batch, oh, ow = columns.shape[:3]
        if per_group == 1 and outputs == self.groups:  # depthwise: one multiply per tap and channel
            result = np.einsum("bhwijc,ijc->bhwc", columns, self.weight[:, :, 0, :])
            return np.asarray(result, np.int64)
        out = np.empty((batch, oh, ow, outputs), np.int64)
        step = outputs // self.groups
        for g in range(self.groups):
            part = columns[..., g * per_group : (g + 1) * per_group].reshape(batch * oh * ow, -1)
            kernel = self.weight[..., g * step : (g + 1) * step].reshape(-1, step)
            out[..., g * step : (g + 1) * step] = (part @ kernel).reshape(batch, oh, ow, step)
        return out

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        kh, kw, per_group, _ = self.weight.shape
        return Cost(
            macs=y.size * kh * kw * per_group,
            weights=self.weight.size,
            weight_bits=self.weight.size * self.weight_width,
        )


def conv_length(length: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Output length of a sliding window along one axis. Raises ShapeError when nothing fits."""
    out = (length + before + after - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1 or length + before + after < dilation * (kernel - 1) + 1:
        raise ShapeError(f"a window of {kernel} (dilation {dilation}) does not fit {length} + {before} + {after}")
    return out


def windows(
    x: IntArray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    fill: int,
) -> IntArray:
    """Sliding windows of x (batch, H, W, C) as a view (batch, OH, OW, kh, kw, C); outside x is ``fill``."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    view = view[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def accumulator_bounds(
    weight: IntArray, x: Tensor, zero_point: int, groups: int, padded: bool
) -> tuple[IntArray, IntArray]:
    """Worst case of the accumulator per output channel: every tap at the bound that hurts most.

    Reached by an input without padding; with padding it may not be, since every tap is allowed to be outside (0).

    weight is (..., C / groups, O); the leading axes are taps that all see the same bounds.
    """
    *_, per_group, outputs = weight.shape
    w = weight.reshape(-1, per_group, outputs)
    lo = per_channel(x.lo, x.channels).reshape(groups, per_group) - zero_point
    hi = per_channel(x.hi, x.channels).reshape(groups, per_group) - zero_point
    if padded:  # a padding position contributes exactly 0
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    of_output = np.arange(outputs) // (outputs // groups)
    if groups > 1:
        lo, hi = lo[of_output], hi[of_output]
    # min and max of w * lo and w * hi are (w * (hi + lo) -+ abs(w) * (hi - lo)) / 2
    middle, reach = _summed(w, (hi + lo).T), _summed(abs(w), (hi - lo).T)
    return (middle - reach) >> 1, (middle + reach) >> 1


def _summed(w: IntArray, x: IntArray) -> IntArray:
    """Sum over taps and input channels of w (taps, C / groups, O) times x (C / groups, 1 or O)."""
    taps = w.sum(axis=0) if len(w) > 1 else w[0]
    return np.asarray(np.einsum("c,co->o", x[:, 0], taps) if x.shape[1] == 1 else (x * taps).sum(axis=0))
