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
    """The contiguous memory area, allocated page by page, first fit.

    Args:
        size: bytes.
        memory: uint8 [size] to use, e.g. that of a simulated engine; made when left out.
    """

    def __init__(self, size: int, memory: NDArray[np.uint8] | None = None) -> None:
        self.size = size
        self.memory = np.zeros(size, np.uint8) if memory is None else memory
        self._blocks: dict[int, int] = {}

    def allocate(self, nbytes: int) -> int:
        """A free, page-aligned range; its address. Raises MemoryError when no hole is large enough."""
        need = -(-max(nbytes, 1) // PAGE) * PAGE
        address = CMA_BASE
        for start in sorted(self._blocks):
            if start - address >= need:
                break
            address = start + self._blocks[start]
        if address + need > CMA_BASE + self.size:
            raise MemoryError(f"contiguous memory: {nbytes} bytes do not fit in {self.size}")
        self._blocks[address] = need
        # Fresh memory holds whatever was there before; a fixed pattern shows reads of data never written.
        self.at(address, need)[:] = 0xA5
        return address

    def free(self, address: int) -> None:
        """Give a range back."""
        del self._blocks[address]

    @property
    def left(self) -> int:
        """Free bytes."""
        return self.size - sum(self._blocks.values())

    def at(self, address: int, length: int) -> NDArray[np.uint8]:
        """The bytes of a range, as a view. Raises BusError outside allocated memory."""
        for start, size in self._blocks.items():
            if start <= address and address + length <= start + size:
                return self.memory[address - CMA_BASE : address - CMA_BASE + length]
        raise BusError(f"{address:#x} + {length}")

    def flip_bit(self, address: int, bit: int) -> None:
        """A fault of the memory: one bit of the byte at an address changes."""
        self.at(address, 1)[0] ^= 1 << bit


class CachedBuffer:
    """A buffer as pynq.allocate gives it: `view` is the processor's cache, and only flush and invalidate move data."""

    def __init__(self, dram: Dram, nbytes: int) -> None:
        self._dram = dram
        self.nbytes = nbytes
        self.physical_address = dram.allocate(nbytes)
        self.view = dram.at(self.physical_address, nbytes).copy()
        self._freed = False

    def flush(self, offset: int = 0, size: int | None = None) -> None:
        """Processor's cache to DRAM."""
        part = slice(offset, self.nbytes if size is None else offset + size)
        self._dram.at(self.physical_address, self.nbytes)[part] = self.view[part]

    def invalidate(self, offset: int = 0, size: int | None = None) -> None:
        """DRAM to the processor's cache."""
        part = slice(offset, self.nbytes if size is None else offset + size)
        self.view[part] = self._dram.at(self.physical_address, self.nbytes)[part]

    def free(self) -> None:
        """Give the memory back; a second time does nothing."""
        if not self._freed:
            self._freed = True
            self._dram.free(self.physical_address)
