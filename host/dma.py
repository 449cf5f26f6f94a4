# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A driver for AMD's AXI DMA in simple (register) mode; registers and bits after product guide PG021."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitwright.host.devices.base import Device, DeviceBuffer, Mmio, wait_until
from bitwright.host.errors import DeviceError
from bitwright.host.waiting import Waiter

MM2S, S2MM = 0x00, 0x30  # memory to stream, stream to memory
CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE = 1 << 0, 1 << 1
#: Interrupts: enabled in the control registers, shown in the status registers, cleared by writing them there.
COMPLETE_IRQ, ERROR_IRQ = 1 << 12, 1 << 14
ERRORS = {
    1 << 4: "internal error: the stream was longer than the buffer, or the length was 0",
    1 << 5: "slave error: the memory answered with an error",
    1 << 6: "decode error: nothing answers at the buffer's address",
}
NAMES = {MM2S: "sending (MM2S)", S2MM: "receiving (S2MM)"}


@dataclass(frozen=True)
class DmaLimits:
    """What the DMA engine of a design can do.

    Attributes:
        length_bits: width of its length register (c_sg_length_width). address_bits: of its addresses (c_addr_width).
        alignment: bytes that buffers must be aligned to, by direction; 1 with a realignment engine.
    """

    length_bits: int = 26
    address_bits: int = 32
    send_alignment: int = 1
    receive_alignment: int = 1

    @property
    def most(self) -> int:
        """Most bytes of one transfer."""
        return (1 << self.length_bits) - 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> DmaLimits:
        """From the parameters of the .hwh; unknown ones are as hls4ml's block design sets them."""

        def alignment(side: str) -> int:
            if parameters.get(f"c_include_{side}_dre", "1") != "0":
                return 1
            return int(parameters.get(f"c_m_axi_{side}_data_width", "32")) // 8

        return cls(
            int(parameters.get("c_sg_length_width", cls.length_bits)),
            int(parameters.get("c_addr_width", cls.address_bits)),
            alignment("mm2s"),
            alignment("s2mm"),
        )


class AxiDma:
    """One DMA engine with both directions.

    Args:
        device: gives its registers and parameters.
        timeout: seconds that a transfer may take, on the device's clock.
        wait: how to wait for its end (`waiting.WAITS`).
    """

    def __init__(self, device: Device, timeout: float, wait: str) -> None:
        self.device = device
        self.waiter = Waiter(device, "axi_dma", wait)
        self.mmio: Mmio = device.registers("axi_dma")
        self.limits = DmaLimits.of(device.parameters("axi_dma"))
        self.timeout = timeout
        self.reset()

    def reset(self) -> None:
        """Reset both directions and start them; the only way out of an error state."""
        self.mmio.write(MM2S + CONTROL, RESET)
        if not wait_until(self.device, lambda: not self.mmio.read(MM2S + CONTROL) & RESET, self.timeout):
            raise DeviceError(
                f"the DMA engine does not leave reset within {self.timeout:g} s; load the bitstream again (reload())"
            )
        # What was received was sent, so that only the receiving side tells the end.
        for channel, interrupts in ((S2MM, COMPLETE_IRQ | ERROR_IRQ), (MM2S, ERROR_IRQ)):
            self.mmio.write(channel + CONTROL, RUN | (interrupts if self.waiter.interrupts else 0))

    def transfer(self, send: DeviceBuffer, receive: DeviceBuffer, send_bytes: int, receive_bytes: int) -> None:
        """Send ``send_bytes`` and receive exactly ``receive_bytes``; caches are the caller's.

        The receiving side is armed first, so that no beat of the answer waits for it. Raises DeviceError on a bus
        error, a timeout or a short answer; the engine is reset then.
        """
        self._check(MM2S, send, send_bytes)
        self._check(S2MM, receive, receive_bytes)
        if self.waiter.interrupts:
            for channel in (S2MM, MM2S):
                self.mmio.write(channel + STATUS, COMPLETE_IRQ | ERROR_IRQ)
            self.waiter.arm()
        try:
            self._start(S2MM, receive, receive_bytes)
            self._start(MM2S, send, send_bytes)
            self._wait()
            got = self.mmio.read(S2MM + LENGTH)
            if got != receive_bytes:
                raise DeviceError(
                    f"the accelerator sent {got} bytes, {receive_bytes} were expected: it does not match the bundle"
                )
        except BaseException as error:  # also Ctrl-C: the next transfer must find an idle engine
            try:
                self.reset()
            except DeviceError as stuck:
                raise DeviceError(f"{str(error) or type(error).__name__}; {stuck}") from None
            raise

    def _check(self, channel: int, buffer: DeviceBuffer, length: int) -> None:
        limits, name = self.limits, NAMES[channel]
        if not 0 < length <= buffer.nbytes:
            raise DeviceError(f"{name}: {length} bytes do not fit a buffer of {buffer.nbytes}")
        if length > limits.most:
            raise DeviceError(
                f"{name}: {length} bytes are more than the design's DMA moves at once, {limits.most} "
                f"(c_sg_length_width = {limits.length_bits}); rebuild it with a wider length register"
            )
        if (buffer.physical_address + length - 1) >> limits.address_bits:
            raise DeviceError(
                f"{name}: the buffer at {buffer.physical_address:#x} lies above the {limits.address_bits} address bits "
                "of the design's DMA (c_addr_width)"
            )
        need = limits.send_alignment if channel == MM2S else limits.receive_alignment
        if buffer.physical_address % need:
            raise DeviceError(
                f"{name}: the buffer at {buffer.physical_address:#x} is not aligned to {need} bytes, and the design's "
                "DMA has no realignment engine (c_include_mm2s_dre, c_include_s2mm_dre)"
            )

    def _start(self, channel: int, buffer: DeviceBuffer, length: int) -> None:
        address = buffer.physical_address
        self.mmio.write(channel + ADDRESS, address & 0xFFFFFFFF)
        self.mmio.write(channel + ADDRESS_MSB, address >> 32)
        self.mmio.write(channel + LENGTH, length)

    def _wait(self) -> None:
        def idle(channel: int) -> bool:
            status = self.mmio.read(channel + STATUS)
            for bit, meaning in ERRORS.items():
                if status & bit:
                    raise DeviceError(f"DMA {NAMES[channel]}: {meaning} ({self._dump()})")
            return bool(status & IDLE)

        def received() -> bool:
            idle(MM2S)  # for its errors
            return idle(S2MM)

        over = self.waiter.until(received, self.timeout)
        if not over or not wait_until(self.device, lambda: idle(MM2S), self.timeout):
            waits = S2MM if idle(MM2S) else MM2S
            raise DeviceError(
                f"DMA {NAMES[waits]}: no end after {self.timeout:g} s; the accelerator does not take or give data: "
                f"wrong bitstream, it waits for more input, or it never marks the last beat ({self._dump()})"
            )

    def _dump(self) -> str:
        values = (
            f"{name} control {self.mmio.read(channel + CONTROL):#x} status {self.mmio.read(channel + STATUS):#x} "
            f"length {self.mmio.read(channel + LENGTH)}"
            for channel, name in ((MM2S, "MM2S"), (S2MM, "S2MM"))
        )
        return "; ".join(values)
