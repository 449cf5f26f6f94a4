# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A simulated Zynq board: memory, AXI DMA, and the accelerator as a stream kernel behind it.

It takes the place of registers and buffers only; the host runtime above it is the one that runs on a board.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.boards import load_board
from bitwright.compile.ir.serialize import load_graph
from bitwright.sim import reference
from bitwright.sim.board_dma import DmaModel
from bitwright.sim.board_memory import CachedBuffer, Dram

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


class SimulatedBoard:
    """The device that `Accelerator.load(bundle, device="sim")` opens.

    Args:
        network: integers by tensor name in and out.
        into, out: ports of the bundle.
        cma: bytes of contiguous memory.
        seed: of the random burst lengths.
        faults: see board_dma.FAULTS.
    """

    name = "sim"

    def __init__(
        self, network: Network, into: Port, out: Port, cma: int, seed: int = 0, faults: frozenset[str] = frozenset()
    ) -> None:
        self.dram = Dram(cma)
        self._dma = DmaModel(self.dram, AcceleratorKernel(network, into, out), seed, faults=faults)

    @classmethod
    def with_bundle(cls, bundle: Any, network: Network | None = None, **more: Any) -> SimulatedBoard:
        """A board of the bundle's kind whose accelerator computes the bundle's program."""
        board = load_board(bundle.manifest["board"])
        if network is None:
            graph = load_graph(bundle.program)

            def network(x: Mapping[str, NDArray[np.int64]]) -> Mapping[str, NDArray[np.int64]]:
                return reference.run(graph, x)

        return cls(network, bundle.inputs[0], bundle.outputs[0], board.memory.cma, **more)

    def dma_registers(self) -> DmaModel:
        """Registers of the AXI DMA."""
        return self._dma

    def allocate(self, nbytes: int) -> CachedBuffer:
        """A buffer as pynq.allocate gives it."""
        return CachedBuffer(self.dram, nbytes)

    def close(self) -> None:
        """Nothing to let go of."""
