# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Parameters and MACs of the published networks, counted on this repository's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bitwright.quant.count import LayerCount, count
from bitwright.quant.layers import FloatLayers
from bitwright.quant.models import build, input_shape
from bitwright.quant.recipe import parse_recipe


@dataclass(frozen=True)
class Published:
    """One row of a published table: the network as a [model] table, parameters (millions) and MACs (billions)."""

    title: str
    model: dict[str, Any]
    parameters: float
    macs: float


#: arXiv:1801.04381, tables 4, 6 and 7; MobileNetV3 as torchvision documents it; CoDeNet's configurations after its
#: released code, kernel weights only.
PUBLISHED = (
    Published("MobileNetV1", {"name": "mobilenet", "version": 1}, 4.2, 0.575),
    Published("MobileNetV2", {"name": "mobilenet", "version": 2}, 3.4, 0.300),
    Published("MobileNetV3 small", {"name": "mobilenet_v3", "size": "small"}, 2.54, 0.057),
    Published("MobileNetV3 large", {"name": "mobilenet_v3", "size": "large"}, 5.48, 0.217),
    Published("MobileNetV1 + SSDLite", {"name": "ssdlite", "version": 1, "classes": 80}, 5.1, 1.3),
    Published("MobileNetV2 + SSDLite", {"name": "ssdlite", "version": 2, "classes": 80}, 4.3, 0.8),
    Published(
        "MobileNetV1 + DeepLabv3", {"name": "deeplab", "version": 1, "classes": 21, "pyramid": True}, 11.15, 14.25
    ),
    Published("MobileNetV2 + DeepLabv3 (reduced)", {"name": "deeplab", "version": 2, "classes": 21}, 2.11, 2.75),
    *(
        Published(f"CoDeNet {c}", {"name": "codenet", "configuration": c, "classes": 20}, parameters, macs)
        for c, parameters, macs in (
            ("a", 1.570, 0.29), ("b", 1.570, 0.29), ("c", 1.570, 1.14), ("d", 6.047, 3.54), ("e", 6.047, 3.58)
        )
    ),
)  # fmt: skip


def count_model(model: dict[str, Any]) -> list[LayerCount]:
    """Count a [model] table without computing anything."""
    phase = {"epochs": 1}
    task = {"name": "detection", "format": "voc"}  # counts nothing
    recipe = parse_recipe(
        {"name": "count", "seed": 0, "task": task, "model": model, "float_training": phase, "qat": phase}, "count"
    )
    with torch.device("meta"):
        return count(build(recipe, FloatLayers()), input_shape(recipe))


def count_published() -> list[dict[str, Any]]:
    """One row for each published network: what is counted here and what is in print."""
    rows = []
    for row in PUBLISHED:
        layers = count_model(row.model)
        weights = sum(layer.weights for layer in layers)
        kernels_only = row.model["name"] == "codenet"
        rows.append(
            {
                "network": row.title,
                "parameters": weights if kernels_only else weights + sum(layer.others for layer in layers),
                "published_parameters": row.parameters,
                "macs": sum(layer.macs for layer in layers),
                "macs_in_blocks": sum(layer.macs_in_blocks for layer in layers),
                "published_macs": row.macs,
            }
        )
    return rows
