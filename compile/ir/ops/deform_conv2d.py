# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Deformable convolution with whole-number offsets: every tap is displaced by an offset computed at run time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, ShapeError, WeightedNode, register
from bitwright.compile.ir.ops.conv2d import accumulator_bounds, conv_length
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class DeformConv2d(WeightedNode):
    """ONNX DeformConv (opset 19) for integer offsets; reads x and the offsets.

    acc[h, w, o] = sum over (i, j, c) of weight[i, j, c, o]
                   * (x[h*sh + i*dh - pt + dy, w*sw + j*dw - pl + dx, c'] - zero_point)

    with (dy, dx) = offsets[h, w, 2 * (kh*kw*og + i*kw + j) + (0, 1)], og the offset group of channel c'. Positions
    outside x add nothing. The bounds of the offset tensor bound how far a tap can move.

    Attributes:
        weight: int64 (kh, kw, C / groups, O).
        zero_point: of x.
        strides, dilations: (vertical, horizontal). pads: (top, left, bottom, right).
        offset_groups: channels are divided into as many parts that share offsets.
    """

    zero_point: int = 0
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    offset_groups: int = 1
    arity: ClassVar[int | None] = 2

    def infer(self, *xs: Tensor) -> Inferred:
        x, offsets = xs
        if len(x.shape) != 3 or len(offsets.shape) != 3:
            raise ShapeError(f"inputs must be (H, W, C), got {x.shape} and {offsets.shape}")
        kh, kw, per_group, outputs = self.weight.shape
        if x.shape[2] != per_group * self.groups or outputs % self.groups or x.shape[2] % self.offset_groups:
            raise ShapeError(
                f"{x.shape[2]} channels, {self.groups} groups, {self.offset_groups} offset groups and weight "
                f"{self.weight.shape} do not fit"
            )
        oh = conv_length(x.shape[0], kh, self.strides[0], self.dilations[0], self.pads[0], self.pads[2])
        ow = conv_length(x.shape[1], kw, self.strides[1], self.dilations[1], self.pads[1], self.pads[3])
        if offsets.shape != (oh, ow, 2 * kh * kw * self.offset_groups):
            raise ShapeError(f"offsets are {offsets.shape}, {(oh, ow, 2 * kh * kw * self.offset_groups)} is expected")
        lo, hi = accumulator_bounds(self.weight, x, self.zero_point, self.groups, True)
        return Inferred((oh, ow, outputs), lo, hi)

    def compute(self, *xs: IntArray) -> IntArray:
        x, offsets = xs[0] - self.zero_point, xs[1]
        batch, height, width, channels = x.shape
        kh, kw, per_group, outputs = self.weight.shape
        _, oh, ow, _ = offsets.shape
        rows = (np.arange(oh) * self.strides[0] - self.pads[0])[None, :, None]
        columns = (np.arange(ow) * self.strides[1] - self.pads[1])[None, None, :]
        sample = np.arange(batch)[:, None, None]
        shared, step = channels // self.offset_groups, outputs // self.groups
        acc = np.zeros((batch, oh, ow, outputs), np.int64)
        for tap in range(kh * kw):
            i, j = divmod(tap, kw)
            taken = np.empty((batch, oh, ow, channels), np.int64)
            for og in range(self.offset_groups):
                dy, dx = (offsets[..., 2 * (kh * kw * og + tap) + k] for k in (0, 1))
                r, c = rows + i * self.dilations[0] + dy, columns + j * self.dilations[1] + dx
                inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                part = slice(og * shared, (og + 1) * shared)
                picked = x[sample, r.clip(0, height - 1), c.clip(0, width - 1), part]
                taken[..., part] = picked * inside[..., None]
            for g in range(self.groups):
                outs = slice(g * step, (g + 1) * step)
                acc[..., outs] += taken[..., g * per_group : (g + 1) * per_group] @ self.weight[i, j, :, outs]
        return acc

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        kh, kw, per_group, _ = self.weight.shape
        return Cost(
            macs=y.size * kh * kw * per_group,
            weights=self.weight.size,
            weight_bits=self.weight.size * self.weight_width,
        )
