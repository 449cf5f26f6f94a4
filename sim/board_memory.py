# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Memory of the simulated board: DRAM that the DMA sees, and buffers whose processor view is a separate cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Where the contiguous memory area of the simulated board begins.
CMA_BASE = 0x1680_0000
PAGE = 4096


class BusError(Exception):
    """Nothing answers at an address."""


class Dram:
    """The contiguous memory area, allocated page by page.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._blocks: dict[int, NDArray[np.uint8]] = {}

    def allocate(self, nbytes: int) -> int:
        """A free, page-aligned range; its address. Raises MemoryError when the area is full."""
        need = -(-nbytes // PAGE) * PAGE
        address = CMA_BASE
        for start in sorted(self._blocks):
            if start - address >= need:
                break
            address = start + len(self._blocks[start])
        if address + need > CMA_BASE + self.size:
            raise MemoryError(f"contiguous memory: {nbytes} bytes do not fit in {self.size}")
        # Fresh memory holds whatever was there before; a fixed pattern shows reads of data never written.
        self._blocks[address] = np.full(need, 0xA5, np.uint8)
        return address

    def free(self, address: int) -> None:
        """Give a range back."""
        del self._blocks[address]

    def at(self, address: int, length: int) -> NDArray[np.uint8]:
        """The bytes of a range, as a view. Raises BusError outside allocated memory."""
        for start, block in self._blocks.items():
            if start <= address and address + length <= start + len(block):
                return block[address - start : address - start + length]
        raise BusError(f"{address:#x} + {length}")


class CachedBuffer:
    """A buffer as pynq.allocate gives it: `view` is the processor's cache, and only flush and invalidate move data."""

    def __init__(self, dram: Dram, nbytes: int) -> None:
        self._dram = dram
        self.nbytes = nbytes
        self.physical_address = dram.allocate(nbytes)
        self.view = dram.at(self.physical_address, nbytes).copy()

    def flush(self) -> None:
        """Processor's cache to DRAM."""
        self._dram.at(self.physical_address, self.nbytes)[:] = self.view

    def invalidate(self) -> None:
        """DRAM to the processor's cache."""
        self.view[:] = self._dram.at(self.physical_address, self.nbytes)

    def free(self) -> None:
        """Give the memory back."""
        self._dram.free(self.physical_address)
