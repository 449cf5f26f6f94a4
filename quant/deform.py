# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Deformable convolution and its hardware-friendly variants, each an independent switch.

After J. Dai et al., "Deformable Convolutional Networks", arXiv:1703.06211, and Q. Huang et al., "CoDeNet",
arXiv:2006.08357: full or depthwise, free or square, unbounded or bounded, bilinear or rounded. Unlike the published
code of CoDeNet, rounded offsets are whole numbers in training too, so the accuracy that is measured is the hardware's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

#: Offsets of one group are 2 * kernel**2 channels (dy, dx) per tap, as in ONNX DeformConv.
OPSET = 19
#: How far inside its bounds an offset starts, in pixels; below one half, so that a bound of 0 starts as no offset.
_INSIDE = 0.4


@dataclass(frozen=True)
class DeformSettings:
    """The switches.

    Attributes:
        depthwise: one filter per channel instead of a full convolution.
        square: one number per position spreads the window evenly; else every tap has its own (dy, dx).
        bounds: smallest and largest displacement step of a tap (with ``square``: of the spread), or None.
        rounded: offsets are whole numbers, so nothing is interpolated.
    """

    depthwise: bool = True
    square: bool = True
    bounds: tuple[int, int] | None = (0, 7)
    rounded: bool = True

    @property
    def start(self) -> float:
        """Where every offset starts: 0, or as near to it as lies inside the bounds by `_INSIDE`, which rounds to one.

        At a bound there is no gradient outwards, and what steps over it does not come back.
        """
        if self.bounds is None:
            return 0.0
        lo, hi = self.bounds
        return min(max(0.0, lo + _INSIDE), hi - _INSIDE)

    def offset_channels(self, kernel: int) -> int:
        """Channels of the layer that makes the offsets."""
        return 1 if self.square else 2 * kernel * kernel


def square_pattern(kernel: int) -> torch.Tensor:
    """(1, 2 k k, 1, 1): where the taps of a k x k window lie, (dy, dx) in turn; times s, how far spread s moves
    them.
    """
    half = kernel // 2
    steps = range(-half, kernel - half)
    return torch.tensor([float(v) for i in steps for j in steps for v in (i, j)]).reshape(1, -1, 1, 1)


class _RoundSte(torch.autograd.Function):
    """Round half to even; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0]


class OffsetHead(nn.Module):
    """1x1 convolution -> bound -> round -> square pattern: (N, C, H, W) to offsets (N, 2 k k, H, W).

    ``bounded`` does the bounding and rounding; the quantized form passes a quantizer of scale 1, whose range is the
    bound. The weights start at 0, the bias at ``settings.start``: training begins with one window for all positions.
    """

    pattern: torch.Tensor

    def __init__(
        self, conv: nn.Module, kernel: int, settings: DeformSettings, bounded: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.settings = settings
        self.bounded = bounded
        self.register_buffer("pattern", square_pattern(kernel), persistent=False)
        nn.init.zeros_(conv.weight)  # type: ignore[arg-type]
        nn.init.constant_(conv.bias, settings.start)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        offsets: torch.Tensor = self.conv(x)
        if self.bounded is not None:
            offsets = self.bounded(offsets)
        else:
            if self.settings.bounds is not None:
                offsets = offsets.clamp(*self.settings.bounds)
            if self.settings.rounded:
                offsets = _RoundSte.apply(offsets)
        return offsets * self.pattern if self.settings.square else offsets


class DeformConv2d(nn.Module):
    """Deformable convolution of an odd kernel, stride 1, same size: x (N, C, H, W) and offsets (N, 2 k k, H, W).

    The float form; the quantized one overrides `kernel_weight`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, settings: DeformSettings) -> None:
        super().__init__()
        if settings.depthwise and inputs != outputs:
            raise ValueError(f"a depthwise deformable convolution keeps the channels, got {inputs} and {outputs}")
        self.settings = settings
        self.kernel = kernel
        self.groups = inputs if settings.depthwise else 1
        self.weight = nn.Parameter(torch.empty(outputs, inputs // self.groups, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def kernel_weight(self) -> torch.Tensor:
        """The weight (O, C / groups, k, k) to compute with."""
        return self.weight

    def forward(self, x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return deform_conv2d(x, self.kernel_weight(), offsets, self.groups, self.settings.rounded)


def deform_conv2d(
    x: torch.Tensor, weight: torch.Tensor, offsets: torch.Tensor, groups: int, rounded: bool
) -> torch.Tensor:
    """Deformable convolution with stride 1 and padding k // 2; positions outside x count as 0.

    x (N, C, H, W), weight (O, C / groups, k, k) with groups 1 or C = O, offsets (N, 2 k k, H, W). With ``rounded`` the
    offsets must be whole numbers: values are taken as they are, bit for bit; the gradient towards an offset is then the
    central difference of the neighbours along its axis. Exports as one ONNX DeformConv node.
    """
    if torch.onnx.is_in_onnx_export():
        return _export(x, weight, offsets, groups)
    kernel, taps = weight.shape[2], _taps(weight, groups)
    if rounded:
        out: torch.Tensor = _RoundedSum.apply(x, offsets, taps, kernel)
    else:
        patches = _gather_bilinear(x, offsets, kernel)
        out = (patches * taps).sum(2) if taps.ndim == 2 else torch.einsum("nptc,tco->npo", patches, taps)
    return out.reshape(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2).contiguous()


def _positions(offsets: torch.Tensor, kernel: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column (N, H W, k k) at which each tap of each position reads, in the units of the offsets."""
    n, _, height, width = offsets.shape
    half = kernel // 2
    taps = offsets.reshape(n, kernel * kernel, 2, height * width).permute(2, 0, 3, 1)
    steps = torch.arange(kernel, device=offsets.device, dtype=offsets.dtype) - half
    rows = torch.arange(height, device=offsets.device, dtype=offsets.dtype).repeat_interleave(width)[:, None]
    columns = torch.arange(width, device=offsets.device, dtype=offsets.dtype).repeat(height)[:, None]
    return taps[0] + rows + steps.repeat_interleave(kernel), taps[1] + columns + steps.repeat(kernel)


def _rows_of(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) as (N H W + 1, C): one row per pixel, the last one zero for everything outside."""
    n, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(n * height * width, channels)
    return torch.cat((flat, flat.new_zeros(1, channels)))


def _index(y: torch.Tensor, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Row numbers in `_rows_of` for whole positions (N, P, T); outside ones point at the zero row."""
    n = y.shape[0]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    first = torch.arange(n, device=y.device).reshape(n, 1, 1) * height * width
    index = first + y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
    return torch.where(inside, index, n * height * width)


def _taps(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """The weight tap by tap: (k k, C) depthwise, (k k, C, O) full."""
    taps = weight.permute(2, 3, 1, 0).flatten(0, 1)
    return taps.squeeze(1) if groups > 1 else taps


class _RoundedSum(torch.autograd.Function):
    """Sum over the taps, (N, H W, O), at whole offsets.

    One tap after the other: the patches of all taps together are k k times the map, and moving them through memory
    would take longer than the arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, offsets: torch.Tensor, taps: torch.Tensor, kernel: int) -> torch.Tensor:
        y, xx = _positions(offsets, kernel)
        index = _index(y, xx, x.shape[2], x.shape[3])
        ctx.save_for_backward(x, y, xx, index, taps)
        rows = _rows_of(x)
        out: torch.Tensor | None = None
        for t, tap in enumerate(taps):
            part = rows[index[..., t]]
            part = part.mul_(tap) if tap.ndim == 1 else part @ tap
            out = part if out is None else out.add_(part)
        assert out is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, y, xx, index, taps = ctx.saved_tensors
        (grad,) = grads
        n, channels, height, width = x.shape
        rows = _rows_of(x)
        dx = rows.new_zeros(rows.shape)
        dtaps = torch.zeros_like(taps)
        wants_offsets = ctx.needs_input_grad[1]
        doffsets = rows.new_zeros(2, *index.shape)
        if wants_offsets:
            # The ring around the map has slopes too: a tap just outside is pulled in.
            slopes = [_rows_of(s) for s in _slopes(x)]
            ring = _index(y + 1, xx + 1, height + 2, width + 2)
        for t, tap in enumerate(taps):
            depthwise = tap.ndim == 1
            source = rows[index[..., t]]
            dtaps[t] = (source * grad).sum((0, 1)) if depthwise else source.flatten(0, 1).t() @ grad.flatten(0, 1)
            back = grad * tap if depthwise else grad @ tap.t()
            dx.index_add_(0, index[..., t].reshape(-1), back.reshape(-1, channels))
            if wants_offsets:
                for axis in range(2):
                    doffsets[axis, ..., t] = (slopes[axis][ring[..., t]] * back).sum(2)
        image = dx[:-1].reshape(n, height, width, channels).permute(0, 3, 1, 2)
        of_offsets = doffsets.permute(1, 3, 0, 2).reshape(n, -1, height, width) if wants_offsets else None
        return image, of_offsets, dtaps, None


def _slopes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences of x along rows and columns, (N, C, H + 2, W + 2): the ring around the map included."""
    wide = nn.functional.pad(x, (2, 2, 2, 2))
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    across = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    return down, across


def _gather_bilinear(x: torch.Tensor, offsets: torch.Tensor, kernel: int) -> torch.Tensor:
    """Patches (N, H W, k k, C) with bilinear interpolation between the four pixels around each position."""
    height, width = x.shape[2], x.shape[3]
    y, xx = _positions(offsets, kernel)
    y0, x0 = y.detach().floor(), xx.detach().floor()
    fy, fx = (y - y0)[..., None], (xx - x0)[..., None]
    rows = _rows_of(x)
    out = rows[_index(y0, x0, height, width)] * ((1 - fy) * (1 - fx))
    out = out + rows[_index(y0, x0 + 1, height, width)] * ((1 - fy) * fx)
    out = out + rows[_index(y0 + 1, x0, height, width)] * (fy * (1 - fx))
    return out + rows[_index(y0 + 1, x0 + 1, height, width)] * (fy * fx)


def _export(x: torch.Tensor, weight: torch.Tensor, offsets: torch.Tensor, groups: int) -> torch.Tensor:
    """One standard DeformConv node, for either exporter."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return _TracedDeformConv.apply(x, weight, offsets, groups)
    half = weight.shape[2] // 2
    return torch.onnx.ops.symbolic(
        "DeformConv",
        (x, weight, offsets),
        {"pads": [half] * 4, "group": groups, "kernel_shape": list(weight.shape[2:])},
        dtype=x.dtype,
        shape=(x.shape[0], weight.shape[0], *x.shape[2:]),
        version=OPSET,
    )


class _TracedDeformConv(torch.autograd.Function):
    """The node for the TorchScript exporter, which reads ``symbolic``."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, offsets: torch.Tensor, groups: int) -> torch.Tensor:
        return x.new_zeros(x.shape[0], weight.shape[0], *x.shape[2:])

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, offsets: Any, groups: int) -> Any:
        size = weight.type().sizes()
        half = size[2] // 2
        out = g.op("DeformConv", x, weight, offsets, pads_i=[half] * 4, group_i=groups, kernel_shape_i=size[2:])
        shape = x.type().sizes()
        out.setType(x.type().with_sizes([shape[0], size[0], *shape[2:]]))
        return out
