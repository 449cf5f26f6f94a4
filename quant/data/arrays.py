# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Samples in a file of numpy: arrays x, and y where there are labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import DataError

Arrays = dict[str, NDArray[Any]]


def read_npz(path: Path) -> Arrays:
    """Read and check one file as ``numpy.savez`` writes it. Nothing in it is ever unpickled.

    Returns:
        ``x``: float32 (finite) or uint8, (N, ...) with N at least 1 and at least one more axis.
        ``y``, where the file has it: int64 (N,), labels from 0.
        Both are contiguous and of this machine's byte order.

    Raises:
        DataError: the file cannot be read or breaks one of these rules.
    """
    arrays = _load(path)
    for name in arrays:
        if name not in ("x", "y"):
            raise DataError(f"{path}: an array '{name}'; known are x (samples) and y (labels), rename or remove it")
    if "x" not in arrays:
        raise DataError(f"{path}: no array 'x' with the samples; it has {', '.join(arrays) or 'none at all'}")
    found: Arrays = {"x": _samples(path, arrays["x"])}
    if "y" in arrays:
        found["y"] = _labels(path, arrays["y"], len(found["x"]))
    return found


def _load(path: Path) -> Arrays:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            with content:
                arrays = {name: content[name] for name in content.files}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # numpy hands out what is no .npy file as bytes
                    raise DataError(f"{path}: '{name}' is no array; write the file with numpy.savez")
            return arrays
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError:
        raise
    except Exception as error:  # damaged files end in whatever numpy, zipfile and the decompressors raise
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: not a whole .npz file of plain numbers ({reason})") from None
    raise DataError(f"{path}: a single array, not an .npz file; write it with numpy.savez(file, x=..., y=...)")


def _samples(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    kind = x.dtype.newbyteorder("=")
    if kind not in (np.dtype(np.float32), np.dtype(np.uint8)):
        raise DataError(f"{path}: x must be float32 or uint8, found {x.dtype}; convert it with x.astype(numpy.float32)")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"{path}: x must be (N, ...) with at least one sample of at least one value, found {x.shape}")
    x = np.ascontiguousarray(x, kind)
    if kind == np.float32 and not (finite := np.isfinite(x)).all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise DataError(f"{path}: x{list(where)} is {x[where]}; every value must be finite")
    return x


def _labels(path: Path, y: NDArray[Any], count: int) -> NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        raise DataError(f"{path}: y must be labels of an integer type, found {y.dtype}")
    if y.shape != (count,):
        raise DataError(
            f"{path}: y must be one label for each of the {count} samples, shape ({count},), found {y.shape}"
        )
    wrong = np.flatnonzero((y < 0) | (y > np.iinfo(np.int64).max))
    if len(wrong):
        raise DataError(f"{path}: y[{wrong[0]}] is {y[wrong[0]]}; labels count from 0")
    return np.ascontiguousarray(y, np.int64)
