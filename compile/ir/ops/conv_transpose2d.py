# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Transposed two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, ShapeError, WeightedNode, register
from bitwright.compile.ir.ops.conv2d import accumulator_bounds
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose2d(WeightedNode):
    """Every input value is spread over a window of the output (ONNX ConvTranspose).

    acc[h*sh + i*dh - pt, w*sw + j*dw - pl, o] += weight[i, j, c, o'] * (x[h, w, c] - zero_point)

    Attributes:
        weight: int64 (kh, kw, C, O / groups), weight zero point already subtracted.
        zero_point: of x.
        strides, dilations, output_padding: (vertical, horizontal).
        pads: (top, left, bottom, right), cut off the full result.
    """

    zero_point: int = 0
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    output_padding: tuple[int, int] = (0, 0)

    def _full(self, shape: Sequence[int]) -> tuple[int, int]:
        kh, kw = self.weight.shape[:2]
        (sh, sw), (dh, dw), (eh, ew) = self.strides, self.dilations, self.output_padding
        return sh * (shape[0] - 1) + eh + dh * (kh - 1) + 1, sw * (shape[1] - 1) + ew + dw * (kw - 1) + 1

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if len(x.shape) != 3:
            raise ShapeError(f"input must be (H, W, C), got {x.shape}")
        _, _, channels, per_group = self.weight.shape
        if channels != x.shape[2] or channels % self.groups:
            raise ShapeError(f"{x.shape[2]} channels, {self.groups} groups and weight {self.weight.shape} do not fit")
        full = self._full(x.shape)
        top, left, bottom, right = self.pads
        oh, ow = full[0] - top - bottom, full[1] - left - right
        if oh < 1 or ow < 1 or min(self.pads) < 0:
            raise ShapeError(f"pads {self.pads} leave nothing of {full}")
        # Worst case: all taps meet at one output position (strides can only make fewer meet).
        lo, hi = accumulator_bounds(self._as_conv(), x, self.zero_point, self.groups, True)
        return Inferred((oh, ow, per_group * self.groups), lo, hi)

    def _as_conv(self) -> IntArray:
        """The weights as (kh, kw, C / groups, O)."""
        kh, kw, channels, per_group = self.weight.shape
        w = self.weight.reshape(kh, kw, self.groups, channels // self.groups, per_group)
        return w.transpose(0, 1, 3, 2, 4).reshape(kh, kw, channels // self.groups, self.groups * per_group)

    def compute(self, *xs: IntArray) -> IntArray:
        x = xs[0] - self.zero_point
        batch, height, width, _ = x.shape
        kh, kw, _, per_group = self.weight.shape
        (sh, sw), (dh, dw) = self.strides, self.dilations
        full = self._full((height, width))
        acc = np.zeros((batch, *full, per_group * self.groups), np.int64)
        step = x.shape[3] // self.groups
        for g in range(self.groups):
            part = x[..., g * step : (g + 1) * step]
            outs = slice(g * per_group, (g + 1) * per_group)
            for i in range(kh):
                for j in range(kw):
                    rows = slice(i * dh, i * dh + sh * (height - 1) + 1, sh)
                    columns = slice(j * dw, j * dw + sw * (width - 1) + 1, sw)
                    acc[:, rows, columns, outs] += part @ self.weight[i, j, g * step : (g + 1) * step]
        top, left, bottom, right = self.pads
        return acc[:, top : full[0] - bottom, left : full[1] - right]

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        kh, kw, _, per_group = self.weight.shape
        return Cost(
            macs=xs[0].size * kh * kw * per_group,
            weights=self.weight.size,
            weight_bits=self.weight.size * self.weight_width,
        )
