# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A register-level model of AMD's AXI DMA in simple mode (PG021), with a stream kernel on its far side.

Bytes move as simulated time passes, in bursts of random length, so that the driver sees busy engines and the kernel
feels back-pressure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bitwright.sim.board.memory import BusError, Dram

RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, INTERNAL, SLAVE, DECODE = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 1 << 6
#: Interrupts: enabled in CONTROL, shown in STATUS, cleared by writing them there.
COMPLETE, FAILED = 1 << 12, 1 << 14
ERRORS = INTERNAL | SLAVE | DECODE
CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
S2MM_BASE = 0x30
#: Bytes a second that a stream moves: 32 bits at 100 MHz.
RATE = 400e6
#: Names of faults, for tests: what goes wrong, by direction.
DMA_FAULTS = ("mm2s-decode", "s2mm-slave", "kernel-hang", "kernel-short", "stuck-reset")


class StreamKernel(Protocol):
    """The accelerator: bytes in with an end mark, bytes out with an end mark."""

    def push(self, data: bytes, last: bool) -> None: ...

    def pull(self, limit: int) -> tuple[bytes, bool]: ...

    def reset(self) -> None: ...

    def state(self) -> str: ...


@dataclass
class _Channel:
    control: int = 0
    status: int = HALTED
    address: int = 0
    length: int = 0
    left: int = 0
    done: int = 0
    busy: bool = False


@dataclass
class DmaModel:
    """The engine.

    Attributes:
        length_bits, address_bits: of the registers (c_sg_length_width and c_addr_width of the IP).
        realigns: buffers need no alignment (c_include_mm2s_dre, c_include_s2mm_dre).
        faults: names of DMA_FAULTS that are there now.
    """

    dram: Dram
    kernel: StreamKernel
    seed: int = 0
    length_bits: int = 26
    address_bits: int = 32
    realigns: bool = True
    faults: set[str] = field(default_factory=set)
    _send: _Channel = field(default_factory=_Channel)
    _receive: _Channel = field(default_factory=_Channel)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    @property
    def parameters(self) -> dict[str, str]:
        """As in the .hwh of the block."""
        found = {"c_sg_length_width": str(self.length_bits), "c_addr_width": str(self.address_bits)}
        for side in ("mm2s", "s2mm"):
            found |= {f"c_include_{side}_dre": str(int(self.realigns)), f"c_m_axi_{side}_data_width": "64"}
        return found

    @property
    def irqs(self) -> dict[str, bool]:
        """Levels of the interrupt pins."""
        pins = {"mm2s_introut": self._send, "s2mm_introut": self._receive}
        return {pin: bool(c.control & c.status & (COMPLETE | FAILED)) for pin, c in pins.items()}

    def state(self) -> str:
        """What the channels wait for, in words."""
        parts = []
        for name, c in (("MM2S", self._send), ("S2MM", self._receive)):
            what = f"{c.done} of {c.length} bytes moved" if c.busy else "halted" if c.status & HALTED else "not started"
            parts.append(f"{name}: {what}")
        return f"{'; '.join(parts)}; the accelerator {self.kernel.state()}"

    def power_up(self) -> None:
        """As after the bitstream was loaded."""
        self._send, self._receive = _Channel(), _Channel()
        self.kernel.reset()

    def _channel(self, offset: int) -> tuple[_Channel, int]:
        return (self._receive, offset - S2MM_BASE) if offset >= S2MM_BASE else (self._send, offset)

    def read(self, offset: int) -> int:
        """Read a register."""
        channel, register = self._channel(offset)
        values = {
            CONTROL: channel.control, STATUS: channel.status, ADDRESS: channel.address & 0xFFFFFFFF,
            ADDRESS_MSB: channel.address >> 32, LENGTH: channel.length,
        }  # fmt: skip
        return values.get(register, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; writing a length starts a transfer."""
        channel, register = self._channel(offset)
        if register == CONTROL:
            self._control(channel, value)
        elif register == STATUS:
            channel.status &= ~(value & (COMPLETE | FAILED))
        elif register == ADDRESS:
            channel.address = (channel.address & ~0xFFFFFFFF) | value
        elif register == ADDRESS_MSB:
            channel.address = (channel.address & 0xFFFFFFFF) | (value << 32)
        elif register == LENGTH and channel.control & RUN and not channel.status & HALTED:
            channel.length = value & ((1 << self.length_bits) - 1)
            channel.left, channel.done, channel.busy = channel.length, 0, True
            channel.status &= ~IDLE
            if channel.length == 0:
                self._halt(channel, INTERNAL)

    def _control(self, channel: _Channel, value: int) -> None:
        if value & RESET:  # one direction's reset resets the whole engine
            self.power_up()
            if "stuck-reset" in self.faults:
                self._send.control |= RESET
            return
        channel.control = value
        if not value & RUN:
            channel.status, channel.busy = channel.status | HALTED, False
        elif not channel.status & ERRORS:  # only a reset leaves an error
            channel.status &= ~HALTED

    def _halt(self, channel: _Channel, error: int) -> None:
        channel.status |= error | HALTED | FAILED
        channel.busy = False

    def _finish(self, channel: _Channel) -> None:
        channel.status |= IDLE | COMPLETE
        channel.busy = False

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        most = max(8, int(2 * seconds * RATE))
        if self._send.busy:
            self._move_out(self._send, most)
        if self._receive.busy:
            self._move_in(self._receive, most)

    def _move_out(self, c: _Channel, most: int) -> None:
        if "mm2s-decode" in self.faults:
            return self._halt(c, DECODE)
        burst = min(c.left, int(self._rng.integers(0, most)))
        try:
            data = self.dram.at(c.address + c.done, burst).tobytes() if burst else b""
        except BusError:
            return self._halt(c, DECODE)
        c.left, c.done = c.left - burst, c.done + burst
        self.kernel.push(data, c.left == 0)
        if c.left == 0:
            self._finish(c)
        return None

    def _move_in(self, c: _Channel, most: int) -> None:
        if "kernel-hang" in self.faults:
            return None
        data, last = self.kernel.pull(int(self._rng.integers(0, most)))
        half = c.length // 2 - c.done
        if "kernel-short" in self.faults and len(data) >= half:
            data, last = data[:half], True
        if len(data) > c.left:
            return self._halt(c, INTERNAL)
        if "s2mm-slave" in self.faults and data:
            return self._halt(c, SLAVE)
        try:
            if data:
                self.dram.at(c.address + c.done, len(data))[:] = np.frombuffer(data, np.uint8)
        except BusError:
            return self._halt(c, DECODE)
        c.left, c.done = c.left - len(data), c.done + len(data)
        if last or (c.left == 0 and data):
            c.length = c.done  # the register then tells how many bytes arrived
            self._finish(c)
        return None
