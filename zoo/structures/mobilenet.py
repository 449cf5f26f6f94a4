# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""MobileNetV1 (arXiv:1704.04861), MobileNetV2, SSDLite and reduced DeepLabv3 on it (arXiv:1801.04381), width 1.0."""

from __future__ import annotations

import onnx

from bitwright.zoo.structures.net import Net

#: Output channels and stride of each block of V1, table 1.
V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
#: (expansion, channels, repeats, stride) of V2, table 2.
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
#: SSDLite: channels of the extra maps, anchors at each position of the six, and the block of V2 whose expansion is
#: the first map (section 6.2 and the released TensorFlow models).
EXTRAS, ANCHORS, TAP = (512, 256, 256, 128), (3, 6, 6, 6, 6, 6), 13


def mobilenet_v1(quantized: bool = True, size: int = 224) -> onnx.ModelProto:
    """MobileNetV1 (4.2 million weights), input (1, 3, size, size), 1000 classes."""
    net = Net("mobilenet_v1", [1, 3, size, size], quantized)
    x = net.conv(net.activation("x", 0.0157, 1), 3, 32, 3, 2)
    c = 32
    for out, stride in V1:
        x = net.conv(net.depthwise(x, c, stride), c, out)
        c = out
    return _classify(net, x, c)


def mobilenet_v2(quantized: bool = True, size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 (3.5 million weights), input (1, 3, size, size), 1000 classes."""
    net = Net("mobilenet_v2", [1, 3, size, size], quantized)
    x, _ = _features(net)
    return _classify(net, x, 1280)


def mobilenet_v2_ssdlite(size: int = 320, classes: int = 80) -> onnx.ModelProto:
    """SSDLite on MobileNetV2: class logits (background first) and box codes of six maps, (1, anchors * n, h, w)."""
    net = Net("mobilenet_v2_ssdlite", [1, 3, size, size])
    top, tap = _features(net)
    maps, channels = [tap, top], [96 * 6, 1280]
    for out in EXTRAS:
        y = net.conv(maps[-1], channels[-1], out // 2)
        maps.append(net.conv(net.depthwise(y, out // 2, 2), out // 2, out))
        channels.append(out)
    sides = [size // 16]
    while len(sides) < len(maps):
        sides.append(-(-sides[-1] // 2))
    outputs = {}
    for k, (x, c, anchors, side) in enumerate(zip(maps, channels, ANCHORS, sides, strict=True)):
        for kind, values in (("classes", classes + 1), ("boxes", 4)):
            name = f"{kind}_{k}"
            net.last(net.depthwise(x, c), c, anchors * values, 0.0, 0.0313, name)
            outputs[name] = [1, anchors * values, side, side]
    return net.model(outputs)


def mobilenet_v2_deeplabv3(size: int = 513, classes: int = 21) -> onnx.ModelProto:
    """DeepLabv3 without its pyramid (section 6.3; 2.1 million weights): the label of every pixel, (1, size, size).

    Args:
        size: 16 n + 1; the corners are aligned.
    """
    net = Net("mobilenet_v2_deeplabv3", [1, 3, size, size])
    side = size // 16 + 1
    x, _ = _features(net, output_stride=16, last=False)
    pooled = net.activation(net.op("AveragePool", x, kernel_shape=[side, side]), 0.0271, 1)
    image = net.conv(pooled, 320, 256, act="relu")
    image = net.op("Resize", image, "", net.const([1, 1, side, side]), mode="nearest", nearest_mode="floor",
                   coordinate_transformation_mode="asymmetric")  # fmt: skip
    y = net.op("Concat", image, net.conv(x, 320, 256, act="relu"), axis=1)
    y = net.conv(y, 512, 256, act="relu")
    logits = net.op("Conv", y, net.weight((classes, 256, 1, 1), 256), net.const(net.rng.normal(0, 0.2, classes)),
                    kernel_shape=[1, 1])  # fmt: skip
    logits = net.activation(logits, 0.0417, 1)
    sizes = net.integers(1, classes, size, size)
    up = net.op("Resize", logits, "", "", sizes, mode="linear", coordinate_transformation_mode="align_corners")
    model = net.model({net.op("ArgMax", up, axis=1, keepdims=0): [1, size, size]})
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return model


def _features(net: Net, output_stride: int = 32, last: bool = True) -> tuple[str, str]:
    """V2 up to its ``last`` 1x1 convolution or before it, and the map that SSDLite takes from the middle.

    Strides beyond the output stride become dilations.
    """
    x = net.activation("x", 0.0157, 1)
    x = net.conv(x, 3, 32, 3, 2)
    c, blocks, tap, total, dilation = 32, 0, "", 2, 1
    for expand, out, repeats, first_stride in V2:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            spread = dilation
            if stride == 2 and total == output_stride:
                stride, dilation = 1, 2 * dilation
            total *= stride
            y, wide = x, c * expand
            if expand > 1:
                y = net.conv(y, c, wide)
            if blocks == TAP:
                tap = y
            y = net.conv(net.depthwise(y, wide, stride, dilation=spread), wide, out, act="signed")
            x = net.activation(net.op("Add", x, y), 0.0313, 1) if stride == 1 and c == out else y
            c, blocks = out, blocks + 1
    return (net.conv(x, c, 1280) if last else x), tap


def _classify(net: Net, x: str, c: int) -> onnx.ModelProto:
    x = net.activation(net.op("GlobalAveragePool", x), 0.0157, 0)
    x = net.op("Flatten", x)
    y = net.op("Gemm", x, net.weight((1000, c), c), net.const(net.rng.normal(size=1000)), transB=1)
    return net.model({net.activation(y, 0.0417, 1): [1, 1000]})
