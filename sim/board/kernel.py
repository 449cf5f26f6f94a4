# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""An accelerator between two AXI streams, as hls4ml builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Network = Callable[[Mapping[str, NDArray[np.int64]]], Mapping[str, NDArray[np.int64]]]


class Port(Protocol):
    """What the kernel needs to know of a bundle's port (bitwright.host.bundle)."""

    tensor: str
    tensor_shape: tuple[int, ...]
    beat: Any


class AcceleratorKernel:
    """Collects whole frames from the stream, computes them, and streams the results.

    As in hls4ml's AXI wrapper, the end mark leaves with the last frame of a transfer that ended with one.
    """

    def __init__(self, network: Network, into: Port, out: Port) -> None:
        self._network, self._into, self._out = network, into, out
        self._frame_bytes = int(np.prod(into.tensor_shape, dtype=np.int64)) * into.beat.bits // 8
        self.reset()

    def reset(self) -> None:
        """Forget everything in flight."""
        self._pending, self._ready, self._ended = bytearray(), bytearray(), False

    def state(self) -> str:
        """What it waits for, in words."""
        if self._ready:
            return f"has {len(self._ready)} bytes that nobody takes"
        return f"holds {len(self._pending)} of the {self._frame_bytes} bytes of a frame"

    def push(self, data: bytes, last: bool) -> None:
        """Take beats off the stream."""
        self._pending += data
        count = len(self._pending) // self._frame_bytes
        if count:
            taken = bytes(self._pending[: count * self._frame_bytes])
            del self._pending[: count * self._frame_bytes]
            x = self._into.beat.unpack(taken, (count, *self._into.tensor_shape))
            y = self._network({self._into.tensor: x})[self._out.tensor]
            self._ready += self._out.beat.pack(np.asarray(y, np.int64))
        if last and not self._pending:
            self._ended = True

    def pull(self, limit: int) -> tuple[bytes, bool]:
        """Put up to ``limit`` bytes on the stream; whether the last of them carries the end mark."""
        width = self._out.beat.bits // 8
        size = min(len(self._ready), limit // width * width)
        data = bytes(self._ready[:size])
        del self._ready[:size]
        last = self._ended and not self._ready and bool(data)
        if last:
            self._ended = False
        return data, last
