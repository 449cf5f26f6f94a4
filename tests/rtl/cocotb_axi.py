# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Cases of test_cocotb_axi.py. They run inside of the simulator; +max_burst and +pauses say how."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiResp, AxiSlave
from cocotbext.axi.memory import Memory

from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.frontend import import_model
from bitwright.hw import isa
from bitwright.hw.config import CONFIGS
from bitwright.sim import reference
from bitwright.sim.rtl.engine import BUSY, DONE, ERROR, IRQ_ENABLE, REGISTERS, SOFT_RESET, START
from bitwright.zoo import entry
from tests.engine.nets import random_input
from tests.rtl.programs import Program, indices

MAX_BURST = int(cocotb.plusargs["max_burst"])
PAUSES = int(cocotb.plusargs["pauses"])  # seed of the pauses on every channel; 0: none
CONFIG = replace(CONFIGS["tiny"], max_burst=MAX_BURST)
PERIOD = 10  # ns
PAGE = 4096
#: The regions lie far from each other: the program ends where 40 bits of address end, OUTPUT passes 2^32.
BASES = {"PROGRAM": (1 << 40) - (1 << 18), "WORK": 0x00_0001_F000, "INPUT": 0x80_7FFF_D000, "OUTPUT": 0x00_FFFF_E000}
SIZE = 1 << 18
LD, ST = isa.OPCODES["LD"], isa.OPCODES["ST"]
MOVE = {"ROWS": 1, "DRAM_STRIDE": 0, "LOCAL_STRIDE": 0}
#: Outputs of the engine that must not change while they wait.
PAYLOAD = {
    "m_axi_ar": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos"),
    "m_axi_aw": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos"),
    "m_axi_w": ("data", "strb", "last"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("data", "resp"),
}


def pauses(rng: random.Random) -> Iterator[bool]:
    """Short and long pauses and times without any, in a proportion that differs from channel to channel."""
    often = rng.choice([0.2, 0.5, 0.8])
    while True:
        pause = rng.random() < often
        for _ in range(rng.choice([1, 1, 1, 2, 3, 12])):
            yield pause


class Faulty:
    """Memory of which some bytes answer with an error: cocotbext-axi makes SLVERR of an exception."""

    def __init__(self) -> None:
        self.memory = Memory(1 << 40)
        self.bad_reads = self.bad_writes = range(0)

    async def read(self, address: int, length: int) -> bytes:
        if self.bad_reads.start < address + length and address < self.bad_reads.stop:
            raise ValueError("a byte that cannot be read")
        return self.memory.read(address, length)

    async def write(self, address: int, data: bytes) -> None:
        if self.bad_writes.start < address + len(data) and address < self.bad_writes.stop:
            raise ValueError("a byte that cannot be written")
        self.memory.write(address, data)


def answering(
    send: Callable[[Any], Awaitable[None]], field: str, response: AxiResp
) -> Callable[[Any], Awaitable[None]]:
    """`send` of a channel with another response in place of SLVERR."""

    async def sent(beat: Any) -> None:
        if getattr(beat, field) == AxiResp.SLVERR:
            setattr(beat, field, response)
        await send(beat)

    return sent


@dataclass(frozen=True)
class Burst:
    """What an address channel said."""

    id: int
    address: int
    beats: int


class Bench:
    """The engine between an AXI4-Lite master and a memory.

    Attributes:
        memory: read(address, length), write(address, data). bursts: of AR and AW so far, in order.
    """

    def __init__(self, dut: Any, faulty: Faulty | None = None, response: AxiResp = AxiResp.SLVERR) -> None:
        """Without `faulty` the memory is an AxiRam. `response`: of the bytes of `faulty` that give an error."""
        self.dut = dut
        dut.rst_ni.value = 0
        Clock(dut.clk_i, PERIOD, unit="ns").start()
        reset = {"reset": dut.rst_ni, "reset_active_level": False}
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, **reset)
        bus = AxiBus.from_prefix(dut, "m_axi")
        self.memory: Memory
        if faulty is None:
            slave = self.memory = AxiRam(bus, dut.clk_i, size=1 << 40, **reset)
        else:
            slave, self.memory = AxiSlave(bus, dut.clk_i, target=faulty, **reset), faulty.memory
            r, b = slave.read_if.r_channel, slave.write_if.b_channel
            r.send, b.send = answering(r.send, "rresp", response), answering(b.send, "bresp", response)
        if PAUSES:
            sides = [i for s in (self.axil, slave) for i in (s.write_if, s.read_if)]
            channels = [getattr(i, c) for i in sides for c in vars(i) if c.endswith("_channel")]
            assert len(channels) == 10
            for number, channel in enumerate(channels):
                channel.set_pause_generator(pauses(random.Random(f"{PAUSES} {number}")))
        self.bursts: dict[str, list[Burst]] = {"m_axi_ar": [], "m_axi_aw": []}
        for channel in PAYLOAD:
            cocotb.start_soon(self._watch(channel))

    async def reset(self) -> None:
        await ClockCycles(self.dut.clk_i, 5)
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)

    async def _watch(self, channel: str) -> None:
        """VALID stays and the payload does not change until READY; bursts are such as docs/engine.md allows."""
        valid, ready = (getattr(self.dut, f"{channel}{s}") for s in ("valid", "ready"))
        payload = [getattr(self.dut, channel + name) for name in PAYLOAD[channel]]
        waiting: list[int] | None = None
        edge = RisingEdge(self.dut.clk_i)
        while True:
            await edge
            if not int(self.dut.rst_ni.value):
                continue
            if not int(valid.value):
                assert waiting is None, f"{channel}: VALID fell before READY"
                continue
            values = [int(p.value) for p in payload]
            assert waiting in (None, values), f"{channel}: changed while it waited, {waiting} to {values}"
            waiting = None if int(ready.value) else values
            if waiting is None and channel in self.bursts:
                number, address, length, size, burst = values[:5]
                assert (size, burst) == (4, 1) and address % 16 == 0
                assert length < MAX_BURST, f"{channel}: {length + 1} beats"
                assert address // PAGE == (address + 16 * length) // PAGE, f"{channel}: crosses 4 KB at {address:#x}"
                self.bursts[channel].append(Burst(number, address, length + 1))

    async def write(self, name: str, value: int) -> None:
        answer = await self.axil.write(
            REGISTERS[name] if name in REGISTERS else int(name, 0), value.to_bytes(4, "little")
        )
        assert answer.resp == AxiResp.OKAY

    async def read(self, name: str) -> int:
        answer = await self.axil.read(REGISTERS[name], 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def regions(self, sizes: dict[str, int] | None = None) -> None:
        for number, (name, base) in enumerate(BASES.items()):
            assert name == isa.REGIONS[number]
            words = (base & 0xFFFFFFFF, base >> 32, (sizes or {}).get(name, SIZE) // 16)
            for word, value in enumerate(words):
                await self.write(hex(0x20 + 16 * number + 4 * word), value)

    async def start(self) -> None:
        await self.write("CTRL", START | IRQ_ENABLE)
        await ClockCycles(self.dut.clk_i, 4)  # the interrupt of the run before falls
        assert not int(self.dut.irq_o.value)

    async def wait(self, cycles: int) -> int:
        """Status after the interrupt and after the bus has drained. Raises SimTimeoutError."""
        await with_timeout(RisingEdge(self.dut.irq_o), cycles * PERIOD, "ns")
        for _ in range(200):
            status = await self.read("STATUS")
            if not status & BUSY:
                return status
        raise AssertionError("the engine stays busy")

    async def fault(self) -> tuple[int, int, int]:
        """Code, unit, instruction."""
        value = await self.read("ERROR")
        return value & 255, value >> 8 & 15, value >> 16


def load(bench: Bench, program: bytes, data: dict[str, bytes]) -> None:
    bench.memory.write(BASES["PROGRAM"], program)
    for name, values in data.items():
        bench.memory.write(BASES[name], values)


async def healthy(bench: Bench) -> None:
    """The next program runs as if nothing had been."""
    rng = np.random.default_rng(3)
    program = Program(CONFIG)
    program.add("LD", REGION=2, OFFSET=11, ADDRESS=900, BEATS=133, **MOVE)
    program.add("ST", "LD", REGION=3, OFFSET=22, ADDRESS=900, BEATS=133, **MOVE)
    given = rng.bytes(16 * 256)
    load(bench, program.pack(), {"INPUT": given, "OUTPUT": bytes(16 * 256)})
    await bench.regions()
    await bench.start()
    assert await bench.wait(20_000) == DONE
    expected = bytes(16 * 22) + given[16 * 11 : 16 * 144] + bytes(16 * 101)
    assert bench.memory.read(BASES["OUTPUT"], 16 * 256) == expected


def traffic(program: Program, count: int) -> None:
    """Loads and stores of 50 bursts each, so that some are in flight and some are still to come at any time."""
    rows = {"BEATS": 3, "ROWS": 50, "DRAM_STRIDE": 5, "LOCAL_STRIDE": 3}
    for step in range(count):
        program.add("LD", REGION=2, OFFSET=300 * step, ADDRESS=200 * step, **rows)
        program.add("ST", "LD", REGION=1, OFFSET=300 * step, ADDRESS=200 * step, **rows)


async def quiet(bench: Bench) -> None:
    """Nothing is announced any more."""
    before = {name: list(bursts) for name, bursts in bench.bursts.items()}
    await ClockCycles(bench.dut.clk_i, 300)
    for name, bursts in bench.bursts.items():
        assert bursts == before[name], f"{name}: {len(bursts) - len(before[name])} bursts after the engine had stopped"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def registers(dut: Any) -> None:
    """Values after reset, unknown addresses, byte strobes, many accesses at once."""
    bench = Bench(dut)
    await bench.reset()
    assert await bench.read("ID") == int.from_bytes(b"BWEN", "little")
    assert await bench.read("VERSION") == isa.ISA_VERSION
    assert await bench.read("CONFIG") == CONFIG.hash
    known = {*REGISTERS.values(), *(0x20 + 16 * r + o for r in range(4) for o in (0, 4, 8))}
    for offset in (*range(0, 0x90, 4), 0x100, 0x400, 0x800, 0xFFC):
        expected = AxiResp.OKAY if offset in known else AxiResp.SLVERR
        assert (await bench.axil.read(offset, 4)).resp == expected, hex(offset)
        if offset != REGISTERS["CTRL"]:
            assert (await bench.axil.write(offset, bytes(4))).resp == expected, hex(offset)
    assert await bench.read("ID") == int.from_bytes(b"BWEN", "little")  # read-only
    rng = random.Random(5)
    shadow = {0x1C: bytearray(4), **{0x28 + 16 * r: bytearray(4) for r in range(4)}}
    for _ in range(40):  # one to four bytes, aligned or not: cocotbext-axi makes strobes of them
        offset, lane = rng.choice([*shadow]), rng.randrange(4)
        data = rng.randbytes(rng.randint(1, 4 - lane))
        assert (await bench.axil.write(offset + lane, data)).resp == AxiResp.OKAY
        shadow[offset][lane : lane + len(data)] = data
        assert (await bench.axil.read(offset, 4)).data == bytes(shadow[offset])
    sizes = [rng.randbytes(4) for _ in range(4)]
    writes = [cocotb.start_soon(bench.axil.write(0x28 + 16 * r, sizes[r])) for r in range(4)]
    reads = [cocotb.start_soon(bench.axil.read(o, 4)) for o in (0x00, 0x0C, 0x04, 0x2C, 0x08, 0x1C)]
    assert [(await task).resp for task in writes] == 4 * [AxiResp.OKAY]
    answers = [await task for task in reads]
    bad, ok = AxiResp.SLVERR, AxiResp.OKAY
    assert [a.resp for a in answers] == [ok, bad, ok, bad, ok, ok]
    found = [int.from_bytes(answers[n].data, "little") for n in (0, 2, 4)]
    assert found == [int.from_bytes(b"BWEN", "little"), isa.ISA_VERSION, CONFIG.hash]
    for r in range(4):
        assert (await bench.axil.read(0x28 + 16 * r, 4)).data == sizes[r]


def cut(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Address and beats of every burst of runs of beats: as long as MAX_BURST and the next 4 KB allow."""
    made = []
    for address, beats in runs:
        while beats:
            now = min(beats, MAX_BURST, (PAGE - address % PAGE) // 16)
            made.append((address, now))
            address, beats = address + 16 * now, beats - now
    return made


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def transfers(dut: Any) -> None:
    """Loads and stores around 4 KB boundaries, in one piece and in rows: every byte and every burst."""
    bench = Bench(dut)
    await bench.reset()
    rng = np.random.default_rng(MAX_BURST)
    given, kept = rng.integers(0, 256, (4096, 16), np.uint8), rng.integers(0, 256, (SIZE // 16, 16), np.uint8)
    expected, program, at, place = kept.copy(), Program(CONFIG), 0, 0
    runs: dict[str, list[tuple[int, int]]] = {"LD": [], "ST": []}
    # Offset, beats, rows, beats between rows: ends, begins and passes 4 KB; many pages; rows with and without gaps.
    shapes = [
        (255, 1, 1, 0), (256, 1, 1, 0), (255, 2, 1, 0), (250, 20, 1, 0), (240, 16, 1, 0), (241, 16, 1, 0),
        (0, 300, 1, 0), (1, 256, 1, 0), (512, 256, 1, 0), (200, 330, 1, 0), (250, 3, 7, 3), (248, 9, 5, 250),
        (100, 70, 4, 70), (511, 1, 9, 256),
    ]  # fmt: skip
    for offset, beats, rows, stride in shapes:
        total, step = beats * rows, stride if rows > 1 else beats
        move = {"ADDRESS": at, "BEATS": beats, "ROWS": rows, "DRAM_STRIDE": stride, "LOCAL_STRIDE": beats}
        program.add("LD", REGION=2, OFFSET=offset, **move)
        to = place + offset % 256  # the same distance from 4 KB
        program.add("ST", "LD", REGION=3, OFFSET=to, **move)
        source, target = indices(offset, step, beats, rows), indices(to, step, beats, rows)
        expected[target] = given[source]
        for unit, base, first in (("LD", BASES["INPUT"], offset), ("ST", BASES["OUTPUT"], to)):
            lines = [(first, total)] if step == beats else [(first + r * step, beats) for r in range(rows)]
            runs[unit] += [(base + 16 * start, length) for start, length in lines]
        at, place = at + total, -(-int(target[-1] + 1) // 256) * 256
    load(bench, program.pack(), {"INPUT": given.tobytes(), "OUTPUT": kept.tobytes()})
    await bench.regions()
    await bench.start()
    assert await bench.wait(200_000) == DONE
    assert bench.memory.read(BASES["OUTPUT"], kept.size) == expected.tobytes()
    assert [(b.address, b.beats) for b in bench.bursts["m_axi_ar"] if b.id == 1] == cut(runs["LD"])
    assert [(b.address, b.beats) for b in bench.bursts["m_axi_aw"]] == cut(runs["ST"])
    fetched = [(b.address, b.beats) for b in bench.bursts["m_axi_ar"] if b.id == 0]
    assert sum(beats for _, beats in fetched) >= 4 * (1 + len(program.instructions))
    assert max(b.beats for b in bench.bursts["m_axi_aw"]) == MAX_BURST
    assert await bench.read("LD_BEATS") == await bench.read("ST_BEATS") == sum(b for _, b in runs["LD"])


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def digits(dut: Any) -> None:
    """A network of the zoo from the image to the classes, the integers of the reference; two frames."""
    graph = import_model(entry("digits-classifier").model)
    program = compile_graph(graph, CONFIG).program
    bench = Bench(dut)
    await bench.reset()
    for frame in range(2):
        x = random_input(graph, frame)
        regions = program.regions(x)
        await bench.regions({name: data.size for name, data in regions.items()})
        for name, data in regions.items():
            bench.memory.write(BASES[name], data.tobytes())
        await bench.start()
        assert await bench.wait(500_000) == DONE
        for name, data in regions.items():
            data[:] = np.frombuffer(bench.memory.read(BASES[name], data.size), np.uint8)
        results, wanted = program.results(regions), reference.run(graph, x)
        assert results
        for name, found in results.items():
            np.testing.assert_array_equal(found, wanted[name])


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def read_errors(dut: Any) -> None:
    """Of the header, of an instruction and of a load; then the next program runs."""
    faulty = Faulty()
    bench = Bench(dut, faulty)
    await bench.reset()
    here, data = BASES["PROGRAM"], BASES["INPUT"] + 16 * 700
    cases = (
        (range(here + 48, here + 49), (5, 0, 0)),
        (range(here + 64 + 64 * 5 + 32, here + 64 + 64 * 5 + 48), (5, 0, 5)),
        (range(data, data + 16), (5, LD, 4)),  # the third load
    )
    for bad, expected in cases:
        await failing(bench, faulty, bad, range(0), expected)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def write_errors(dut: Any) -> None:
    """DECERR of a store, as an interconnect answers where there is no memory; then the next program runs."""
    faulty = Faulty()
    bench = Bench(dut, faulty, AxiResp.DECERR)
    await bench.reset()
    end = BASES["WORK"] + 16 * 700  # in the third store
    await failing(bench, faulty, range(0), range(end, 1 << 30), (6, ST, 5))
    await failing(bench, faulty, range(BASES["INPUT"], BASES["INPUT"] + 1), range(0), (5, LD, 0))


async def failing(bench: Bench, faulty: Faulty, reads: range, writes: range, expected: tuple[int, int, int]) -> None:
    program = Program(CONFIG)
    traffic(program, 6)
    load(bench, program.pack(), {})
    await bench.regions()
    faulty.bad_reads, faulty.bad_writes = reads, writes
    await bench.start()
    assert await bench.wait(50_000) == ERROR
    assert await bench.fault() == expected
    await quiet(bench)
    faulty.bad_reads = faulty.bad_writes = range(0)
    await healthy(bench)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def soft_reset(dut: Any) -> None:
    """In the middle of bursts: they are completed, and the next program runs."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(7)
    for turn in range(8):
        program = Program(CONFIG)
        traffic(program, 6)
        load(bench, program.pack(), {})
        await bench.regions()
        await bench.start()
        await ClockCycles(dut.clk_i, rng.randrange(1, 900))
        await bench.write("CTRL", SOFT_RESET)
        for _ in range(200):
            status = await bench.read("STATUS")
            if not status & BUSY:
                break
        assert status == 0
        if turn % 2:
            await quiet(bench)
        await healthy(bench)
