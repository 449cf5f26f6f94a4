# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Networks to benchmark with, as QONNX files: random weights from a fixed seed, 4-bit weights, 8-bit activations.

The classifiers and the autoencoder come with their float twins (``quantized=False``): the same operators on the
dequantized weights, without activation quantizers. The detectors have none: their offsets are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from bitwright.zoo.structures.autoencoder import autoencoder
from bitwright.zoo.structures.codenet import CONFIGURATIONS, codenet
from bitwright.zoo.structures.mobilenet import mobilenet_v1, mobilenet_v2, mobilenet_v2_deeplabv3, mobilenet_v2_ssdlite

__all__ = [
    "NETS", "autoencoder", "codenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v2_deeplabv3", "mobilenet_v2_ssdlite",
]  # fmt: skip

#: Name, with the side of the input, -> what makes the model.
NETS: dict[str, Callable[..., onnx.ModelProto]] = {
    "mobilenet_v2_224": mobilenet_v2,
    "autoencoder_640": autoencoder,
    "mobilenet_v1_224": mobilenet_v1,
    "mobilenet_v2_ssdlite_320": mobilenet_v2_ssdlite,
    "mobilenet_v2_deeplabv3_513": mobilenet_v2_deeplabv3,
    **{f"codenet_{k}_{c.size}": partial(codenet, k) for k, c in CONFIGURATIONS.items()},
}
