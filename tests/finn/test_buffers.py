# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FIFOs of skipped branches: against depths that FINN found for ResNet-50, and against every word's time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bitwright.boards import load_board
from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.backends.finn.buffers import Buffer, fifo, skip_buffers, words
from bitwright.compile.backends.finn.estimate import prepare
from bitwright.compile.backends.finn.folding import folding_options
from bitwright.compile.backends.finn.layers import Folding, Resources
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.explore.auto import explore
from bitwright.compile.explore.found import Goal
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import Add, MaxPool2d
from tests.finn.nets import NETS, Net
from tests.finn.streams import Streams

#: Depth of the deeper FIFO in front of AddStreams_hls_0 to _15, in words of two elements, that FINN's RTL simulation
#: found: build/resnet50/folding_config/U250_folding_config.json of Xilinx/finn-examples at 810a1e77.
FOUND = (95924, 7666, 7667, 4741, 8156, 8156, 8156, 5118, 9144, 9144, 9144, 9144, 9144, 5850, 11127, 11127)
CHANNELS = (256,) * 3 + (512,) * 4 + (1024,) * 6 + (2048,) * 3


def resnet_50() -> Graph:
    """The maps of ResNet-50, with few channels: how many pixels wait does not depend on them."""
    n = Net("resnet_50", (224, 224, 3), seed=1)
    y = n.quantize(n.conv(n.x, 4, 7, 2))
    y = n.b.add(MaxPool2d, "max", y.name, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for k in range(blocks):
            stride = 2 if stage and not k else 1
            h = n.quantize(n.conv(n.quantize(n.conv(y, 2, 1)), 2, 3, stride))
            h = n.quantize(n.conv(h, 4, 1), signed=True)
            if not k:
                y = n.quantize(n.conv(y, 4, 1, stride, pads=(0, 0, 0, 0)), signed=True)
            y = n.quantize(n.b.add(Add, "add", h.name, y.name, multipliers=np.ones((2, 1), np.int64)))
    return n.finish(n.dense(n.mean(y), 10))


def test_resnet_50() -> None:
    lowered, net = prepare(resnet_50())
    found: dict[str, float] = {}
    for b in skip_buffers(lowered, net):
        name = net.names[b.layer]
        found[name] = max(found.get(name, 0), b.elements / b.channels)
    ratios = [found[f"AddStreams_hls_{k}"] / (2 * d / c) for k, (d, c) in enumerate(zip(FOUND, CHANNELS, strict=True))]
    # The stem writes in bursts, and FINN lets the first block's short way take all of them: 749 pixels, 13 rows.
    assert ratios[0] < 0.1
    strided = {3, 7, 13}  # the short way, a convolution with stride, is not as fast as it could be
    assert all(1.0 <= ratios[k] <= 1.013 for k in range(1, 16) if k not in strided), ratios
    assert all(1.57 <= ratios[k] <= 1.63 for k in strided), ratios


def _some(net: Network, dice: random.Random) -> dict[str, Folding]:
    """Random legal foldings."""
    chosen: dict[str, Folding] = {}
    for unit in net.units():
        option = dice.choice(folding_options([net.layers[k] for k in unit]))
        chosen |= {net.names[k]: f for k, f in zip(unit, option.foldings, strict=True)}
    return chosen


@pytest.mark.parametrize("name", ["inverted_residuals", "residual_of_accumulator", "two_inputs", "residuals"])
def test_no_fifo_holds_more(name: str) -> None:
    """Whatever the folding; a word of the writer and one of the reader more, for they need not be of one size."""
    lowered, net = prepare(_residuals() if name == "residuals" else NETS[name]())
    buffers, dice, closest, compared = skip_buffers(lowered, net), random.Random(name), 0.0, 0
    for _ in range(12):
        foldings = _some(net, dice)
        streams = Streams(lowered, net, foldings)
        for b in buffers:
            if streams.times[b.layer] is None:
                continue
            layer = net.layers[b.layer]
            held, name_ = streams.held(b.layer, b.operand), net.names[b.layer]
            word = net.layers[layer.inputs[b.operand]].out_width(foldings[net.names[layer.inputs[b.operand]]])
            assert held <= b.most + word + layer.in_width(foldings[name_]), (name_, b, held)
            closest, compared = max(closest, held / b.most), compared + 1
    assert compared >= 12 and closest > 0.4, "the bound is far from what is held"


def _residuals() -> Graph:
    n = Net("residuals", (12, 12, 4), 4, seed=3)
    y = n.quantize(n.conv(n.x, 8))
    for _ in range(2):
        h = n.quantize(n.conv(n.quantize(n.conv(n.quantize(n.conv(y, 4, 1)), 4, 3)), 8, 1), signed=True)
        y = n.quantize(n.b.add(Add, "add", h.name, y.name, multipliers=np.ones((2, 1), np.int64)))
    return n.finish(n.dense(n.mean(y), 3))


def test_memories_of_a_fifo() -> None:
    """By FINN's StreamingFIFO and get_fifo_split_configs; impl_style vivado in ram_style block."""
    assert fifo(2, 64) == Resources()
    assert fifo(33, 8) == Resources(lut=12 + 2 * 4)
    assert fifo(256, 9) == Resources(lut=16 + 8 * 5)
    assert fifo(512, 32) == Resources(lut=18, bram18=1)
    assert fifo(1024, 32) == Resources(lut=20, bram18=2)
    # 1024, 256 and 220 words; 32768, 4096, 2048, 1024 and 64
    assert fifo(1500, 8) == Resources(lut=20 + 16 + 8 * 4 + 16 + 7 * 4, bram18=1)
    assert fifo(40000, 2) == Resources(lut=30 + 24 + 22 + 20 + 12 + 2, bram18=4 + 1 + 1 + 1)


def test_words_follow_the_folding() -> None:
    lowered, net = prepare(_residuals())
    (buffer, _) = skip_buffers(lowered, net)
    assert buffer == Buffer(buffer.layer, 1, 8, 8 * 16, buffer.most) and net.layers[buffer.layer].op == "AddStreams_hls"
    bits = net.layers[net.layers[buffer.layer].inputs[1]].y.bits
    for pe in (1, 2, 8):
        assert words(buffer, net, Folding(pe)) == (-(-buffer.elements // pe), -(-buffer.most // pe), pe * bits)


def test_estimate_and_search_count_them() -> None:
    backend, board, graph = FinnBackend(), load_board("zcu104"), _residuals()
    figures = backend.estimate(graph, backend.options({"fps": 20000}), board)
    assert list(figures["skip_buffers"]) == ["AddStreams_hls_0.1", "AddStreams_hls_1.1"]
    found = explore(graph, board, "finn", {}, Goal("fps", fps=20000))
    assert found.estimate is not None
    lowered, net = prepare(graph, board=board)
    options = backend.options(found.config)
    least = most = 0
    for buffer in skip_buffers(lowered, net):
        pe = options.layers[net.names[buffer.layer]].PE
        assert pe is not None
        depth, deepest, width = words(buffer, net, Folding(pe))
        least, most = least + fifo(depth, width).lut, most + fifo(deepest, width).lut
    known = [e.usage.lut for e in found.estimate.layers if e.usage is not None and e.usage.lut is not None]
    lut = found.estimate.usage.lut
    assert lut is not None and 0 < least < most
    assert (lut.low, lut.high) == (sum(s.low for s in known) + least, sum(s.high for s in known) + most)
