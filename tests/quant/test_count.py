# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Multiply-accumulates and parameters of the networks against tables in print."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from torch import nn  # noqa: E402

from bitwright.quant.count import count  # noqa: E402
from bitwright.quant.deform import DeformConv2d, DeformSettings  # noqa: E402
from bitwright.quant.published import count_model, count_published  # noqa: E402

#: Configuration, classes, MACs and kernel weights of CoDeNet, from the layers of its released code.
CODENET = [
    ("a", 20, 279_844_352, 1_570_160),
    ("a", 80, 295_572_992, 1_574_000),
    ("b", 20, 287_806_976, 1_570_160),
    ("b", 80, 303_535_616, 1_574_000),
    ("c", 20, 1_119_377_408, 1_570_160),
    ("c", 80, 1_182_291_968, 1_574_000),
    ("d", 20, 3_507_274_240, 6_046_810),
    ("d", 80, 3_570_188_800, 6_050_650),
    ("e", 20, 3_539_124_736, 6_046_810),
    ("e", 80, 3_602_039_296, 6_050_650),
]
LAYERS, FIRST_WEIGHTS = 74, 648

#: Network -> parameters, MACs, MACs as TensorFlow computes them: counts of this repository, to the digit.
COUNTED = {
    "MobileNetV1": (4_231_976, 568_740_352, 568_740_352),
    "MobileNetV2": (3_504_872, 300_774_272, 300_774_272),
    "MobileNetV3 small": (2_542_856, 56_510_400, 56_510_400),
    "MobileNetV3 large": (5_483_032, 216_589_760, 216_589_760),
    "MobileNetV1 + SSDLite": (5_100_661, 1_309_162_944, 1_309_162_944),
    "MobileNetV2 + SSDLite": (4_337_013, 788_830_144, 788_830_144),
    "MobileNetV1 + DeepLabv3": (11_145_301, 12_760_886_976, 14_226_627_264),
    "MobileNetV2 + DeepLabv3 (reduced)": (2_113_557, 2_740_709_056, 2_742_445_696),
}
#: The same networks as printed: parameters in millions, MACs in billions (arXiv:1801.04381, tables 4, 6 and 7;
#: MobileNetV3: torchvision's metadata, which have the parameters to the digit).
PRINTED = {
    "MobileNetV1": ("4.2", "0.575"),
    "MobileNetV2": ("3.4", "0.300"),
    "MobileNetV3 small": ("2.54", "0.057"),
    "MobileNetV3 large": ("5.48", "0.217"),
    "MobileNetV1 + SSDLite": ("5.1", "1.3"),
    "MobileNetV2 + SSDLite": ("4.3", "0.8"),
    "MobileNetV1 + DeepLabv3": ("11.15", "14.25"),
    "MobileNetV2 + DeepLabv3 (reduced)": ("2.11", "2.75"),
}
#: Where print and count differ in the last printed place, and by how much of the printed value. MobileNetV1 has 569 M
#: MACs in its own paper (arXiv:1704.04861), and the released MobileNetV2 has 3.5 M parameters.
GAPS = {
    ("MobileNetV1", "macs"): -0.0109,
    ("MobileNetV2", "parameters"): 0.0308,
    ("MobileNetV2", "macs"): 0.0026,
    ("MobileNetV1 + DeepLabv3", "macs"): -0.0016,
    ("MobileNetV2 + DeepLabv3 (reduced)", "macs"): -0.0027,
}


@pytest.mark.parametrize(("configuration", "classes", "macs", "weights"), CODENET)
def test_codenet(configuration: str, classes: int, macs: int, weights: int) -> None:
    layers = count_model({"name": "codenet", "configuration": configuration, "classes": classes})
    kernels = [layer for layer in layers if layer.weights]
    assert len(kernels) == LAYERS and kernels[0].weights == FIRST_WEIGHTS
    assert sum(layer.macs for layer in layers) == macs
    assert sum(layer.weights for layer in layers) == weights


@pytest.mark.parametrize(("configuration", "kilobytes"), [("a", "767.0"), ("d", "2952.9")])
def test_codenet_size_at_four_bits(configuration: str, kilobytes: str) -> None:
    """Weights of 4 bits, the first layer's of 8."""
    layers = count_model({"name": "codenet", "configuration": configuration, "classes": 20})
    weights = sum(layer.weights for layer in layers)
    assert f"{(weights + FIRST_WEIGHTS) / 2 / 1024:.1f}" == kilobytes


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    return {row["network"]: row for row in count_published()}


def test_counts_of_the_published_networks(rows: dict[str, dict[str, Any]]) -> None:
    counted = {n: (r["parameters"], r["macs"], r["macs_in_blocks"]) for n, r in rows.items() if n in COUNTED}
    assert counted == COUNTED
    for configuration, classes, macs, weights in CODENET:
        if classes == 20:
            row = rows[f"CoDeNet {configuration}"]
            assert (row["macs"], row["parameters"]) == (macs, weights)


@pytest.mark.parametrize("network", PRINTED)
def test_counts_are_those_in_print(rows: dict[str, dict[str, Any]], network: str) -> None:
    row = rows[network]
    for column, unit, text in zip(("parameters", "macs"), (10**6, 10**9), PRINTED[network], strict=True):
        assert row[f"published_{column}"] == float(text)
        found = Decimal(row["macs_in_blocks" if column == "macs" else column]) / unit
        if (network, column) in GAPS:
            assert round(float(found / Decimal(text) - 1), 4) == GAPS[network, column]
        else:
            assert found.quantize(Decimal(text)) == Decimal(text)


class _Parts(nn.Module):
    """One layer of every kind that is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.bn = nn.BatchNorm2d(8)
        self.atrous = nn.Conv2d(8, 8, 3, 1, 4, groups=8, dilation=4, bias=False)
        self.offsets = nn.Conv2d(8, 18, 1, bias=False)
        self.deform = DeformConv2d(8, 8, 3, DeformSettings())
        self.up = nn.ConvTranspose2d(8, 4, 2, 2, bias=False)
        self.linear = nn.Linear(4, 10)

    def forward(self, x: Any) -> Any:
        x = self.atrous(self.bn(self.conv(x)))
        return self.linear(self.up(self.deform(x, self.offsets(x))).mean((2, 3)))


def test_count_of_each_kind_of_layer() -> None:
    size, half = (10, 13), (5, 7)
    found = {layer.name: layer for layer in count(_Parts(), (3, *size))}
    assert list(found) == ["conv", "bn", "atrous", "offsets", "deform", "up", "linear"]
    pixels = half[0] * half[1]
    want = {
        "conv": (pixels * 8 * 3 * 9, 8 * 3 * 9, 8),
        "bn": (0, 0, 16),
        "atrous": (pixels * 8 * 9, 8 * 9, 0),
        "offsets": (pixels * 18 * 8, 18 * 8, 0),
        "deform": (pixels * 8 * 9, 8 * 9, 0),
        "up": (pixels * 8 * 4 * 4, 8 * 4 * 4, 0),
        "linear": (4 * 10, 4 * 10, 10),
    }
    assert {n: (c.macs, c.weights, c.others) for n, c in found.items()} == want
    # Space to batch: the map with its border, filled up to a multiple of 4, cut into 4 interleaved parts per axis.
    outputs = 1
    for length in half:
        filled = -(-(length + 2 * 4) // 4) * 4
        outputs *= sum(len(range(first, filled, 4)) - 2 for first in range(4))
    assert found["atrous"].macs_in_blocks == outputs * 8 * 9 > found["atrous"].macs
    assert all(c.macs_in_blocks == c.macs for n, c in found.items() if n != "atrous")
    with torch.device("meta"):
        assert count(_Parts(), (3, *size)) == list(found.values())
