# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Interrupts through AMD's AXI INTC (PG099) and Linux' /dev/uioN, for a thread that sleeps until one comes.

pynq's own `Interrupt` needs an asyncio loop and hangs when it is used from another one than its first (PYNQ issue
1505); this needs none, and every wait has an end. Registers are written as pynq writes them.
"""

from __future__ import annotations

import math
import os
import select

from bitwright.host.devices.base import Mmio
from bitwright.host.errors import DeviceError

ACKNOWLEDGE, ENABLE, DISABLE, MASTER = 0x0C, 0x10, 0x14, 0x1C


class UioInterrupt:
    """Some lines of an interrupt controller whose output is a UIO device.

    Args:
        path: of the UIO device.
        controller: registers of the interrupt controller.
        lines: numbers of its inputs.
    """

    def __init__(self, path: str, controller: Mmio, lines: list[int]) -> None:
        """Raises DeviceError: the device cannot be opened."""
        self._controller = controller
        self._mask = sum(1 << line for line in lines)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(f"{path} cannot be opened: {error.strerror}") from None
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def arm(self) -> None:
        """Forget what came before, and let the next one through."""
        if self._poll.poll(0):
            os.read(self._file, 4)
        self._controller.write(ACKNOWLEDGE, self._mask)
        self._controller.write(ENABLE, self._mask)
        self._controller.write(MASTER, 3)
        os.write(self._file, (1).to_bytes(4, "little"))  # the kernel masks it whenever it comes

    def wait(self, seconds: float) -> bool:
        """Sleep until an interrupt comes after `arm` (True), or for so many seconds (False)."""
        return bool(self._poll.poll(math.ceil(1e3 * seconds)))

    def close(self) -> None:
        """Let no more through."""
        self._controller.write(DISABLE, self._mask)
        os.close(self._file)
