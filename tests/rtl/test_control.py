# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Control of the RTL: registers, errors, watchdog, soft reset, restart. Nothing may hang the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitwright.hw import isa
from bitwright.sim.rtl.engine import BUSY, DONE, ERROR, IRQ_ENABLE, REGISTERS, START, EngineFault, RtlEngine
from tests.rtl.programs import ORIGIN, REGION_BYTES, Program, engine, regions, words

pytestmark = pytest.mark.rtl

MOVE = {"ROWS": 1, "DRAM_STRIDE": 0, "LOCAL_STRIDE": 0}
LD, ST = isa.OPCODES["LD"], isa.OPCODES["ST"]


def traffic(program: Program, count: int = 6) -> None:
    """Loads and stores, so that bursts are in flight when something happens."""
    for step in range(count):
        program.add("LD", REGION=2, OFFSET=30 * step, ADDRESS=200 * step, BEATS=150, **MOVE)
        program.add("ST", "LD", REGION=1, OFFSET=150 * step, ADDRESS=200 * step, BEATS=150, **MOVE)


def healthy(made: RtlEngine) -> None:
    """The next program runs as if nothing had been."""
    regions(made)
    made.memory[REGION_BYTES:] = np.random.default_rng(3).integers(0, 256, 3 * REGION_BYTES, np.uint8)
    program = Program(made.config)
    program.add("LD", REGION=2, OFFSET=11, ADDRESS=900, BEATS=333, **MOVE)
    program.add("ST", "LD", REGION=3, OFFSET=22, ADDRESS=900, BEATS=333, **MOVE)
    made.load(0, program.pack())
    made.run(20_000, stall_seed=1)
    assert made.fault is None
    assert made.status == DONE
    dram = words(made.memory).reshape(4, -1, 16)
    assert (dram[3, 22:355] == dram[2, 11:344]).all()


def patched(data: bytes, offset: int, value: int) -> bytes:
    """The program with another 32-bit word."""
    return data[:offset] + value.to_bytes(4, "little") + data[offset + 4 :]


def programs() -> dict[str, tuple[Callable[[Program], bytes], EngineFault]]:
    """Programs that must fail, and how."""

    def header(word: int, value: int) -> Callable[[Program], bytes]:
        return lambda p: patched(p.pack(), 4 * word, value)

    def broken(word: int) -> Callable[[Program], bytes]:
        def make(p: Program) -> bytes:
            traffic(p, 2)
            bad = p.add("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=1, **MOVE)
            traffic(p, 2)
            return patched(p.pack(), 64 + 64 * bad, word)

        return make

    def move(opcode: str, **values: int) -> Callable[[Program], bytes]:
        def make(p: Program) -> bytes:
            traffic(p, 2)
            p.add(opcode, "LD ST", **(MOVE | values))
            traffic(p, 4)
            return p.pack()

        return make

    def endless(p: Program) -> bytes:
        traffic(p, 1)
        data = p.pack()
        return patched(data, 12, len(p.instructions) - 1)

    beats = REGION_BYTES // 16
    depth = 4 * 4 * 512
    return {
        "magic": (header(0, 0x31455743), EngineFault(1, 0, 0)),
        "version": (header(1, isa.ISA_VERSION + 1), EngineFault(1, 0, 0)),
        "hash": (header(2, 12345), EngineFault(2, 0, 0)),
        "marker": (broken(0xB0000001), EngineFault(3, 0, 4)),
        "opcode": (broken(0xB1000007), EngineFault(3, 0, 4)),
        "destination": (move("LD", DEST=7, REGION=2, OFFSET=0, ADDRESS=0, BEATS=1), EngineFault(3, 0, 4)),
        "no end": (endless, EngineFault(3, 0, 2)),
        "load past the end": (move("LD", REGION=2, OFFSET=beats - 9, ADDRESS=0, BEATS=10), EngineFault(4, LD, 4)),
        "load far away": (move("LD", REGION=2, OFFSET=2**32 - 1, ADDRESS=0, BEATS=1), EngineFault(4, LD, 4)),
        "rows past the end": (
            move("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=8, ROWS=9, DRAM_STRIDE=beats // 8, LOCAL_STRIDE=8),
            EngineFault(4, LD, 4),
        ),
        "rows past 2^32": (
            move("LD", REGION=2, OFFSET=100, ADDRESS=0, BEATS=8, ROWS=2, DRAM_STRIDE=2**32 - 50, LOCAL_STRIDE=8),
            EngineFault(4, LD, 4),
        ),
        "joined rows past the end": (
            move("ST", REGION=3, OFFSET=0, ADDRESS=0, BEATS=1024, ROWS=1025, DRAM_STRIDE=1024, LOCAL_STRIDE=0),
            EngineFault(4, ST, 4),
        ),
        "store past the end": (move("ST", REGION=3, OFFSET=beats - 1, ADDRESS=0, BEATS=2), EngineFault(4, ST, 4)),
        "load address": (move("LD", REGION=2, OFFSET=0, ADDRESS=depth - 3, BEATS=4), EngineFault(7, LD, 4)),
        "load address past 2^16": (
            move("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=2, ROWS=2, DRAM_STRIDE=2, LOCAL_STRIDE=65535),
            EngineFault(7, LD, 4),
        ),
        "store address": (move("ST", REGION=3, OFFSET=0, ADDRESS=depth - 3, BEATS=4), EngineFault(7, ST, 4)),
    }


@pytest.mark.parametrize("case", programs())
@pytest.mark.parametrize("seed", [None, 1])
def test_wrong_programs_are_refused(case: str, seed: int | None) -> None:
    made = engine()
    regions(made)
    make, fault = programs()[case]
    made.load(0, make(Program(made.config)))
    made.run(20_000, stall_seed=seed)
    assert made.fault == fault
    assert not made.status & DONE
    made.step(2000)
    assert made.status == ERROR  # no longer busy: what was in flight is completed; the error stays
    healthy(made)


@pytest.mark.parametrize(
    ("name", "opcode", "fields"),
    [
        ("bare", "DW", {}),
        ("bare", "LD", {"DEST": isa.DESTINATIONS.index("DW_WEIGHT"), "REGION": 2, "BEATS": 1} | MOVE),
        ("bare", "LD", {"DEST": isa.DESTINATIONS.index("DW_TABLE"), "REGION": 2, "BEATS": 1} | MOVE),
        ("tiny", "PW", {"SUM": 1}),
    ],
)
def test_instructions_of_other_builds_are_refused(name: str, opcode: str, fields: dict[str, int]) -> None:
    """Of the depthwise unit where there is none, sums on the array where there is one."""
    made = engine(name)
    regions(made)
    program = Program(made.config)
    traffic(program, 2)
    program.add(opcode, **fields)
    made.load(0, program.pack())
    made.run(20_000)
    assert made.fault == EngineFault(3, 0, 4)
    made.step(2000)
    assert made.status == ERROR
    healthy(made)


def test_a_region_overrun_touches_nothing() -> None:
    """Not one beat of the row that leaves the region is written."""
    made = engine()
    regions(made)
    made.memory[:] = 0x55
    program = Program(made.config)
    program.add("ST", REGION=3, OFFSET=REGION_BYTES // 16 - 20, ADDRESS=0, BEATS=21, **MOVE)
    made.load(0, program.pack())
    made.run(5000)
    assert made.fault == EngineFault(4, ST, 0)
    assert (made.memory[3 * REGION_BYTES :] == 0x55).all()


def test_a_program_larger_than_its_region_is_refused() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 20)
    made.load(0, program.pack())
    made.set_region("PROGRAM", 0, 64 + 64 * 30)
    made.run(20_000)
    fault = made.fault
    assert fault is not None
    assert (fault.code, fault.unit) == (4, 0)
    made.set_region("PROGRAM", 0, 48)
    made.run(1000)
    assert made.fault == EngineFault(4, 0, 0)
    healthy(made)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_bus_errors(seed: int | None) -> None:
    made = engine()
    for kind in ("header", "fetch", "load", "store"):
        regions(made)
        program = Program(made.config)
        traffic(program, 8)
        made.load(0, program.pack())
        read, write = (0, 0), (0, 0)
        if kind == "header":
            read = (ORIGIN + 48, ORIGIN + 49)
            expected = {EngineFault(5, 0, 0)}
        elif kind == "fetch":
            read = (ORIGIN + 64 + 64 * 9 + 32, ORIGIN + 64 + 64 * 9 + 48)
            expected = {EngineFault(5, 0, 9)}
        elif kind == "load":  # beats 0-149, 30-179, ...: beat 190 is first met by the third load
            read = (ORIGIN + 2 * REGION_BYTES + 16 * 190, ORIGIN + 2 * REGION_BYTES + 16 * 191)
            expected = {EngineFault(5, LD, 4)}
        else:
            write = (ORIGIN + REGION_BYTES + 16 * 310, ORIGIN + REGION_BYTES + 16 * 311)
            expected = {EngineFault(6, ST, 5)}
        made.set_bus(stall_seed=seed, read_error=read, write_error=write)
        made.start()
        made.wait(20_000)
        assert made.fault in expected, kind
        made.step(3000)
        assert made.status == ERROR
        healthy(made)


def test_watchdog_on_a_dead_bus() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 8)
    made.load(0, program.pack())
    made.write_register(REGISTERS["WATCHDOG"], 500)
    made.set_bus()
    made.start()
    made.wait(400)
    assert not made.irq
    made.set_bus(dead=True)
    cycles = made.wait(5000)
    fault = made.fault
    assert fault is not None and fault.code == 8
    assert 500 <= cycles <= 600
    made.step(100)
    assert made.status == BUSY | ERROR  # the bus still owes its answers
    made.start()  # kept until it has given them
    made.set_bus()
    made.wait(20_000)
    assert made.status == DONE
    healthy(made)


def test_the_watchdog_does_not_bark_at_a_slow_bus() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 3)
    made.load(0, program.pack())
    made.write_register(REGISTERS["WATCHDOG"], 700)
    made.run(100_000, latency=600, beats_per_256=8)
    assert made.fault is None
    assert made.counters["CYCLES"] > 20_000


def test_a_wait_that_is_never_met_ends_by_the_watchdog() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    program.add("ST", REGION=3, OFFSET=0, ADDRESS=0, BEATS=1, WAIT_PW=1, **MOVE)
    made.load(0, program.pack())
    made.write_register(REGISTERS["WATCHDOG"], 300)
    made.run(2000)
    fault = made.fault
    assert fault is not None and fault.code == 8
    healthy(made)


@pytest.mark.parametrize("seed", range(8))
def test_soft_reset_in_the_middle(seed: int) -> None:
    made = engine()
    rng = np.random.default_rng(seed)
    regions(made)
    program = Program(made.config)
    traffic(program, 10)
    made.load(0, program.pack())
    made.set_bus(stall_seed=seed, latency=100)
    made.start()
    made.step(int(rng.integers(1, 1500)))
    made.soft_reset()
    for _ in range(200):
        if not made.status & BUSY:
            break
        made.step(20)
    assert made.status == 0
    before = made.beats
    made.step(500)
    assert made.beats == before
    healthy(made)


def test_a_reset_with_a_start_begins_again() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 10)
    made.load(0, program.pack())
    made.set_bus()
    made.start()
    made.step(700)
    made.write_register(REGISTERS["CTRL"], 7)
    assert made.wait(20_000) > 1500
    assert made.status == DONE
    assert made.counters["ST_BEATS"] == 1500


def test_a_start_while_busy_is_ignored() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 4)
    made.load(0, program.pack())
    made.set_bus()
    made.start()
    made.step(300)
    made.start()
    made.wait(20_000)
    assert made.status == DONE
    assert made.counters["LD_BEATS"] == 600
    made.step(2000)
    assert made.status == DONE


def test_identity_and_reset_values() -> None:
    made = engine()
    assert made.read_register(REGISTERS["ID"]) == int.from_bytes(b"BWEN", "little")
    assert made.read_register(REGISTERS["VERSION"]) == isa.ISA_VERSION
    assert made.read_register(REGISTERS["CONFIG"]) == made.config.hash


def test_register_access_rules() -> None:
    """Byte strobes, alignment of regions, read-only and unknown registers, any order of address and data."""
    made = engine()
    rng = np.random.default_rng(1)
    for offset in (0x1C, 0x28, 0x48, 0x58):
        value = 0
        for _ in range(12):
            data, strobe = int(rng.integers(2**32)), int(rng.integers(16))
            delays = tuple(int(v) for v in rng.integers(0, 5, 3))
            assert made.write_register(offset, data, strobe, delays=(delays[0], delays[1], delays[2])) == 0
            old = made.read_register(offset) if _ == 0 else None
            mask = sum(0xFF << 8 * b for b in range(4) if strobe >> b & 1)
            if old is not None:
                assert old & mask == data & mask
                value = old
            value = value & ~mask | data & mask
            assert made.access_register(offset, delay=int(rng.integers(5))) == (value, 0)
    made.write_register(0x20, 0xFFFFFFFF)
    made.write_register(0x24, 0xFFFFFFFF)
    assert (made.read_register(0x20), made.read_register(0x24)) == (0xFFFFF000, 0xFF)
    known = {*REGISTERS.values(), *(0x20 + 16 * r + o for r in range(4) for o in (0, 4, 8))}
    for offset in range(0, 0x1000, 4):
        value, response = made.access_register(offset)
        assert response == (0 if offset in known else 2), hex(offset)
        if offset not in known:
            assert value == 0
            assert made.write_register(offset, 0xFFFFFFFF) == 2
    for name in ("ID", "VERSION", "CONFIG", "ERROR", "CYCLES_LO", "PW_BUSY", "FETCH_BEATS"):
        before = made.read_register(REGISTERS[name])
        assert made.write_register(REGISTERS[name], ~before) == 0
        assert made.read_register(REGISTERS[name]) == before
    regions(made)


def test_interrupt_and_status() -> None:
    made = engine()
    healthy(made)
    assert made.irq
    made.write_register(REGISTERS["CTRL"], 0)  # no interrupt
    made.step(3)
    assert (made.irq, made.status) == (False, DONE)
    made.write_register(REGISTERS["CTRL"], IRQ_ENABLE)
    made.step(3)
    assert made.irq
    assert made.read_register(REGISTERS["CTRL"]) == IRQ_ENABLE
    made.write_register(REGISTERS["STATUS"], DONE, 14)  # its byte is not written
    assert made.status == DONE
    made.write_register(REGISTERS["STATUS"], DONE)
    made.step(3)
    assert (made.irq, made.status) == (False, 0)
    made.write_register(REGISTERS["CTRL"], START)
    assert made.status == BUSY
    made.step(5000)
    assert (made.irq, made.status) == (False, DONE)


def test_counters() -> None:
    made = engine()
    regions(made)
    program = Program(made.config)
    traffic(program, 4)
    data = program.pack()
    made.load(0, data)
    before = made.beats
    cycles = made.run(20_000)
    counters = made.counters
    after = made.beats
    assert (counters["LD_BEATS"], counters["ST_BEATS"], counters["FETCH_BEATS"]) == (600, 600, len(data) // 16)
    assert (after[0] - before[0], after[1] - before[1]) == (600 + len(data) // 16, 600)
    assert abs(counters["CYCLES"] - cycles) < 24
