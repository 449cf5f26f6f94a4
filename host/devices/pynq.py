# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A PYNQ board (pynq 3.x). Written after pynq's documentation and source; not run on hardware yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.dma import Mmio
from bitwright.host.errors import DeviceError

DMA_TYPE = "xilinx.com:ip:axi_dma"


class PynqBuffer:
    """A pynq buffer (contiguous memory) as bytes."""

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def physical_address(self) -> int:
        """Address on the bus."""
        return int(self._array.physical_address)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(self._array.nbytes)

    @property
    def view(self) -> NDArray[np.uint8]:
        """The processor's view."""
        return np.asarray(self._array).view(np.uint8)

    def flush(self) -> None:
        """Write the processor's cache back."""
        self._array.flush()

    def invalidate(self) -> None:
        """Drop the processor's cache."""
        self._array.invalidate()

    def free(self) -> None:
        """Give the memory back."""
        self._array.freebuffer()


class PynqDevice:
    """The board that this process runs on."""

    name = "pynq"

    def __init__(self, bundle: Bundle) -> None:
        bitstream = bundle.artifact("bitstream")
        if bitstream is None:
            raise DeviceError(
                f"{bundle.root}: the bundle has no bitstream; build the project with Vivado and add it (docs/run.md)"
            )
        try:
            import pynq
        except ImportError as error:
            raise DeviceError(f"device pynq needs the pynq package, on the board: pip install pynq ({error})") from None
        self._pynq: Any = pynq
        self._overlay: Any = pynq.Overlay(str(bitstream))
        engines = [v for v in self._overlay.ip_dict.values() if str(v.get("type", "")).startswith(DMA_TYPE)]
        if len(engines) != 1:
            raise DeviceError(f"{bitstream}: the design has {len(engines)} AXI DMA engines, one is expected")
        self._engine = engines[0]

    def dma_registers(self) -> Mmio:
        """Registers of the AXI DMA."""
        mmio: Mmio = self._pynq.MMIO(self._engine["phys_addr"], self._engine["addr_range"])
        return mmio

    def allocate(self, nbytes: int) -> PynqBuffer:
        """Contiguous, cacheable memory."""
        return PynqBuffer(self._pynq.allocate(shape=(nbytes,), dtype=np.uint8))

    def close(self) -> None:
        """Let go of the overlay."""
        self._overlay.free()
