# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the runtime needs from a device: registers, shared memory, and a clock to measure deadlines with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.errors import DeviceError


class Mmio(Protocol):
    """32-bit registers at byte offsets."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class DeviceBuffer(Protocol):
    """Contiguous memory that processor and accelerator share; the processor's cache is not coherent."""

    @property
    def physical_address(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def view(self) -> NDArray[np.uint8]: ...

    def flush(self) -> None: ...

    def invalidate(self) -> None: ...

    def free(self) -> None: ...


class Interrupt(Protocol):
    """The interrupts of one block. The pins are levels: the block holds one high until its driver clears the cause."""

    def arm(self) -> None:
        """Forget what came before, and let the next one through."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep until an interrupt comes after `arm` (True), or for so long on the device's clock (False)."""
        ...


class Device(Protocol):
    """A board with the bundle's bitstream loaded, real or simulated."""

    name: str

    def registers(self, kind: str) -> Mmio:
        """Registers of the one 'axi_dma' or 'engine' in the design. Raises DeviceError with what there is instead."""
        ...

    def parameters(self, kind: str) -> Mapping[str, str]:
        """Parameters that the block was built with (lower-case names of the .hwh), as far as they are known."""
        ...

    def interrupt(self, kind: str) -> Interrupt:
        """Interrupts of the block, the same object every time. Raises DeviceError: why there are none."""
        ...

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Raises MemoryError."""
        ...

    def memory_left(self) -> int | None:
        """Bytes of contiguous memory that are free, if known."""
        ...

    def now(self) -> float:
        """Seconds on the clock that deadlines are measured with; a simulated board has a clock of its own."""
        ...

    def sleep(self, seconds: float) -> None: ...

    def power(self) -> Mapping[str, float]:
        """Watts by rail. Raises DeviceError where the board has no sensors."""
        ...

    def reload(self) -> None:
        """Load the bitstream again: every register is as after power-up."""
        ...

    def close(self) -> None: ...


def allocate(device: Device, nbytes: int, what: str) -> DeviceBuffer:
    """A buffer; DeviceError says what it was for, what is left and how to get more."""
    try:
        return device.allocate(nbytes)
    except MemoryError:
        left = device.memory_left()
        free = "" if left is None else f"; {left:,} bytes are free"
        raise DeviceError(
            f"contiguous memory: {nbytes:,} bytes for {what} could not be had{free}. Free buffers of other programs "
            "(restart their Python), or enlarge the area: cma=256M in the kernel's command line (docs/run.md)"
        ) from None


def wait_until(device: Device, ready: Callable[[], bool], timeout: float, expected: float = 0.0) -> bool:
    """Poll until ready (True) or until ``timeout`` seconds have passed (False).

    The processor is given away between polls: nine tenths of the ``expected`` time first, then a `gap`.
    """
    start = device.now()
    if expected > 0:
        device.sleep(0.9 * expected)
    while not ready():
        passed = device.now() - start
        if passed > timeout:
            return False
        device.sleep(gap(passed))
    return True


def gap(passed: float) -> float:
    """Seconds between two looks: a sixteenth of what has passed (20 us to 1 ms), so a result is found so much late."""
    return min(max(passed / 16, 20e-6), 1e-3)


DEVICES = ("auto", "sim", "pynq", "remote", "served", "uart")


def open_device(bundle: Bundle, name: str, **options: Any) -> Device:
    """Open a device of DEVICES; 'auto' is the board when pynq is installed, else the simulated board."""
    if name == "auto":
        from importlib.util import find_spec

        name = "pynq" if find_spec("pynq") is not None else "sim"
    if name == "pynq":
        from bitwright.host.devices.pynq import PynqDevice

        return PynqDevice(bundle, **options)
    if name == "remote":
        from bitwright.host.devices.pynq import RemoteDevice

        return RemoteDevice(bundle, **options)
    if name == "sim":
        from bitwright.host.devices.sim import open_simulated_board

        return open_simulated_board(bundle, **options)
    if name == "served":
        from bitwright.host.devices.served import ServedDevice

        return ServedDevice(bundle, **options)
    if name == "uart":
        from bitwright.host.devices.uart import UartDevice

        return UartDevice(bundle, **options)
    raise DeviceError(f"device {name!r} is unknown; there are {', '.join(DEVICES)}")
