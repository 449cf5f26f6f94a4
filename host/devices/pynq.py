# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A PYNQ board (pynq 3.0.1 to 4.0). Tested on simulated devices of these versions (docs/run.md), not on hardware."""

from __future__ import annotations

import hashlib
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.checks import check_board, check_clock, check_environment, check_files, find_block, find_interrupt
from bitwright.host.devices.base import Mmio
from bitwright.host.devices.uio import UioInterrupt
from bitwright.host.errors import DeviceError

#: Of PYNQ.remote's server, and how long to wait for it in seconds.
REMOTE_PORT, REMOTE_PATIENCE = 7967, 5.0


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
    """The board that this process runs on.

    Args:
        check_machine: False where pynq's device is not the machine that this runs on, such as a simulated one.
        check_clock: False where pynq is known to show a wrong clock.
    """

    name = "pynq"

    def __init__(self, bundle: Bundle, check_machine: bool = True, check_clock: bool = True) -> None:
        self._bitstream = check_files(bundle)
        pynq = _import_pynq()
        if check_machine:
            check_environment(str(pynq.__version__))
            check_board(bundle)
        self._open(pynq, bundle, check_clock, None)

    def _open(self, pynq: Any, bundle: Bundle, check_clock: bool, device: Any) -> None:
        """Args: device: of pynq; None: the active one."""
        self._pynq, self._device = pynq, device
        self._interrupts: dict[str, UioInterrupt] = {}
        self._clock = float(bundle.manifest["clock_mhz"]) if check_clock else None
        self._overlay: Any = pynq.Overlay(str(self._bitstream), download=False, device=device)
        self.reload()

    def registers(self, kind: str) -> Mmio:
        """Registers of the one block of that kind. Raises DeviceError."""
        _, entry = find_block(kind, self._overlay.ip_dict, self._bitstream)
        mmio: Mmio = self._pynq.MMIO(entry["phys_addr"], entry["addr_range"], device=self._device)
        return mmio

    def parameters(self, kind: str) -> Mapping[str, str]:
        """Parameters of the block in the .hwh."""
        _, entry = find_block(kind, self._overlay.ip_dict, self._bitstream)
        return {str(k).lower(): str(v) for k, v in entry.get("parameters", {}).items()}

    def interrupt(self, kind: str) -> UioInterrupt:
        """Interrupts of the one block of that kind. Raises DeviceError: it is not connected so that pynq finds it."""
        if kind not in self._interrupts:
            block, _ = find_block(kind, self._overlay.ip_dict, self._bitstream)
            controller, lines, irq = find_interrupt(block, self._overlay)
            path = self._pynq.interrupt.get_uio_irq(irq)
            if path is None:
                raise DeviceError(f"the kernel has no UIO device for interrupt {irq}; use a PYNQ image")
            entry = self._overlay.ip_dict[controller]
            registers: Mmio = self._pynq.MMIO(entry["phys_addr"], entry["addr_range"], device=self._device)
            self._interrupts[kind] = UioInterrupt(path, registers, lines)
        return self._interrupts[kind]

    def allocate(self, nbytes: int) -> PynqBuffer:
        """Contiguous, cacheable memory. Raises MemoryError."""
        try:
            return PynqBuffer(self._pynq.allocate(shape=(nbytes,), dtype=np.uint8, target=self._device))
        except (RuntimeError, OSError) as error:  # what XRT makes of it, by version
            raise MemoryError(str(error)) from None

    def memory_left(self) -> int | None:
        """CmaFree of the kernel."""
        try:
            return _cma_free(Path("/proc/meminfo").read_text())
        except OSError:
            return None

    def now(self) -> float:
        """Seconds of the processor."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Give the processor away."""
        time.sleep(seconds)

    def power(self) -> Mapping[str, float]:
        """Watts by rail, as pynq's sensors tell."""
        found = {}
        for name, rail in self._pynq.get_rails().items():
            if getattr(rail, "power", None) is not None:
                found[str(name)] = float(rail.power.value)
            elif getattr(rail, "voltage", None) is not None and getattr(rail, "current", None) is not None:
                found[str(name)] = float(rail.voltage.value) * float(rail.current.value)
        if not found:
            raise DeviceError(
                "power: this board has no power rails that pynq can read (ZCU104, RFSoC and Kria have some)"
            )
        return found

    def reload(self) -> None:
        """Download the bitstream and check the clock. Raises DeviceError."""
        try:
            self._overlay.download()
        except (RuntimeError, OSError, TypeError) as error:
            raise DeviceError(f"{self._bitstream}: pynq cannot load it: {error}") from None
        if self._clock is not None:
            check_clock(self._clock, float(self._pynq.Clocks.fclk0_mhz))

    def close(self) -> None:
        """Let go of interrupts and overlay; the bitstream stays loaded, and pynq's device open for the next one."""
        while self._interrupts:
            self._interrupts.popitem()[1].close()
        self._overlay = None


class _RemoteRegisters:
    """Registers over the network: pynq 3.1 gives values from 2**31 on as negative numbers."""

    def __init__(self, mmio: Any, lost: type[Exception]) -> None:
        self._mmio, self._lost = mmio, lost

    def read(self, offset: int) -> int:
        try:
            return int(self._mmio.read(offset)) & 0xFFFFFFFF
        except self._lost as error:
            raise _disconnected(error) from None

    def write(self, offset: int, value: int) -> None:
        try:
            self._mmio.write(offset, value)
        except self._lost as error:
            raise _disconnected(error) from None


def _disconnected(error: Any) -> DeviceError:
    return DeviceError(
        f"device remote: the board does not answer any more ({error.code()}: {error.details()}); load again"
    )


class RemoteDevice(PynqDevice):
    """A board with the PYNQ.remote image, over the network (pynq 3.1 and 4.0 on this machine).

    Every register access and every flush is a call over the network, so it suits setting up and testing. Three things
    are done differently than pynq would: the bitstream is sent under a name with its hash, because pynq sends no file
    whose name is there already; buffers without memory are noticed; registers are unsigned. Buffers are used as a whole
    only: a slice of pynq's remote buffers has the address of the whole, and its flush overwrites the beginning.

    Args:
        address: name or IP address of the board.
        check_clock: False where pynq is known to show a wrong clock.
    """

    name = "remote"

    def __init__(self, bundle: Bundle, address: str = "", check_clock: bool = True) -> None:
        if not address:
            raise DeviceError(
                "device remote: give the address of the board: Accelerator.load(..., address='192.168.2.99')"
            )
        source = check_files(bundle)
        pynq = _import_pynq()
        try:
            from pynq.pl_server import remote_device
        except ImportError:
            raise DeviceError(
                f"device remote: pynq {pynq.__version__} has no PYNQ.remote; install 3.1.2 or newer"
            ) from None
        try:
            # Where nothing listens gRPC would try again later and later, also for the next device of this process.
            socket.create_connection((address, REMOTE_PORT), REMOTE_PATIENCE).close()
            remote: Any = remote_device.RemoteDevice(0, address)
        except (RuntimeError, OSError) as error:
            raise DeviceError(
                f"device remote: no PYNQ.remote board answers at {address}, port {REMOTE_PORT} ({error}); check "
                "address and image"
            ) from None
        if remote.arch == "armv7l" and int(pynq.__version__.split(".")[0]) >= 4:
            raise DeviceError(
                f"device remote: pynq {pynq.__version__} does not run Zynq-7000 boards; install 3.1.2 here"
            )
        check_board(bundle, {"BOARD": remote.name}, remote.arch)
        self._lost: type[Exception] = remote_device.grpc.RpcError
        self._folder = tempfile.TemporaryDirectory()
        unique = f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
        for file in (source, source.with_suffix(".hwh")):
            shutil.copy(file, Path(self._folder.name) / f"{unique}{file.suffix}")
        self._bitstream = Path(self._folder.name) / f"{unique}.bit"
        pynq.Device.active_device = remote  # pynq sets clocks and port widths there, whatever device it was given
        if hasattr(pynq.Clocks, "_real_instance"):
            del pynq.Clocks._real_instance  # of a device that was there before
        self._open(pynq, bundle, check_clock, remote)

    def registers(self, kind: str) -> Mmio:
        """Registers of the one block of that kind. Raises DeviceError."""
        return _RemoteRegisters(super().registers(kind), self._lost)

    def interrupt(self, kind: str) -> UioInterrupt:
        """PYNQ.remote hands none over."""
        raise DeviceError("PYNQ.remote has no interrupts")

    def allocate(self, nbytes: int) -> PynqBuffer:
        """As on the board. Raises MemoryError, which pynq does not."""
        made = self._pynq.allocate(shape=(nbytes,), dtype=np.uint8, target=self._device)
        if not made.buffer_id:
            made.freed = True  # there is nothing to give back
            raise MemoryError("the board has no memory left")
        return PynqBuffer(made)

    def memory_left(self) -> int | None:
        """CmaFree of the board's kernel."""
        return _cma_free(self._device.read_file("/proc/meminfo").decode())

    def power(self) -> Mapping[str, float]:
        """PYNQ.remote has no access to sensors."""
        raise DeviceError("power: PYNQ.remote gives no access to sensors; run on the board itself")

    def close(self) -> None:
        """Let go of the overlay and of the connection."""
        super().close()
        self._device.client.channel.close()
        self._folder.cleanup()


def _cma_free(meminfo: str) -> int | None:
    found = [line.split()[1] for line in meminfo.splitlines() if line.startswith("CmaFree:")]
    return 1024 * int(found[0]) if found else None


def _import_pynq() -> Any:
    try:
        import pynq
    except ImportError as error:
        raise DeviceError(f"device pynq needs the pynq package, on the board: pip install pynq ({error})") from None
    return pynq
