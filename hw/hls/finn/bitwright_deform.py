# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The deformable convolution of FINN projects: meaning, C++ parameters and estimates. Needs numpy only.

acc[h, w, o] = sum over (i, j, c) of weight[i, j, c, o] * x[h*sh + i*dh - top + dy, w*sw + j*dw - left + dx, c'], with
(dy, dx) = offsets[h, w, 2 * (taps * og + i*kw + j) + (0, 1)] in whole numbers; positions outside x add nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Deform:
    """One layer.

    Attributes:
        size, out: height and width of input and output. channels, outputs: of input and output.
        kernel, strides, dilations: (vertical, horizontal). pads: (top, left, bottom, right).
        reach: largest magnitude of an offset.
        x, offset, weight, acc: (bits, signed).
    """

    size: tuple[int, int]
    out: tuple[int, int]
    channels: int
    outputs: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int
    offset_groups: int
    reach: int
    x: tuple[int, bool]
    offset: tuple[int, bool]
    weight: tuple[int, bool]
    acc: tuple[int, bool]

    @property
    def taps(self) -> int:
        """Positions of the window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def offset_channels(self) -> int:
        """Values of one offset vector."""
        return 2 * self.taps * self.offset_groups

    @property
    def buffer_rows(self) -> int:
        """Rows of the line buffer: the window's, and what the offsets can reach above and below."""
        return min(self.size[0], (self.kernel[0] - 1) * self.dilations[0] + 1 + 2 * self.reach)

    @property
    def cycles(self) -> int:
        """For one frame: every pixel is read once, and every output position takes a cycle for each tap."""
        return self.size[0] * self.size[1] + self.out[0] * self.out[1] * self.taps

    @property
    def bram18(self) -> int:
        """18-kbit block RAMs of the line buffer, one word for each position."""
        return math.ceil(self.channels * self.x[0] / 36) * math.ceil(self.buffer_rows * self.size[1] / 512)

    @property
    def luts(self) -> int:
        """FINN-R's model of a matrix unit, all outputs parallel; not calibrated for this layer."""
        both = self.weight[0] + self.x[0]
        inputs = self.channels // self.groups
        multiply = inputs * (2 * math.ceil(both / 6) - 1) * both
        return int(300 + 1.1 * self.outputs * (multiply + both * (2 * inputs - 1) + self.acc[0]))


def compute(
    x: Array, offsets: Array, weight: Array, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int],
    groups: int, offset_groups: int,
) -> Array:  # fmt: skip
    """x (N, H, W, C), offsets (N, OH, OW, 2 * taps * offset groups), weight (kh, kw, C / groups, O); float64."""
    frames, height, width, channels = x.shape
    kh, kw, per_group, outputs = weight.shape
    _, oh, ow, _ = offsets.shape
    offsets = offsets.astype(np.int64)
    frame = np.arange(frames)[:, None, None]
    shared, step = channels // offset_groups, outputs // groups
    acc = np.zeros((frames, oh, ow, outputs), np.float64)
    for tap in range(kh * kw):
        i, j = divmod(tap, kw)
        taken = np.zeros((frames, oh, ow, channels), np.float64)
        for og in range(offset_groups):
            at = 2 * (kh * kw * og + tap)
            rows = np.arange(oh)[:, None] * strides[0] - pads[0] + i * dilations[0] + offsets[..., at]
            columns = np.arange(ow)[None, :] * strides[1] - pads[1] + j * dilations[1] + offsets[..., at + 1]
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            part = slice(og * shared, (og + 1) * shared)
            found = x[frame, rows.clip(0, height - 1), columns.clip(0, width - 1), part]
            taken[..., part] = found * inside[..., None]
        for g in range(groups):
            outs = slice(g * step, (g + 1) * step)
            acc[..., outs] += taken[..., g * per_group : (g + 1) * per_group] @ weight[i, j, :, outs]
    return acc


def cpp_type(kind: tuple[int, bool]) -> str:
    """ap_int or ap_uint of (bits, signed)."""
    return f"ap_{'' if kind[1] else 'u'}int<{kind[0]}>"


def parameters(d: Deform, weight: Array, name: str = "deform") -> str:
    """C++ source: the configuration struct config_NAME and the weights weight_NAME, in the kernel's order."""
    constants = {
        "in_height": d.size[0], "in_width": d.size[1], "in_channels": d.channels, "out_height": d.out[0],
        "out_width": d.out[1], "out_channels": d.outputs, "kernel_height": d.kernel[0], "kernel_width": d.kernel[1],
        "stride_height": d.strides[0], "stride_width": d.strides[1], "dilation_height": d.dilations[0],
        "dilation_width": d.dilations[1], "pad_top": d.pads[0], "pad_left": d.pads[1], "groups": d.groups,
        "group_channels": d.channels // d.groups, "offset_groups": d.offset_groups,
        "offset_channels": d.offset_channels, "buffer_rows": d.buffer_rows, "reach_below": d.reach, "in_bits": d.x[0],
        "offset_bits": d.offset[0], "out_bits": d.acc[0],
    }  # fmt: skip
    types = {"value_t": d.x, "offset_t": d.offset, "weight_t": d.weight, "accum_t": d.acc}
    lines = [f"struct config_{name} {{"]
    lines += [f"    typedef {cpp_type(kind)} {field};" for field, kind in types.items()]
    lines += [f"    static const int {field} = {value};" for field, value in constants.items()]
    values = ", ".join(str(int(v)) for v in np.asarray(weight).reshape(-1))
    lines += ["};", f"static const config_{name}::weight_t weight_{name}[] = {{{values}}};", ""]
    return "\n".join(lines)
