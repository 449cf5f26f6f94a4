# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the runtime needs from a device: registers and shared memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.dma import Buffer, Mmio
from bitwright.host.errors import DeviceError


class DeviceBuffer(Buffer, Protocol):
    """A shared buffer that the processor sees as bytes."""

    @property
    def view(self) -> NDArray[np.uint8]: ...

    def free(self) -> None: ...


class Device(Protocol):
    """A board with the bundle's bitstream loaded, real or simulated."""

    name: str

    def dma_registers(self) -> Mmio: ...

    def allocate(self, nbytes: int) -> DeviceBuffer: ...

    def close(self) -> None: ...


DEVICES = ("auto", "sim", "pynq")


def open_device(bundle: Bundle, name: str) -> Device:
    """Open 'pynq', 'sim', or with 'auto' the board when pynq is installed, else the simulated board."""
    if name == "auto":
        from importlib.util import find_spec

        name = "pynq" if find_spec("pynq") is not None else "sim"
    if name == "pynq":
        from bitwright.host.devices.pynq import PynqDevice

        return PynqDevice(bundle)
    if name == "sim":
        from bitwright.host.devices.sim import open_simulated_board

        return open_simulated_board(bundle)
    raise DeviceError(f"device {name!r} is unknown; there are {', '.join(DEVICES)}")
