# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A board without a processor: the engine with on-chip memory behind a serial port (docs/uart.md, hw/shells/uart).

Run against the RTL of the whole design in Verilator, not on hardware yet.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.devices.base import DeviceBuffer, Interrupt, Mmio
from bitwright.host.errors import DeviceError

REQUEST, ANSWER = 0xA5, 0x5A
HELLO, READ, WRITE, READ_BEATS, WRITE_BEATS = range(5)
NAME = b"BWU1"
BEAT, PAGE = 16, 4096
#: Most beats of one request.
MOST = 256
STATUS = {1: "the check sum was wrong", 2: "there is nothing at this address", 3: "the register answered with an error"}
#: How often a request is sent, and the silence after which the design forgets a broken one (2^21 cycles at 25 MHz).
TRIES, SILENCE = 3, 0.1


class Port(Protocol):
    """A stream of bytes in both directions."""

    baud: int

    def write(self, data: bytes) -> None: ...

    def read(self, count: int, timeout: float) -> bytes:
        """`count` bytes, or those that came within `timeout` seconds."""
        ...

    def drain(self) -> None:
        """Forget what has come."""
        ...

    def sleep(self, seconds: float) -> None: ...

    def now(self) -> float: ...

    def close(self) -> None: ...


class SerialPort:
    """A serial port of the operating system: 8 bits, no parity, one stop bit, no flow control."""

    def __init__(self, path: str, baud: int) -> None:
        """Raises DeviceError: no such port, in use by others, or a speed that the system does not have."""
        self.path, self.baud = path, baud
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise DeviceError(f"port {path}: {baud} baud is no speed of this system")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise DeviceError(
                f"port {path} cannot be opened: {error.strerror}; give the board's port (port='/dev/ttyUSB0') and "
                "check that you may use it (group dialout)"
            ) from None
        try:
            flags = termios.tcgetattr(self._file)
            flags[0] = flags[1] = flags[3] = 0  # raw: no translation, no echo
            flags[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            flags[4] = flags[5] = speed
            flags[6][termios.VMIN], flags[6][termios.VTIME] = 0, 0
            termios.tcsetattr(self._file, termios.TCSANOW, flags)
        except termios.error as error:
            os.close(self._file)
            raise DeviceError(f"{path} is no serial port: {error.args[-1]}") from None

    def write(self, data: bytes) -> None:
        """Raises DeviceError when the port is gone."""
        with self._reporting():
            while data:
                select.select([], [self._file], [])
                data = data[os.write(self._file, data) :]

    def read(self, count: int, timeout: float) -> bytes:
        """`count` bytes, or those that came within `timeout` seconds. Raises DeviceError when the port is gone."""
        found = b""
        end = time.monotonic() + timeout
        with self._reporting():
            while len(found) < count:
                ready, _, _ = select.select([self._file], [], [], max(end - time.monotonic(), 0))
                if not ready:
                    break
                part = os.read(self._file, count - len(found))
                if not part:
                    raise OSError(0, "it was closed by the other end")
                found += part
        return found

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(f"port {self.path}: {error.strerror}; is the board still connected?") from None

    def drain(self) -> None:
        """Forget what has come."""
        termios.tcflush(self._file, termios.TCIFLUSH)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def close(self) -> None:
        """Let the port go."""
        os.close(self._file)


def crc8(data: bytes) -> int:
    """CRC-8 with x^8 + x^2 + x + 1, from 0, highest bit first."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
    return value


class Link:
    """Requests and answers over a port."""

    def __init__(self, port: Port) -> None:
        self.port = port

    def request(self, op: int, address: int = 0, count: int = 0, data: bytes = b"", answer: int = 0) -> bytes:
        """One request, sent again when it or its answer is damaged or lost; every request may be repeated.

        Args:
            answer: bytes of data that a good answer has.

        Raises DeviceError: no answer, or the design refuses.
        """
        body = bytes((op, address & 0xFF, address >> 8, count)) + data
        frame = bytes((REQUEST,)) + body + bytes((crc8(body),))
        allowed = 0.5 + 20 * (len(frame) + answer + 3) / self.port.baud
        problem = "there was no answer"
        for attempt in range(TRIES):
            if attempt:
                self.port.sleep(SILENCE)
            self.port.drain()
            self.port.write(frame)
            head = self.port.read(2, allowed)
            if len(head) < 2:
                problem = "there was no answer"
                continue
            rest = self.port.read((answer if head[1] == 0 else 0) + 1, allowed)
            if head[0] != ANSWER or not rest or crc8(head[1:] + rest[:-1]) != rest[-1]:
                problem = "the answer was damaged"
            elif head[1] == 0 and len(rest) == answer + 1:
                return rest[:-1]
            elif head[1] in (2, 3):
                raise DeviceError(f"serial link: request {op} at {address:#x}: {STATUS[head[1]]}")
            else:
                problem = STATUS.get(head[1], f"status {head[1]}")
        raise DeviceError(
            f"serial link: request {op} failed {TRIES} times, {problem}: is the right port open, the board configured "
            f"with the bundle's bitstream, and the speed {self.port.baud} baud?"
        )

    def hello(self) -> int:
        """Beats of the design's memory. Raises DeviceError: another design answers."""
        found = self.request(HELLO, answer=8)
        if found[:4] != NAME:
            raise DeviceError(f"serial link: the design calls itself {found[:4]!r}, {NAME!r} is expected")
        return int.from_bytes(found[4:], "little")

    def read_beats(self, address: int, count: int) -> bytes:
        """Beats of 16 bytes."""
        parts = []
        for at in range(0, count, MOST):
            n = min(MOST, count - at)
            parts.append(self.request(READ_BEATS, address + at, n - 1, answer=n * BEAT))
        return b"".join(parts)

    def write_beats(self, address: int, data: bytes) -> None:
        """A multiple of 16 bytes."""
        for at in range(0, len(data), MOST * BEAT):
            part = data[at : at + MOST * BEAT]
            self.request(WRITE_BEATS, address + at // BEAT, len(part) // BEAT - 1, part)


class LinkRegisters:
    """The registers of the engine."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, offset: int) -> int:
        """32 bits."""
        return int.from_bytes(self._link.request(READ, offset, answer=4), "little")

    def write(self, offset: int, value: int) -> None:
        """32 bits."""
        self._link.request(WRITE, offset, data=value.to_bytes(4, "little"))


class UartBuffer:
    """A part of the design's memory, and a copy of it here: `flush` sends the copy, `invalidate` fetches it."""

    def __init__(self, device: UartDevice, page: int, nbytes: int) -> None:
        self._device = device
        self.page, self.nbytes = page, nbytes
        self._copy: NDArray[np.uint8] = np.zeros(-(-nbytes // BEAT) * BEAT, np.uint8)

    @property
    def physical_address(self) -> int:
        """As the engine sees it."""
        return self.page * PAGE

    @property
    def view(self) -> NDArray[np.uint8]:
        """The copy."""
        return self._copy[: self.nbytes]

    def flush(self) -> None:
        """Copy to the board."""
        self._device.link.write_beats(self.physical_address // BEAT, self._copy.tobytes())

    def invalidate(self) -> None:
        """Board to copy."""
        found = self._device.link.read_beats(self.physical_address // BEAT, self._copy.size // BEAT)
        self._copy[:] = np.frombuffer(found, np.uint8)

    def free(self) -> None:
        """Give the memory back."""
        self._device.free(self)


class UartDevice:
    """The board at a serial port.

    Args:
        port: path, or an open `Port`. baud: of the design; the bitstreams of `bitwright build --route yowasp` have
            1,000,000.
    """

    name = "uart"

    def __init__(self, bundle: Bundle, port: str | Port = "/dev/ttyUSB0", baud: int = 1_000_000) -> None:
        self.port: Port = SerialPort(port, baud) if isinstance(port, str) else port
        self.link = Link(self.port)
        try:
            self._pages = [False] * (self.link.hello() * BEAT // PAGE)  # which are taken
        except DeviceError:
            self.port.close()
            raise

    def registers(self, kind: str) -> Mmio:
        """Those of the engine."""
        if kind != "engine":
            raise DeviceError(f"the design behind a serial port has no {kind}; it has engine")
        return LinkRegisters(self.link)

    def parameters(self, kind: str) -> Mapping[str, str]:
        """None are known; the hash in register CONFIG tells a wrong build."""
        return {}

    def interrupt(self, kind: str) -> Interrupt:
        """The design only answers."""
        raise DeviceError("a board behind a serial port sends nothing unasked")

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Memory of the design, in pages of 4096 bytes. Raises MemoryError."""
        need = max(-(-nbytes // PAGE), 1)
        for page in range(len(self._pages) - need + 1):
            if not any(self._pages[page : page + need]):
                self._pages[page : page + need] = [True] * need
                return UartBuffer(self, page, nbytes)
        raise MemoryError(f"{nbytes} bytes")

    def free(self, buffer: UartBuffer) -> None:
        """Give a buffer's memory back."""
        need = max(-(-buffer.nbytes // PAGE), 1)
        self._pages[buffer.page : buffer.page + need] = [False] * need

    def memory_left(self) -> int:
        """Bytes that are free."""
        return self._pages.count(False) * PAGE

    def now(self) -> float:
        """Seconds on the port's clock."""
        return self.port.now()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.port.sleep(seconds)

    def power(self) -> Mapping[str, float]:
        """There is nothing to measure with."""
        raise DeviceError("power: a board behind a serial port has no sensors that the design can read")

    def reload(self) -> None:
        """The FPGA is configured by other means."""
        raise DeviceError(
            "reload: a serial port does not load bitstreams; configure the board again (openFPGALoader, fujprog) and "
            "open the accelerator anew"
        )

    def close(self) -> None:
        """Let the port go."""
        self.port.close()
