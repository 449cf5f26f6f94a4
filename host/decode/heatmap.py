# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From scores of patches to a heat map of the image, by a transposed convolution with a Gaussian.

After the receptive field upsampling of P. Liznerski et al., "Explainable Deep One-Class Classification" (FCDD),
arXiv:2007.01760, which C.-L. Li et al., "CutPaste", arXiv:2104.04015, use as well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import InputError


def heatmap(
    scores: NDArray[np.number],
    *,
    receptive_field: int,
    stride: int,
    shape: tuple[int, int] | None = None,
    offset: int = 0,
    sigma: float | None = None,
) -> NDArray[np.float64]:
    """Patch scores (N, h, w), real or integer, to heat maps (N, H, W): each pixel is a weighted mean of the scores.

    With r = ``receptive_field``, patch (i, j) sees the rows offset + i * stride to offset + i * stride + r - 1 and the
    columns likewise with j. It weighs with a Gaussian around its middle, cut at its edge:

        g[k] = exp(-(k - (r - 1) / 2)^2 / (2 sigma^2))                for k = 0 .. r - 1, 0 elsewhere
        G[y, i] = g[y - offset - i * stride]
        heat[y, x] = sum_ij G[y, i] G[x, j] score[i, j] / (sum_i G[y, i] * sum_j G[x, j])

    The numerator is the transposed convolution of the scores with the kernel g g^T at this stride. The denominator is
    the same convolution of ones: so equal scores give an equal map, up to the border and whatever stride and field are.
    A row or column that no patch sees takes the patch that begins or ends nearest (the earlier of two).

    Args:
        receptive_field: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels.
        shape: (H, W); None: as far as the patches reach, offset + (h - 1) * stride + r, and the same for the width.
        offset: pixel of the first patch's upper left corner, the same for both axes; below 0 when the network pads.
        sigma: of the Gaussian in pixels; None: r / 4, so that the edge of a patch is 2 sigma from its middle.
            (Published code of FCDD: 10 for r >= 32.)

    Raises:
        InputError: scores of another shape or not finite, or a size that is not positive.
    """
    values = np.asarray(scores)
    if values.ndim != 3 or 0 in values.shape[1:]:
        raise InputError(f"patch scores must have the shape (N, h, w) with h, w >= 1, got {values.shape}")
    if not np.isfinite(values).all():
        raise InputError("patch scores must be finite, some are NaN or infinite")
    for name, size in (("receptive_field", receptive_field), ("stride", stride)):
        if size < 1:
            raise InputError(f"{name} must be 1 or more pixels, got {size}")
    width = receptive_field / 4 if sigma is None else sigma
    if not (width > 0 and math.isfinite(width)):
        raise InputError(f"sigma must be above 0 pixels, got {width}")
    counts = values.shape[1:]
    if shape is None:
        shape = (
            offset + (counts[0] - 1) * stride + receptive_field,
            offset + (counts[1] - 1) * stride + receptive_field,
        )
    if min(shape) < 1:
        raise InputError(f"the heat map must have 1 or more pixels on each axis, got {shape}")
    rows, columns = (
        _weights(n, size, receptive_field, stride, offset, width) for n, size in zip(counts, shape, strict=True)
    )
    heat: NDArray[np.float64] = rows @ values.astype(np.float64) @ columns.T
    return heat


def _weights(patches: int, pixels: int, field: int, stride: int, offset: int, sigma: float) -> NDArray[np.float64]:
    """Share of each patch in each pixel of one axis, (pixels, patches); every row sums to one."""
    inside = np.arange(pixels)[:, None] - offset - stride * np.arange(patches)
    exponents = -((inside - (field - 1) / 2) ** 2) / (2 * sigma**2)
    exponents[(inside < 0) | (inside >= field)] = -np.inf
    unseen = np.isneginf(exponents).all(axis=1)
    gap = np.maximum(-inside, inside - field + 1)[unseen]
    exponents[unseen, np.argmin(gap, axis=1)] = 0
    # Only the ratios count: from the largest on, a narrow Gaussian does not vanish from all patches at once.
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    share: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return share
