# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures of results: boxes over images, heat maps over images. Needs Pillow, not torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import ModelError
from bitwright.host.decode.boxes import Detections
from bitwright.quant.metrics.detection import Truth

#: One colour for each class, in turn: colours that colour-blind people can tell apart (M. Okabe, K. Ito, 2008).
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def draw_boxes(
    image: NDArray[np.uint8], found: Detections, truth: Truth | None, class_names: tuple[str, ...], path: Path
) -> None:
    """Write the image (H, W, 3) with boxes: found ones thick with class and score, true ones thin and white.

    Raises ModelError when the folder exists not and cannot be made, or the file exists.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture)
    if truth is not None:
        for box in truth.boxes:
            pen.rectangle([float(v) for v in box], outline="#FFFFFF", width=1)
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        colour = COLOURS[int(label) % len(COLOURS)]
        left, top, right, bottom = (float(v) for v in box)
        if right <= left or bottom <= top:
            continue
        pen.rectangle((left, top, right, bottom), outline=colour, width=3)
        text = f"{class_names[int(label)]} {score:.2f}"
        where = pen.textbbox((left + 3, top + 2), text)
        pen.rectangle((where[0] - 2, where[1] - 1, where[2] + 2, where[3] + 1), fill=colour)
        pen.text((left + 3, top + 2), text, fill="#FFFFFF")
    save(picture, path)


def draw_heat(
    image: NDArray[np.float32], heat: NDArray[np.float64], mask: NDArray[np.bool_] | None, path: Path
) -> None:
    """Write an image (C, H, W) in 0 to 1 with a heat map (H, W) over it, 0 transparent, 1 red; the mask as an
    outline.
    """
    from PIL import Image

    grey = np.broadcast_to(image.mean(0), (3, *image.shape[1:])).transpose(1, 2, 0)
    level = np.clip(heat, 0, 1)[..., None]
    colour = np.concatenate((np.ones_like(level), 1 - level, np.zeros_like(level)), 2)
    mixed = grey * (1 - 0.7 * level) + colour * 0.7 * level
    if mask is not None:
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        mixed[mask & ~inner] = (0, 1, 1)
    save(Image.fromarray(np.round(mixed * 255).astype(np.uint8)), path)


def save(picture: object, path: Path) -> None:
    """Write a Pillow image; nothing is overwritten. Raises ModelError."""
    if path.exists():
        raise ModelError(f"{path}: exists and is not overwritten; choose an empty folder for --pictures")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)  # type: ignore[attr-defined]
    except OSError as error:
        raise ModelError(f"{path}: cannot write: {error.strerror or error}") from None
