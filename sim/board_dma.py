# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A register-level model of AMD's AXI DMA in simple mode (PG021), with a stream kernel on its far side.

Time passes when registers are read: every status read moves a random number of bytes, so that the driver sees busy
engines, and the kernel feels back-pressure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bitwright.sim.board_memory import BusError, Dram

RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, INTERNAL, SLAVE, DECODE, COMPLETE = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 1 << 6, 1 << 12
CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
S2MM_BASE = 0x30
#: Fault names for tests: what goes wrong, by direction.
FAULTS = ("mm2s-decode", "s2mm-slave", "kernel-hang", "kernel-short", "stuck-reset")


class StreamKernel(Protocol):
    """The accelerator: bytes in with an end mark, bytes out with an end mark."""

    def push(self, data: bytes, last: bool) -> None: ...

    def pull(self, limit: int) -> tuple[bytes, bool]: ...

    def reset(self) -> None: ...


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
        length_bits: width of the length registers (c_sg_length_width of the IP).
        faults: what to break, see FAULTS.
    """

    dram: Dram
    kernel: StreamKernel
    seed: int = 0
    length_bits: int = 26
    faults: frozenset[str] = frozenset()
    _send: _Channel = field(default_factory=_Channel)
    _receive: _Channel = field(default_factory=_Channel)

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS)
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}; there are {FAULTS}")
        self._rng = np.random.default_rng(self.seed)

    def _channel(self, offset: int) -> tuple[_Channel, int]:
        return (self._receive, offset - S2MM_BASE) if offset >= S2MM_BASE else (self._send, offset)

    def read(self, offset: int) -> int:
        """Read a register."""
        channel, register = self._channel(offset)
        if register == STATUS:
            self._advance()
            return channel.status
        return {CONTROL: channel.control, ADDRESS: channel.address & 0xFFFFFFFF, LENGTH: channel.length}.get(
            register, 0
        )

    def write(self, offset: int, value: int) -> None:
        """Write a register; writing a length starts a transfer."""
        channel, register = self._channel(offset)
        if register == CONTROL:
            self._control(channel, value)
        elif register == ADDRESS:
            channel.address = (channel.address & ~0xFFFFFFFF) | value
        elif register == ADDRESS_MSB:
            channel.address = (channel.address & 0xFFFFFFFF) | (value << 32)
        elif register == LENGTH and channel.control & RUN and not channel.status & HALTED:
            channel.length = value & ((1 << self.length_bits) - 1)
            channel.left, channel.done, channel.busy = channel.length, 0, True
            channel.status &= ~(IDLE | COMPLETE)
            if channel.length == 0:
                self._halt(channel, INTERNAL)

    def _control(self, channel: _Channel, value: int) -> None:
        if value & RESET:  # one direction's reset resets the whole engine
            for c in (self._send, self._receive):
                c.control, c.status, c.busy, c.length = 0, HALTED, False, 0
            self.kernel.reset()
            if "stuck-reset" in self.faults:
                channel.control |= RESET
            return
        channel.control = value
        channel.status = (channel.status & ~HALTED) | IDLE if value & RUN else channel.status | HALTED

    def _halt(self, channel: _Channel, error: int) -> None:
        channel.status |= error | HALTED
        channel.busy = False

    def _finish(self, channel: _Channel) -> None:
        channel.status |= IDLE | COMPLETE
        channel.busy = False

    def _advance(self) -> None:
        if self._send.busy:
            self._move_out(self._send)
        if self._receive.busy:
            self._move_in(self._receive)

    def _move_out(self, c: _Channel) -> None:
        if "mm2s-decode" in self.faults:
            return self._halt(c, DECODE)
        burst = min(c.left, int(self._rng.integers(0, 1 << 14)))
        try:
            data = self.dram.at(c.address + c.done, burst).tobytes() if burst else b""
        except BusError:
            return self._halt(c, DECODE)
        c.left, c.done = c.left - burst, c.done + burst
        self.kernel.push(data, c.left == 0)
        if c.left == 0:
            self._finish(c)
        return None

    def _move_in(self, c: _Channel) -> None:
        if "kernel-hang" in self.faults:
            return None
        data, last = self.kernel.pull(int(self._rng.integers(0, 1 << 14)))
        if "kernel-short" in self.faults and last:
            data = data[: len(data) // 2]
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
