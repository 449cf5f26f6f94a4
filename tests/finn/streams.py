# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""When every word of every stream of a FINN design is there, cycle by cycle, with FIFOs that are deep enough.

Frames come evenly, one in the interval of the slowest layer. A layer writes a word when what it needs of its inputs is
there and as many cycles after its last word as its folding says; pipeline registers are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.finn import layers as hw
from bitwright.compile.backends.finn.layers import Folding
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import Conv2d

Times = NDArray[np.int64]
FRAMES = 3


class Streams:
    """Times of the words of all layers up to one whose kind is not known; graph: that the network was made from."""

    def __init__(self, graph: Graph, net: Network, foldings: Mapping[str, Folding]) -> None:
        self.net, self.f = net, [foldings[n] for n in net.names]
        self.pads = {n.name: n.pads for n in graph.nodes if isinstance(n, Conv2d)}
        self.sizes = {n.source: n.size for n in net.layers if isinstance(n, hw.Window)}
        self.interval = max(layer.cycles(f) for layer, f in zip(net.layers, self.f, strict=True))
        self.times: list[Times | None] = []
        for k, layer in enumerate(net.layers):
            known = all(self.times[i] is not None for i in layer.inputs)
            self.times.append(self._write(k) if known and type(layer) in (*_NEEDS, hw.Padding) else None)

    def elements(self, k: int, operand: int, last: NDArray[np.int64]) -> Times:
        """When the elements with these numbers are at a layer."""
        layer = self.net.layers[k]
        if not layer.inputs:
            count = self._read(layer)
            return (last // count) * self.interval + (last % count + 1) * self.interval // count
        source = layer.inputs[operand]
        times = self.times[source]
        assert times is not None
        return times[last // self.net.layers[source].out_width(self.f[source])]

    def _write(self, k: int) -> Times:
        layer, f = self.net.layers[k], self.f[k]
        if type(layer) is hw.Padding:
            needs, each = self._padding(layer, f)
        else:
            needs, each = _NEEDS[type(layer)](layer, f)
        count = self._read(layer)
        whole = np.concatenate([np.where(needs < 0, 0, needs + frame * count) for frame in range(FRAMES)])
        ready = np.max([self.elements(k, n, whole) for n in range(max(len(layer.inputs), 1))], axis=0)
        index = np.arange(len(ready)) * each
        return np.asarray(np.maximum.accumulate(ready - index) + index + each)

    def held(self, k: int, operand: int) -> int:
        """Most elements that wait in front of a layer."""
        layer = self.net.layers[k]
        times = self.times[k]
        assert times is not None
        width, source = layer.in_width(self.f[k]), layer.inputs[operand]
        wrote = self.times[source]
        assert wrote is not None
        came = np.searchsorted(wrote, times, side="right") * self.net.layers[source].out_width(self.f[source])
        return int((came - np.arange(1, len(times) + 1) * width).max())

    def _read(self, layer: hw.Layer) -> int:
        """Elements of a frame that a layer reads from one stream."""
        if isinstance(layer, hw.Window):
            return layer.size[0] * layer.size[1] * layer.channels
        if isinstance(layer, hw.DepthwiseUnit):
            return layer.vectors * layer.taps * layer.channels
        if isinstance(layer, hw.Padding):
            (top, left, bottom, right), (height, width) = self.pads[layer.source], self.sizes[layer.source]
            return (height - top - bottom) * (width - left - right) * layer.channels
        return layer.vectors * layer.channels

    def _padding(self, layer: hw.Padding, f: Folding) -> tuple[NDArray[np.int64], int]:
        """A pixel of the map, or nothing for one of the border."""
        (top, left, bottom, right), (height, width) = self.pads[layer.source], self.sizes[layer.source]
        y, x = np.arange(height)[:, None] - top, np.arange(width)[None] - left
        rows, columns = height - top - bottom, width - left - right
        inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        last = (np.arange(layer.channels // f.simd) + 1) * f.simd - 1
        element = (y * columns + x)[:, :, None] * layer.channels + last
        return np.where(inside[:, :, None], element, -1).ravel(), 1


def _words(layer: hw.Layer, f: Folding) -> tuple[NDArray[np.int64], int]:
    """Word by word."""
    width = layer.in_width(f)
    return np.arange(1, layer.vectors * layer.channels // width + 1) * width - 1, 1


def _matrix(layer: hw.MatrixUnit, f: Folding) -> tuple[NDArray[np.int64], int]:
    """The whole vector for every word of results."""
    vectors = (np.arange(layer.vectors) + 1) * layer.channels - 1
    return np.repeat(vectors, layer.outputs // f.pe), layer.channels // f.simd


def _depthwise(layer: hw.DepthwiseUnit, f: Folding) -> tuple[NDArray[np.int64], int]:
    """The window of the channels of a word."""
    size = layer.taps * f.pe
    return np.arange(1, layer.vectors * layer.channels // f.pe + 1) * size - 1, layer.taps // f.simd


def _window(layer: hw.Window, f: Folding) -> tuple[NDArray[np.int64], int]:
    """Word by word of the window, or a whole window of some channels."""
    folds = layer.channels // f.simd
    rows, columns = (
        np.arange(out)[:, None] * stride + np.arange(kernel) * dilation
        for out, stride, kernel, dilation in zip(layer.out, layer.strides, layer.kernel, layer.dilations, strict=True)
    )
    pixel = rows[:, None, :, None] * layer.size[1] + columns[None, :, None, :]  # (oh, ow, kh, kw)
    pixel = pixel.reshape(layer.out[0] * layer.out[1], -1)
    element = pixel[:, :, None] * layer.channels + (np.arange(folds) + 1) * f.simd - 1  # (positions, taps, folds)
    if layer.depthwise:
        element = element.transpose(0, 2, 1)
    if f.parallel_window:
        element = element.max(axis=2 if layer.depthwise else 1)
    return element.ravel(), 1


_NEEDS = {
    hw.Thresholding: _words, hw.Channelwise: _words, hw.PerChannel: _words, hw.MatrixUnit: _matrix,
    hw.DepthwiseUnit: _depthwise, hw.Window: _window,
}  # fmt: skip
