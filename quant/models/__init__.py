# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Models. Each module holds one and says how large its input is; `build` chooses by the recipe."""

from __future__ import annotations

from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.dense_autoencoder import DenseAutoencoder
from bitwright.quant.models.separable_classifier import SeparableClassifier
from bitwright.quant.recipe import Recipe, SeparableClassifierModel

#: Shape of one digit as the model sees it, without the batch axis.
IMAGE = (1, 8, 8)


def build(recipe: Recipe, layers: Layers) -> nn.Module:
    """The network of a recipe, in the form that ``layers`` makes."""
    if isinstance(recipe.model, SeparableClassifierModel):
        return SeparableClassifier(recipe.model, layers, IMAGE)
    return DenseAutoencoder(recipe.model, layers, IMAGE[0] * IMAGE[1] * IMAGE[2])


def input_shape(recipe: Recipe) -> tuple[int, ...]:
    """Shape of one sample at the model input, without the batch axis."""
    if isinstance(recipe.model, SeparableClassifierModel):
        return IMAGE
    return (IMAGE[0] * IMAGE[1] * IMAGE[2],)
