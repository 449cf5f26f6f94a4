# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A driver for AMD's AXI DMA in simple (register) mode; registers and bits after product guide PG021."""

from __future__ import annotations

import time
from typing import Protocol

from bitwright.host.errors import DeviceError

MM2S, S2MM = 0x00, 0x30  # memory to stream, stream to memory
CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE = 1 << 0, 1 << 1
ERRORS = {
    1 << 4: "internal error: the stream was longer than the buffer, or the length was 0",
    1 << 5: "slave error: the memory answered with an error",
    1 << 6: "decode error: nothing answers at the buffer's address",
}
NAMES = {MM2S: "sending (MM2S)", S2MM: "receiving (S2MM)"}


class Mmio(Protocol):
    """32-bit registers at byte offsets."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Buffer(Protocol):
    """Memory that processor and DMA share; the processor's cache is not coherent."""

    @property
    def physical_address(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def flush(self) -> None: ...

    def invalidate(self) -> None: ...


class AxiDma:
    """One DMA engine with both directions.

    Args:
        mmio: its registers.
        timeout: seconds that a transfer may take.
    """

    def __init__(self, mmio: Mmio, timeout: float = 5.0) -> None:
        self.mmio = mmio
        self.timeout = timeout
        self.reset()

    def reset(self) -> None:
        """Reset both directions and start them."""
        self.mmio.write(MM2S + CONTROL, RESET)
        end = time.monotonic() + self.timeout
        while self.mmio.read(MM2S + CONTROL) & RESET:
            if time.monotonic() > end:
                raise DeviceError(
                    f"the DMA engine does not leave reset within {self.timeout} s; load the bitstream again"
                )
        for channel in (S2MM, MM2S):
            self.mmio.write(channel + CONTROL, RUN)

    def transfer(self, send: Buffer, receive: Buffer, send_bytes: int, receive_bytes: int) -> None:
        """Send ``send_bytes`` and receive exactly ``receive_bytes``.

        The receiving side is armed first, so that no beat of the answer waits for it. Caches are flushed before and
        invalidated after. Raises DeviceError on a bus error, a timeout or a short answer; the engine is reset then.
        """
        send.flush()
        receive.flush()  # no dirty line of the processor may overwrite what the DMA writes
        try:
            self._start(S2MM, receive, receive_bytes)
            self._start(MM2S, send, send_bytes)
            self._wait(MM2S)
            self._wait(S2MM)
            got = self.mmio.read(S2MM + LENGTH)
            if got != receive_bytes:
                raise DeviceError(
                    f"the accelerator sent {got} bytes, {receive_bytes} were expected: it does not match the bundle"
                )
        except DeviceError:
            self.reset()
            raise
        receive.invalidate()

    def _start(self, channel: int, buffer: Buffer, length: int) -> None:
        if not 0 < length <= buffer.nbytes:
            raise DeviceError(f"{NAMES[channel]}: {length} bytes do not fit a buffer of {buffer.nbytes}")
        address = buffer.physical_address
        self.mmio.write(channel + ADDRESS, address & 0xFFFFFFFF)
        self.mmio.write(channel + ADDRESS_MSB, address >> 32)
        self.mmio.write(channel + LENGTH, length)

    def _wait(self, channel: int) -> None:
        end = time.monotonic() + self.timeout
        while True:
            status = self.mmio.read(channel + STATUS)
            for bit, meaning in ERRORS.items():
                if status & bit:
                    raise DeviceError(f"DMA {NAMES[channel]}: {meaning}")
            if status & IDLE:
                return
            if time.monotonic() > end:
                raise DeviceError(
                    f"DMA {NAMES[channel]}: no end after {self.timeout} s; the accelerator does not take or give data "
                    "(wrong bitstream, or it waits for more input)"
                )
