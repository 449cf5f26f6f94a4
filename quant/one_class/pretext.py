# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The first stage of two-stage one-class detection: pretext tasks made from batches of normal images.

Rotation, and contrastive learning with distribution augmentation: K. Sohn et al., "Learning and Evaluating
Representations for Deep One-class Classification", arXiv:2011.02578. CutPaste: C.-L. Li et al., arXiv:2104.04015.

Images are float32 (N, C, H, W) in 0 to 1 and stay in this range; nothing is changed in place. Every random choice comes
from ``generator``: the same state gives the same batch. What draws takes images and generator on the CPU.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from bitwright.quant.augment import recolour

#: Side of the images whose scars are given in pixels in the CutPaste paper.
_SCAR_IMAGE_SIDE = 256
#: Smallest side of an image that a patch is cut from.
_MIN_SIDE = 8


def labelled(*groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Batches one after another, with the number of each batch as its label: images, int64 labels."""
    labels = [torch.full((len(group),), k, dtype=torch.int64, device=group.device) for k, group in enumerate(groups)]
    return torch.cat(groups), torch.cat(labels)


def rotations(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Square images at 0, 90, 180 and 270 degrees counter-clockwise: (4N, C, H, H), int64 labels (4N,) in 0..3.

    First all images at 0 degrees, then all at 90, and so on. Raises ValueError for images that are not square.
    """
    _check(images, 1)
    if images.shape[2] != images.shape[3]:
        raise ValueError(
            f"rotations need square images, got {images.shape[2]} x {images.shape[3]}; crop or resize them"
        )
    return labelled(*(torch.rot90(images, k, (2, 3)) for k in range(4)))


def distribution_augmentation(images: torch.Tensor) -> torch.Tensor:
    """Square images at four rotations, in the order of `rotations`: (4N, C, H, H), to be 4N different instances.

    Make the two views from the result: the contrastive loss then pushes the rotations of an image apart.
    """
    return rotations(images)[0]


def cutpaste(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    area: tuple[float, float] = (0.02, 0.15),
    aspect: tuple[float, float] = (0.3, 3.3),
    jitter: float = 0.1,
) -> torch.Tensor:
    """One rectangle of each image, recoloured, pasted to another place of the same image.

    Args:
        area: share of the image, uniform. After rounding to pixels the rectangle still is within these bounds, unless
            the image is too narrow for the aspect.
        aspect: width over height, uniform on a logarithmic scale.
        jitter: brightness, contrast and saturation change by up to this share each, contrast about the mean of the
            whole image. (The paper's hue jitter is left out.)

    Raises:
        ValueError: a side below 8 pixels, or bounds out of order or range.
    """
    count, _, height, width = _check(images, _MIN_SIDE)
    if not 0 < area[0] <= area[1] < 1 or not 0 < aspect[0] <= aspect[1]:
        raise ValueError(f"bounds must be above 0 and in order, area below 1: got area {area}, aspect {aspect}")
    shares, ratios = _uniform(count, area, generator), _uniform(count, _log(aspect), generator).exp()
    pixels = height * width
    tall = (shares * pixels / ratios).sqrt().round().clamp(1, height)
    wide = (shares * pixels / tall).round()
    wide = wide.clamp((area[0] * pixels / tall).ceil(), (area[1] * pixels / tall).floor()).clamp(1, width)
    tall, wide = tall.long(), wide.long()
    # The place to paste is any but the one cut from, all with the same probability.
    places_across = width - wide + 1
    places = (height - tall + 1) * places_across
    cut = _integers(places, generator)
    paste = (cut + 1 + _integers(places - 1, generator)) % places
    (cut_y, cut_x), (paste_y, paste_x) = (
        (place.div(places_across, rounding_mode="floor"), place % places_across) for place in (cut, paste)
    )
    y, x = _grid(height, width)
    y, x = y - _each(paste_y), x - _each(paste_x)
    inside = (y >= 0) & (y < _each(tall)) & (x >= 0) & (x < _each(wide))
    return _pasted(images, recolour(images, jitter, generator), inside, y + _each(cut_y), x + _each(cut_x))


def cutpaste_scar(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    width: tuple[float, float] = (2, 16),
    length: tuple[float, float] = (10, 25),
    degrees: float = 45,
    jitter: float = 0.1,
) -> torch.Tensor:
    """One long thin rectangle of each image, recoloured and rotated, pasted to another place of the same image.

    Args:
        width, length: across and down, uniform; in pixels of an image with 256 pixels on its shorter side, scaled to
            these images, but at least 1 and 3 pixels.
        degrees: the rotation is uniform between minus and plus this.
        jitter: as for `cutpaste`.

    Pixels are taken by nearest neighbour. Raises ValueError for a side below 8 pixels, or when a scar does not fit.
    """
    count, _, rows, columns = _check(images, _MIN_SIDE)
    scale = min(rows, columns) / _SCAR_IMAGE_SIDE
    wide = (_uniform(count, width, generator) * scale).clamp(min=1)
    tall = (_uniform(count, length, generator) * scale).clamp(min=3)
    angle = _uniform(count, (-degrees, degrees), generator) * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    # Half the sides of the upright box around the rotated rectangle, and around the rectangle as it is cut.
    around = ((tall * cos.abs() + wide * sin.abs()) / 2, (tall * sin.abs() + wide * cos.abs()) / 2)
    paste_y, paste_x = (_middle(half, side, generator) for half, side in zip(around, (rows, columns), strict=True))
    cut_y, cut_x = _middle(tall / 2, rows, generator), _middle(wide / 2, columns, generator)
    # A scar on its own place would change next to nothing: cut it one row nearer to the middle.
    same = (cut_y == paste_y) & (cut_x == paste_x)
    cut_y = torch.where(same, cut_y + torch.where(2 * cut_y < rows - 1, 1, -1), cut_y)
    y, x = _grid(rows, columns)
    y, x = y - _each(paste_y), x - _each(paste_x)
    down, across = y * _each(cos) - x * _each(sin), y * _each(sin) + x * _each(cos)
    inside = (down.abs() <= _each(tall) / 2) & (across.abs() <= _each(wide) / 2)
    source_y, source_x = (down + _each(cut_y)).round().long(), (across + _each(cut_x)).round().long()
    return _pasted(images, recolour(images, jitter, generator), inside, source_y, source_x)


def cutpaste_3way(images: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The images, their `cutpaste` and their `cutpaste_scar`: (3N, C, H, W), int64 labels 0, 1 and 2."""
    return labelled(images, cutpaste(images, generator), cutpaste_scar(images, generator))


def two_views(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    crop: tuple[float, float] = (0.5, 1.0),
    flip: bool = True,
    jitter: float = 0.4,
    grey: float = 0.2,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of each image, drawn independently: two batches (N, C, H, W).

    The defaults are those of the published code for 32 x 32 pixels, without its hue jitter and blur.

    Args:
        crop: share of the area that is cropped, uniform, and resized to the image's size (bilinear). Width over height,
            relative to the image, is uniform in 3/4..4/3 on a logarithmic scale, a side at most the image's.
        flip: left and right change places in half of the images.
        jitter: brightness, contrast and saturation change by up to this share each.
        grey: probability that the channels are replaced by their mean.
    """
    _check(images, 1)
    if not 0 < crop[0] <= crop[1] <= 1:
        raise ValueError(f"crop must be two shares in order, above 0 and at most 1, got {crop}")
    first, second = (_view(images, generator, crop, flip, jitter, grey) for _ in range(2))
    return first, second


def contrastive_loss(za: torch.Tensor, zb: torch.Tensor, temperature: float = 0.2) -> torch.Tensor:
    """NT-Xent, the loss of SimCLR (T. Chen et al., arXiv:2002.05709), on two views of N instances: a scalar.

    With the 2N embeddings z of both views scaled to unit length, and p(i) the other view of the instance of i:

        loss = mean_i -log( exp(z_i z_p(i) / temperature) / sum_{k != i} exp(z_i z_k / temperature) )

    Args:
        za, zb: embeddings (N, D) of the first and of the second view, N >= 2.
    """
    if za.shape != zb.shape or za.ndim != 2 or len(za) < 2:
        raise ValueError(
            f"two views of 2 or more instances (N, D) are needed, got {tuple(za.shape)}, {tuple(zb.shape)}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    count = len(za)
    z = functional.normalize(torch.cat((za, zb)), dim=1)
    own = torch.eye(2 * count, dtype=torch.bool, device=z.device)
    similarities = (z @ z.T / temperature).masked_fill(own, -math.inf)
    partners = torch.arange(2 * count, device=z.device).roll(count)
    return functional.cross_entropy(similarities, partners)


def _view(
    images: torch.Tensor, generator: torch.Generator, crop: tuple[float, float], flip: bool, jitter: float, grey: float
) -> torch.Tensor:
    count = len(images)
    shares, ratios = _uniform(count, crop, generator), _uniform(count, _log((3 / 4, 4 / 3)), generator).exp()
    # In the coordinates of affine_grid the image spans -1..1: a side is its share, the middle is within 1 - share.
    wide, tall = (shares * ratios).sqrt().clamp(max=1), (shares / ratios).sqrt().clamp(max=1)
    x, y = (_uniform(count, (-1, 1), generator) * (1 - side) for side in (wide, tall))
    if flip:
        wide = torch.where(torch.rand(count, generator=generator) < 0.5, -wide, wide)
    zero = torch.zeros_like(wide)
    theta = torch.stack((torch.stack((wide, zero, x), 1), torch.stack((zero, tall, y), 1)), 1)
    grid = functional.affine_grid(theta.to(images.dtype), list(images.shape), align_corners=False)
    # Interpolation can leave 0..1 by a rounding.
    seen = functional.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)
    seen = recolour(seen, jitter, generator)
    colourless = torch.rand(count, generator=generator) < grey
    return torch.where(colourless[:, None, None, None], seen.mean(1, keepdim=True), seen)


def _check(images: torch.Tensor, smallest: int) -> tuple[int, int, int, int]:
    if images.ndim != 4 or min(images.shape[2:]) < smallest or not images.is_floating_point():
        raise ValueError(
            f"images must be real, (N, C, H, W) with sides of {smallest} pixels or more, "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    count, channels, height, width = images.shape
    return count, channels, height, width


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, dtype=torch.float64, generator=generator)


def _log(bounds: tuple[float, float]) -> tuple[float, float]:
    return math.log(bounds[0]), math.log(bounds[1])


def _integers(limits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """For each limit (N,) an integer from 0 to limit - 1."""
    drawn = torch.rand(len(limits), dtype=torch.float64, generator=generator) * limits
    return torch.minimum(drawn.long(), limits - 1)


def _middle(half: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """A pixel with at least ``half`` (N,) of the axis on both sides, so that a rectangle around it covers a pixel."""
    first, last = (half - 0.5).ceil().clamp(min=0), (side - 0.5 - half).floor()
    if bool((first > last).any()):
        raise ValueError(f"a scar of {2 * half.max().item():.1f} pixels does not fit an image side of {side} pixels")
    return first.long() + _integers((last - first).long() + 1, generator)


def _grid(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each pixel, (1, H, 1) and (1, 1, W)."""
    return torch.arange(height)[None, :, None], torch.arange(width)[None, None]


def _each(values: torch.Tensor) -> torch.Tensor:
    """One value for each image, (N, 1, 1)."""
    return values[:, None, None]


def _pasted(
    images: torch.Tensor, donors: torch.Tensor, inside: torch.Tensor, y: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """The images, but where ``inside`` (N, H, W) the donors' pixels at rows y and columns x, int64, as broadcast."""
    count, channels, height, width = images.shape
    source = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    source = source.reshape(count, 1, height * width).expand(-1, channels, -1)
    moved = donors.reshape(count, channels, -1).gather(2, source).reshape(images.shape)
    return torch.where(inside[:, None], moved, images)
