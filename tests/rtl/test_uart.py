# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine behind a serial port (hw/shells/uart): the whole design of a board, bit by bit on its two lines, under the
host runtime; what does not depend on the board with that of the ULX3S."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bitwright.compile.frontend import import_model
from bitwright.flow import compile_model
from bitwright.host import Accelerator
from bitwright.host.bundle import Bundle, load_bundle
from bitwright.host.devices.uart import BEAT, READ_BEATS, WRITE, WRITE_BEATS, Link, SerialPort, UartDevice, crc8
from bitwright.host.engine import CTRL, IRQ_ENABLE, START
from bitwright.host.errors import DeviceError
from bitwright.sim import reference
from bitwright.zoo import entries
from tests.engine.nets import random_input
from tests.rtl.uart_line import DESIGNS, Line

pytestmark = pytest.mark.rtl
MODEL = next(e.model for e in entries() if e.name == "digits-classifier")
BEATS = DESIGNS["ulx3s-85f"].beats


def compiled(folder: Path, board: str) -> Bundle:
    compile_model(MODEL, folder / "digits", board=board, backend="engine")
    return load_bundle(folder / "digits")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return compiled(tmp_path_factory.mktemp("uart"), "ulx3s-85f")


@pytest.mark.parametrize("board", sorted(DESIGNS))
def test_digits_through_the_line(board: str, tmp_path: Path) -> None:
    graph = import_model(MODEL)
    frames = [random_input(graph, seed) for seed in range(4)]
    x = {name: np.concatenate([f[name] for f in frames]) for name in frames[0]}
    bundle, line = compiled(tmp_path, board), Line(board)
    with Accelerator(bundle, UartDevice(bundle, line)) as net:
        got = net.run_integers(x)
    want = reference.run(graph, x)
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values)
    assert not line.broken


@pytest.mark.parametrize("skew", [-0.025, 0.025])
def test_clocks_that_do_not_agree(skew: float) -> None:
    link = Link(Line(skew=skew))
    data = np.random.default_rng(1).integers(0, 256, 300 * BEAT, np.uint8).tobytes()
    link.write_beats(5, data)
    assert link.read_beats(5, 300) == data and link.hello() == BEATS


def test_memory_keeps_what_is_not_written() -> None:
    link = Link(Line())
    rng = np.random.default_rng(2)
    memory = np.zeros(BEATS * BEAT, np.uint8)
    for _ in range(20):
        count = int(rng.integers(1, 40))
        at = int(rng.choice([0, BEATS - count, int(rng.integers(0, BEATS - count))]))
        data = rng.integers(0, 256, count * BEAT, np.uint8)
        link.write_beats(at, data.tobytes())
        memory[at * BEAT : (at + count) * BEAT] = data
        lo = max(at - 2, 0)
        hi = min(at + count + 2, BEATS)
        back = np.frombuffer(link.read_beats(lo, hi - lo), np.uint8)
        written = memory[lo * BEAT : hi * BEAT]
        known = written != 0  # memory that nobody has written holds anything
        assert (back[known] == written[known]).all()


def test_damaged_requests_are_sent_again() -> None:
    line = Line()
    link = Link(line)
    data = bytes(range(256)) * 2
    spoils = [lambda d: d[:-1] + bytes([d[-1] ^ 1]), lambda d: d[:9] + d[10:], lambda d: d[:40]]
    for spoil in spoils:
        calls: list[int] = []

        def once(d: bytes, spoil=spoil, calls=calls) -> bytes:  # type: ignore[no-untyped-def]
            calls.append(1)
            return spoil(d) if len(calls) == 1 else d

        line.damage = once
        link.write_beats(100, data)
        assert len(calls) == 2
        line.damage = lambda d: d
        assert link.read_beats(100, len(data) // BEAT) == data
    line.damage = lambda d: d[:-1] + bytes([d[-1] ^ 1])
    with pytest.raises(DeviceError, match="failed 3 times, the check sum was wrong"):
        link.hello()
    line.damage = lambda d: b""
    with pytest.raises(DeviceError, match="there was no answer: is the right port open"):
        link.hello()


def test_what_is_not_there_is_refused() -> None:
    link = Link(Line())
    with pytest.raises(DeviceError, match="request 3 at 0x1000: there is nothing at this address"):
        link.read_beats(BEATS, 1)
    with pytest.raises(DeviceError, match="nothing at this address"):
        link.read_beats(BEATS - 1, 2)
    with pytest.raises(DeviceError, match="nothing at this address"):
        link.request(WRITE_BEATS, BEATS, 0, bytes(BEAT))
    with pytest.raises(DeviceError, match="nothing at this address"):
        link.request(WRITE, 0x1000, data=bytes(4))
    with pytest.raises(DeviceError, match="nothing at this address"):
        link.request(77)
    with pytest.raises(DeviceError, match="the register answered with an error"):
        link.request(WRITE, 0x0C, data=bytes(4))
    assert link.hello() == BEATS


def test_the_engine_says_what_is_outside_the_memory(bundle: Bundle) -> None:
    registers = UartDevice(bundle, Line()).registers("engine")
    for offset, value in ((0x24, 1), (0x28, 64), (0x10, 1)):  # PROGRAM at 4 GiB, 64 beats; start
        registers.write(offset, value)
    assert registers.read(0x14) & 4 and registers.read(0x18) == 5  # the bus answered the fetch with an error


def test_button_and_lamps(bundle: Bundle) -> None:
    line = Line()
    net = Accelerator(bundle, UartDevice(bundle, line))
    registers = net.device.registers("engine")
    watchdog = registers.read(0x1C)
    net.run_integers(random_input(import_model(MODEL)))
    assert watchdog and not line.leds & 2, "the host polls"
    registers.write(CTRL, START | IRQ_ENABLE)  # the same frame again
    line.sleep(0.2)
    assert line.leds & 2, "the interrupt is on"
    line.button(True)
    line.button(False)
    assert not line.leds & 2 and registers.read(0x1C) == 0


def test_memory_is_given_in_pages(bundle: Bundle) -> None:
    device = UartDevice(bundle, Line())
    before = device.memory_left()
    one, two = device.allocate(1), device.allocate(4097)
    assert two.physical_address == 4096 and device.memory_left() == before - 3 * 4096
    one.free()
    with pytest.raises(MemoryError):
        device.allocate(before)
    two.free()
    assert device.memory_left() == before
    for broken in (device.power, device.reload, lambda: device.registers("axi_dma")):
        with pytest.raises(DeviceError):
            broken()


def test_a_port_of_the_system(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    port = SerialPort(os.ttyname(theirs), 115200)
    port.write(bytes(range(256)))
    sent = b""
    while len(sent) < 256:
        sent += os.read(ours, 256)
    assert sent == bytes(range(256)), "raw: no byte is special"
    os.write(ours, b"\x03\r\n\x11")
    assert port.read(4, 5.0) == b"\x03\r\n\x11" and port.read(1, 0.01) == b""
    os.close(ours)
    with pytest.raises(DeviceError, match="still connected"):
        port.read(1, 1.0)
    port.close()
    os.close(theirs)
    with pytest.raises(DeviceError, match="cannot be opened: No such file"):
        SerialPort(str(tmp_path / "none"), 115200)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="is no serial port"):
        SerialPort(str(tmp_path / "file"), 115200)
    with pytest.raises(DeviceError, match="12345 baud"):
        SerialPort(str(tmp_path / "file"), 12345)


def test_check_sum() -> None:
    assert crc8(b"123456789") == 0xF4  # the check value of CRC-8 in the catalogue of parametrised CRCs
    assert READ_BEATS == 3
