# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host's share at the end of a model: dequantize, softmax, sigmoid, clip. Floating point (float32 results)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError


def dequantize(
    q: NDArray[Any], scale: NDArray[np.float64], offset: NDArray[np.float64], axis: int | None
) -> NDArray[np.float32]:
    """scale * q + offset in float64, rounded once to float32; scale and offset are () or (C,) along ``axis``."""
    if scale.ndim:
        assert axis is not None
        shape = [-1 if k == axis else 1 for k in range(q.ndim)]
        scale, offset = scale.reshape(shape), offset.reshape(shape)
    return np.asarray(q.astype(np.float64) * scale + offset, np.float32)


def apply(y: NDArray[np.float32], op: str, attributes: Mapping[str, Any]) -> NDArray[np.float32]:
    """One host operation; axes count the batch as axis 0."""
    wide = y.astype(np.float64)
    if op == "Softmax" or op == "LogSoftmax":
        axis = int(attributes["axis"])
        shifted = wide - wide.max(axis=axis, keepdims=True)
        log = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
        return np.asarray(log if op == "LogSoftmax" else np.exp(log), np.float32)
    if op == "Sigmoid":
        tail = np.exp(-np.abs(wide))
        return np.asarray(np.where(wide >= 0, 1 / (1 + tail), tail / (1 + tail)), np.float32)
    if op == "Clip":
        return np.clip(wide, float(attributes["min"]), float(attributes["max"])).astype(np.float32)
    raise BundleError(f"the bundle asks the host for {op}, which this version does not know; update bitwright")


def apply_all(y: NDArray[Any], ops: Sequence[tuple[str, Mapping[str, Any]]]) -> NDArray[Any]:
    """All host operations in turn."""
    for op, attributes in ops:
        y = apply(y, op, attributes)
    return y
