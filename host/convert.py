# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Model numbers to the integers of a port, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import InputPort, OutputPort
from bitwright.host.errors import InputError
from bitwright.host.postprocess import apply_all, dequantize


def to_integers(port: InputPort, x: NDArray[Any]) -> NDArray[Any]:
    """Model input (N, *shape) to integers of the same layout. Raises InputError: shape, type or range."""
    if x.ndim != len(port.shape) + 1 or x.shape[1:] != port.shape:
        shape = ", ".join(map(str, ("N", *port.shape)))
        raise InputError(f"input {port.name}: shape is {x.shape}, expected is ({shape}) of {port.expected}")
    if port.quantizer is not None:
        if x.dtype.kind not in "fiu":
            raise InputError(f"input {port.name}: type is {x.dtype}, expected are {port.expected}")
        return port.quantizer(x, f"input {port.name}, quantized to {port.integers},")
    port.check_range(x, f"input {port.name}")
    return x


def from_integers(port: OutputPort, q: NDArray[Any], raw: bool) -> NDArray[Any]:
    """Integers in tensor layout to model output."""
    y = port.to_model(q)
    if raw or (port.scale is None and not port.host_ops):
        return y.astype(np.int64)
    real: NDArray[Any] = y
    if port.scale is not None and port.offset is not None:
        real = dequantize(y, port.scale, port.offset, port.channel_axis)
    return apply_all(real, port.host_ops)
