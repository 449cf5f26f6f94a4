# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A driver for the registers of bitwright's engine (docs/engine.md, section 4)."""

from __future__ import annotations

from bitwright.host.devices.base import Device, DeviceBuffer, Mmio, wait_until
from bitwright.host.errors import DeviceError
from bitwright.host.waiting import Waiter

ID_VALUE = 0x4E455742  # "BWEN"
ID, VERSION, CONFIG, CTRL, STATUS, ERROR, WATCHDOG = 0x00, 0x04, 0x08, 0x10, 0x14, 0x18, 0x1C
REGION = {"PROGRAM": 0x20, "WORK": 0x30, "INPUT": 0x40, "OUTPUT": 0x50}
COUNTERS = {
    "CYCLES": 0x60, "PW_BUSY": 0x68, "DW_BUSY": 0x6C, "LD_BEATS": 0x70, "ST_BEATS": 0x74, "PW_STALL": 0x78,
    "DW_STALL": 0x7C, "FETCH_BEATS": 0x80,
}  # fmt: skip
CYCLES_HI = 0x64
START, SOFT_RESET, IRQ_ENABLE = 1, 2, 4
BUSY, DONE, FAILED = 1, 2, 4
UNITS = ("control", "LD", "ST", "PW", "DW")
#: What the codes of register ERROR mean and, after the colon, what to do.
ERRORS = {
    1: "the program does not begin with the engine's magic, or is of another version: compile the model again",
    2: "the program is for another configuration of the engine: compile the model for this board",
    3: "an instruction is damaged: memory was overwritten; reload()",
    4: "an address leaves its region: the program is damaged, or buffers are smaller than it needs; reload()",
    5: "the bus answered a read with an error: nothing is at the buffer's address, or the memory is faulty",
    6: "the bus answered a write with an error: nothing is at the buffer's address, or the memory is faulty",
    7: "an address leaves the activation memory: the program is damaged; reload()",
    8: "nothing moved for as long as the watchdog waits: the memory port does not answer (clock or reset of the port)",
}
BEAT = 16
#: Bursts in flight end within microseconds.
RESET_TIMEOUT = 0.1


class EngineDriver:
    """One engine.

    Args:
        device: gives its registers.
        version, config_hash: of the instruction set and of the configuration that the program was compiled for; another
            engine is refused.
        timeout: seconds that a frame may take, on the device's clock.
        wait: how to wait for the end of a frame (`waiting.WAITS`).
        watchdog: cycles without any progress after which the engine gives up by itself.
    """

    def __init__(
        self, device: Device, version: int, config_hash: int, timeout: float, wait: str, watchdog: int = 1 << 20
    ) -> None:
        self.device = device
        self.waiter = Waiter(device, "engine", wait)
        self.mmio: Mmio = device.registers("engine")
        self.version, self.config_hash = version, config_hash
        self.timeout = timeout
        self.watchdog = watchdog
        self.begin()

    def begin(self) -> None:
        """Check what was loaded, reset it and set the watchdog. Raises DeviceError: wrong design."""
        wanted = ((ID, ID_VALUE, "identification"), (VERSION, self.version, "version of the instruction set"),
                  (CONFIG, self.config_hash, "hash of the configuration"))  # fmt: skip
        for offset, expected, what in wanted:
            found = self.mmio.read(offset)
            if found != expected:
                raise DeviceError(
                    f"wrong design loaded: {what} (register {offset:#04x}) is {found:#010x}, {expected:#010x} is "
                    "expected; the bitstream is not the bundle's engine: compile the model for this board, or load the "
                    "bitstream that the bundle was compiled for"
                )
        self.reset()
        self.mmio.write(WATCHDOG, self.watchdog)

    def set_region(self, name: str, buffer: DeviceBuffer) -> None:
        """Where a region lies; buffers are aligned to pages."""
        address, base = buffer.physical_address, REGION[name]
        if address % 4096:
            raise DeviceError(f"the buffer of region {name} at {address:#x} is not aligned to 4096 bytes")
        if (address + buffer.nbytes - 1) >> 40:
            raise DeviceError(f"the buffer of region {name} at {address:#x} lies above the engine's 40 address bits")
        self.mmio.write(base, address & 0xFFFFFFFF)
        self.mmio.write(base + 4, address >> 32)
        self.mmio.write(base + 8, buffer.nbytes // BEAT)

    def reset(self) -> None:
        """Soft reset: bursts in flight end first. Raises DeviceError when it does not come back."""
        self.mmio.write(CTRL, SOFT_RESET)
        limit = min(self.timeout, RESET_TIMEOUT)
        if not wait_until(self.device, lambda: not self.mmio.read(STATUS) & BUSY, limit):
            raise DeviceError(
                f"the engine does not leave reset within {limit:g} s: a burst does not end on the memory port; "
                "load the bitstream again (reload())"
            )

    def run(self, expected: float = 0.0) -> None:
        """One frame. Raises DeviceError on an error of the engine or a timeout; it is reset then."""
        self.mmio.write(STATUS, DONE)
        self.waiter.arm()
        try:
            self.mmio.write(CTRL, START | (IRQ_ENABLE if self.waiter.interrupts else 0))
            self.waiter.until(lambda: self.mmio.read(STATUS) & (DONE | FAILED) != 0, self.timeout, expected)
            status = self.mmio.read(STATUS)
        except DeviceError:  # the registers cannot be reached
            raise
        except BaseException:  # such as Ctrl-C: the next frame must not take this one's end for its own
            self.reset()
            raise
        if status & (DONE | FAILED) == DONE:
            return
        message = self._error() if status & FAILED else self._hang(status)
        try:
            self.reset()
        except DeviceError as error:
            message += f"; {error}"
        raise DeviceError(message)

    def counters(self) -> dict[str, int]:
        """Counters of the last frame by name (docs/engine.md, section 4)."""
        found = {name: self.mmio.read(offset) for name, offset in COUNTERS.items()}
        found["CYCLES"] |= self.mmio.read(CYCLES_HI) << 32
        return found

    def _error(self) -> str:
        value = self.mmio.read(ERROR)
        code, unit, number = value & 255, value >> 8 & 15, value >> 16
        where = UNITS[unit] if unit < len(UNITS) else f"unit {unit}"
        return (
            f"the engine stopped with error {code}, {where}, instruction {number}: {ERRORS.get(code, 'unknown code')}"
        )

    def _hang(self, status: int) -> str:
        counts = ", ".join(f"{name} {value}" for name, value in self.counters().items())
        return f"the engine has not finished after {self.timeout:g} s: STATUS {status:#x}, {counts}"
