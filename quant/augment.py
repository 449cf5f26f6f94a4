# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Random changes to batches of images, every choice from a generator."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from bitwright.quant.recipe import Augmentation


def warp(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rotation, shift, scale, flip, colour and noise of (N, C, H, W) images: (input with noise, clean
    target).
    """
    clean = images
    count, _, height, width = images.shape
    if settings.rotate_degrees or settings.shift_pixels or settings.scale:
        uniform = torch.rand(4, count, generator=generator) * 2 - 1
        angle = uniform[0] * settings.rotate_degrees * math.pi / 180
        factor = 1 + uniform[1] * settings.scale
        dx, dy = uniform[2] * settings.shift_pixels * 2 / width, uniform[3] * settings.shift_pixels * 2 / height
        cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
        theta = torch.stack((torch.stack((cos, -sin, dx), 1), torch.stack((sin, cos, dy), 1)), 1)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        clean = functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    for wanted, axis in ((settings.flip, 3), (settings.flip_vertical, 2)):
        if wanted:
            turned = torch.rand(count, generator=generator) < 0.5
            clean = torch.where(turned[:, None, None, None], clean.flip(axis), clean)
    clean = recolour(clean, settings.colour, generator)
    noisy = clean
    if settings.noise:
        noisy = (clean + settings.noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    return noisy, clean


def recolour(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Random brightness, contrast and saturation of images (N, C, H, W) in 0 to 1, each by up to ``amount``."""
    if not amount:
        return images
    factors = 1 + amount * (torch.rand(3, len(images), 1, 1, 1, generator=generator) * 2 - 1)
    images = images * factors[0]
    middle = images.mean((1, 2, 3), keepdim=True)
    images = (images - middle) * factors[1] + middle
    grey = images.mean(1, keepdim=True)
    return ((images - grey) * factors[2] + grey).clamp(0, 1)
