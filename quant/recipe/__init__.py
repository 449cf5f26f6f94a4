# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Training recipes: TOML files with a strict schema (docs/train.md). Needs no torch."""

from bitwright.quant.recipe.base import RecipeError
from bitwright.quant.recipe.models import (
    AdaptiveModel,
    CoDeNetModel,
    ConvAutoencoderModel,
    DeepLabModel,
    Deformable,
    DenseAutoencoderModel,
    MobileNetModel,
    MobileNetV3Model,
    SeparableClassifierModel,
    SsdLiteModel,
)
from bitwright.quant.recipe.read import load_recipe, parse_recipe
from bitwright.quant.recipe.recipe import (
    EXPORTERS,
    Augmentation,
    Distillation,
    Exporter,
    LayerBits,
    Phase,
    Quantization,
    Recipe,
)
from bitwright.quant.recipe.tasks import (
    Classification,
    Detection,
    DigitsAnomaly,
    DigitsClassification,
    DigitVideos,
    OneClass,
    Reconstruction,
    Segmentation,
)

__all__ = [
    "EXPORTERS",
    "AdaptiveModel",
    "Augmentation",
    "Classification",
    "CoDeNetModel",
    "ConvAutoencoderModel",
    "DeepLabModel",
    "Deformable",
    "DenseAutoencoderModel",
    "Detection",
    "DigitVideos",
    "DigitsAnomaly",
    "DigitsClassification",
    "Distillation",
    "Exporter",
    "LayerBits",
    "MobileNetModel",
    "MobileNetV3Model",
    "OneClass",
    "Phase",
    "Quantization",
    "Recipe",
    "RecipeError",
    "Reconstruction",
    "Segmentation",
    "SeparableClassifierModel",
    "SsdLiteModel",
    "load_recipe",
    "parse_recipe",
]
