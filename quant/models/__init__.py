# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Models, one to a module. `build` chooses by the recipe."""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import FloatLayers, Layers
from bitwright.quant.models.adaptive import AdaptiveClassifier
from bitwright.quant.models.codenet import CoDeNet, default_resolution
from bitwright.quant.models.conv_autoencoder import ConvAutoencoder
from bitwright.quant.models.deeplab import DeepLab
from bitwright.quant.models.dense_autoencoder import DenseAutoencoder
from bitwright.quant.models.mobilenet import MobileNet
from bitwright.quant.models.mobilenet_v3 import MobileNetV3
from bitwright.quant.models.separable_classifier import SeparableClassifier
from bitwright.quant.models.ssdlite import SsdLite
from bitwright.quant.recipe import (
    AdaptiveModel,
    CoDeNetModel,
    ConvAutoencoderModel,
    DeepLabModel,
    MobileNetModel,
    MobileNetV3Model,
    Recipe,
    SeparableClassifierModel,
    SsdLiteModel,
)

#: Shape of one digit, without the batch axis.
_DIGIT = (1, 8, 8)


def build(recipe: Recipe, layers: Layers) -> nn.Module:
    """The network of a recipe, in the form that ``layers`` makes."""
    config = recipe.model
    if isinstance(config, SeparableClassifierModel):
        return SeparableClassifier(config, layers, _DIGIT)
    if isinstance(config, CoDeNetModel):
        return CoDeNet(config, layers)
    if isinstance(config, MobileNetModel):
        return MobileNet(config, layers)
    if isinstance(config, MobileNetV3Model):
        return MobileNetV3(config, layers)
    if isinstance(config, AdaptiveModel):
        return AdaptiveClassifier(config, layers)
    if isinstance(config, SsdLiteModel):
        return SsdLite(config, layers)
    if isinstance(config, DeepLabModel):
        return DeepLab(config, layers)
    if isinstance(config, ConvAutoencoderModel):
        return ConvAutoencoder(config, layers)
    return DenseAutoencoder(config, layers, config.inputs)


def input_shape(recipe: Recipe) -> tuple[int, ...]:
    """Shape of one sample at the model input, without the batch axis."""
    config = recipe.model
    if isinstance(config, SeparableClassifierModel):
        return _DIGIT
    if isinstance(config, CoDeNetModel):
        side = config.resolution or default_resolution(config.configuration)
        return (3, side, side)
    if isinstance(config, AdaptiveModel):
        side = max(config.resolutions)
        return (3, side, side)
    if isinstance(config, (MobileNetModel, MobileNetV3Model, SsdLiteModel, DeepLabModel)):
        return (3, config.resolution, config.resolution)
    if isinstance(config, ConvAutoencoderModel):
        return (config.channels, config.resolution, config.resolution)
    return (config.inputs,)


def layer_names(recipe: Recipe) -> list[str]:
    """Names of the layers in the order in which the model asks for them; of what is not a layer's own, ''."""
    layers = FloatLayers()
    with torch.device("meta"):
        model = build(recipe, layers)
    names = {id(module): name for name, module in model.named_modules()}
    return [names.get(id(layer), "") for layer in layers.created]
