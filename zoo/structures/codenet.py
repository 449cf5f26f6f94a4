# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""CoDeNet (arXiv:2006.08357), configurations a to e: ShuffleNetV2 backbone, three deformable up-stages, heads.

Layer shapes are those of the published code. As published, the stem has 8-bit weights and all else 4-bit; the 1x1
convolution that makes the offsets has 8-bit weights and one scale, as our training makes it. Offsets are square,
bounded to 0..7 and rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from bitwright.zoo.structures.net import UNSIGNED, Net

#: Units of each stage that keep the size, behind the one that halves it.
REPEATS = (3, 7, 3)
UP_CHANNELS, HEAD_CHANNELS = (256, 128, 64), 64
#: Step of signed activations.
SIGNED = 0.035
#: Logit of the heat map where nothing is known.
HEATMAP_BIAS = -2.19
#: Where the taps of a 3x3 window lie, (dy, dx) in turn.
SQUARE = np.array([v for i in (-1, 0, 1) for j in (-1, 0, 1) for v in (i, j)]).reshape(1, 18, 1, 1)


@dataclass(frozen=True)
class Configuration:
    """One of the published five.

    Attributes:
        size: side of the input. channels: of stem, stages and last 1x1 convolution.
        pooled: the stem has stride 2 and a 3x3 maximum of stride 2 behind it, else stride 4.
        offsets: for each up-stage (bias, gain) of the convolution that makes the offsets, so that on random images
            they spread over 0..7: random weights on random channels have any mean otherwise.
    """

    size: int
    channels: tuple[int, int, int, int, int]
    pooled: bool
    offsets: tuple[tuple[float, float], ...]


_1X, _2X = (24, 116, 232, 464, 1024), (24, 244, 488, 976, 2153)
CONFIGURATIONS = {
    "a": Configuration(256, _1X, False, ((-1.6, 2.05), (7.4, 3.08), (1.9, 1.51))),
    "b": Configuration(256, _1X, True, ((-1.7, 2.03), (6.9, 2.79), (1.8, 1.41))),
    "c": Configuration(512, _1X, False, ((-2.0, 2.06), (7.5, 2.61), (0.7, 1.67))),
    "d": Configuration(512, _2X, False, ((8.2, 2.51), (3.4, 2.03), (-2.3, 2.31))),
    "e": Configuration(512, _2X, True, ((8.0, 2.53), (3.3, 2.22), (-2.2, 2.23))),
}


class _CoDeNet(Net):
    #: Chains of three convolutions without sums in between: a little more than half of what a ReLU gets is positive.
    beta = 0.25

    def near(self, scale: float) -> float:
        """A step that no other layer has."""
        return float(scale * self.rng.uniform(0.85, 1.15))

    def pointwise(self, x: str, c: int, o: int, scale: float = 0.0) -> str:
        return self.conv(x, c, o, act="relu", scale=scale or self.near(UNSIGNED))

    def window(self, x: str, c: int, stride: int = 1) -> str:
        return self.depthwise(x, c, stride, act="signed", scale=self.near(SIGNED))

    def shuffle(self, parts: tuple[str, str], half: int, side: int) -> str:
        """Concatenate the halves and interleave their channels."""
        x = self.op("Concat", *parts, axis=1)
        x = self.op("Reshape", x, self.integers(1, 2, half, side, side))
        x = self.op("Transpose", x, perm=[0, 2, 1, 3, 4])
        return self.op("Reshape", x, self.integers(1, 2 * half, side, side))

    def part(self, x: str, start: int, stop: int) -> str:
        """Some of the channels."""
        return self.op("Slice", x, *(self.integers(v) for v in (start, stop, 1, 1)))

    def stage(self, x: str, c: int, o: int, repeats: int, side: int) -> str:
        """Units of ShuffleNetV2; ``side`` is that of the output. One scale for all that is concatenated."""
        half, joined = o // 2, self.near(UNSIGNED)
        left = self.pointwise(self.window(x, c, 2), c, half, joined)
        right = self.window(self.pointwise(x, c, half), half, 2)
        x = self.shuffle((left, self.pointwise(right, half, half, joined)), half, side)
        for _ in range(repeats):
            kept, right = self.part(x, 0, half), self.part(x, half, o)
            right = self.window(self.pointwise(right, half, half), half)
            x = self.shuffle((kept, self.pointwise(right, half, half, joined)), half, side)
        return x

    def offsets(self, x: str, c: int, bias: float, gain: float) -> str:
        """(1, 18, H, W): a whole number 0..7 for each position, times the square pattern."""
        w = self.rng.normal(scale=c**-0.5, size=(1, c, 1, 1)) * gain
        weight = self.quant(self.const(w), np.abs(w).max() / 127, 1, 8)
        d = self.quant(self.op("Conv", x, weight, self.const([bias]), kernel_shape=[1, 1]), 1.0, 0, 3)
        return self.op("Mul", d, self.const(SQUARE))

    def up(self, x: str, c: int, o: int, bias: float, gain: float) -> str:
        """Deformable depthwise 3x3, 1x1, nearest upsampling by 2."""
        offsets = self.offsets(x, c, bias, gain)
        y = self.op("DeformConv", x, self.weight((c, 1, 3, 3), 9), offsets, kernel_shape=[3, 3], pads=[1] * 4, group=c)
        y = self.activation(self.norm(y, c), self.near(SIGNED), 1)
        y = self.pointwise(y, c, o)
        return self.op(
            "Resize", y, "", self.const([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def head(self, x: str, c: int, o: int, bias: float, out: str) -> None:
        y = self.pointwise(x, c, HEAD_CHANNELS)
        y = self.depthwise(y, HEAD_CHANNELS, act="relu", scale=self.near(UNSIGNED))
        self.last(y, HEAD_CHANNELS, o, bias, self.near(SIGNED), out)


def codenet(configuration: str, classes: int = 20, size: int = 0) -> onnx.ModelProto:
    """Heat map (1, classes, H / 4, W / 4), sizes and centres (1, 2, H / 4, W / 4) of an input (1, 3, size, size).

    Args:
        configuration: 'a' to 'e'. size: a multiple of 32, 0 for the published one.
    """
    chosen = CONFIGURATIONS[configuration]
    size, channels = size or chosen.size, chosen.channels
    net = _CoDeNet(f"codenet_{configuration}", [1, 3, size, size])
    x = net.activation("x", 0.0157, 1)
    x = net.conv(x, 3, channels[0], 3, 2 if chosen.pooled else 4, act="relu", scale=net.near(UNSIGNED), bits=8)
    if chosen.pooled:
        x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    side, c = size // 4, channels[0]
    for o, repeats in zip(channels[1:4], REPEATS, strict=True):
        side //= 2
        x, c = net.stage(x, c, o, repeats, side), o
    x, c = net.pointwise(x, c, channels[4]), channels[4]
    for o, (bias, gain) in zip(UP_CHANNELS, chosen.offsets, strict=True):
        x, c = net.up(x, c, o, bias, gain), o
    outputs = {"heatmap": classes, "sizes": 2, "centres": 2}
    for name, o in outputs.items():
        net.head(x, c, o, HEATMAP_BIAS if name == "heatmap" else 0.0, name)
    return net.model({name: [1, o, size // 4, size // 4] for name, o in outputs.items()}, opset=19)
