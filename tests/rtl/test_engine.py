# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The whole RTL against `ProgramMachine`, the numpy model of docs/engine.md: random programs of all four units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from bitwright.hw import isa
from bitwright.hw.config import EngineConfig
from bitwright.sim.program import ProgramMachine
from bitwright.sim.rtl.engine import EngineFault
from tests.rtl.programs import REGION_BYTES, Program, engine, regions

pytestmark = pytest.mark.rtl

SLOT = 128  # words of a place for a plane
SLOTS = 16  # places at the end of each block
CONSTANTS = 8 << 10  # byte offset of weights, constants and tables in PROGRAM


@dataclass
class Hazards:
    """What an instruction must wait for: the writers of what it reads, the writers and readers of what it writes."""

    program: Program
    writers: dict[str, tuple[str, int]] = field(default_factory=dict)
    readers: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def add(self, opcode: str, reads: set[str], writes: set[str], **values: int) -> None:
        waits = dict.fromkeys(isa.UNITS, 0)
        for resource in reads | writes:
            before = [self.writers[resource]] if resource in self.writers else []
            if resource in writes:
                before += self.readers.get(resource, [])
            for unit, count in before:
                waits[unit] = max(waits[unit], count)
        self.program.add(opcode, **{f"WAIT_{u}": n for u, n in waits.items()}, **values)
        me = (opcode, self.program.counts[opcode])
        for resource in writes:
            self.writers[resource] = me
            self.readers[resource] = []
        for resource in reads:
            self.readers.setdefault(resource, []).append(me)


class Generator:
    """A random program; `data` holds its weights, constants and tables."""

    def __init__(self, rng: np.random.Generator, config: EngineConfig) -> None:
        self.rng, self.config = rng, config
        self.program = Program(config)
        self.hazards = Hazards(self.program)
        self.words = min(config.weight_depth // 2, 128)  # of the pointwise weights that are used in each half
        self.tables: dict[str, list[int]] = {"PW": [], "DW": []}
        self.data = bytearray()
        self.slots = [
            config.block_base(b) + config.block_words - SLOT * (SLOTS - s) for b in range(4) for s in range(SLOTS)
        ]

    def pick(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def below(self, high: int) -> int:
        return int(self.rng.integers(high))

    def table(self, unit: str, bases: list[int]) -> int:
        self.tables[unit] += bases
        return len(self.tables[unit]) - len(bases)

    def constants(self, entries: int) -> bytes:
        """Requantizers with small results, saturated ones and ties."""
        m = self.rng.integers(-(2**31), 2**31, entries) >> self.rng.integers(0, 28, entries)
        m = np.where(self.rng.random(entries) < 0.2, 1 << self.rng.integers(8, 31, entries), m)
        a = self.rng.integers(-(2**45), 2**45, entries) >> self.rng.integers(0, 45, entries)
        a = np.where(self.rng.random(entries) < 0.3, 1 << self.rng.integers(15, 40, entries), a)
        raw = np.zeros((entries, 16), np.uint8)
        raw[:, :4] = m.astype("<i4")[:, None].view(np.uint8).reshape(entries, 4)
        raw[:, 4:11] = a.astype("<i8")[:, None].view(np.uint8).reshape(entries, 8)[:, :7]
        return raw.tobytes()

    def load(self, destination: str, address: int, data: bytes, writes: set[str], **rows: int) -> None:
        offset = (CONSTANTS + len(self.data)) // 16
        self.data += data
        shape = {"BEATS": len(data) // 16, "ROWS": 1, "DRAM_STRIDE": 0, "LOCAL_STRIDE": 0} | rows
        dest = isa.DESTINATIONS.index(destination)
        self.hazards.add("LD", set(), writes, DEST=dest, REGION=0, OFFSET=offset, ADDRESS=address, **shape)

    def parameters(self, half: int) -> None:
        """New weights and constants in one half of the memories."""
        c = self.config
        weights = self.rng.bytes(self.words * c.weight_beats * 16)
        self.load("PW_WEIGHT", half * c.weight_depth // 2 * c.weight_beats, weights, {f"PW{half}"})
        lanes = c.const_depth // 2 * c.requant_lanes
        self.load("PW_CONST", half * lanes, self.constants(lanes), {f"PW{half}"})
        if not c.dw:
            return
        rows = c.dw_weight_depth // 2
        self.load(
            "DW_WEIGHT", half * rows * 4, self.rng.bytes(rows * 48), {f"DW{half}"}, BEATS=3, ROWS=rows, DRAM_STRIDE=3,
            LOCAL_STRIDE=4,
        )  # fmt: skip
        self.load("DW_CONST", half * c.const_depth // 2 * 8, self.constants(c.const_depth // 2 * 8), {f"DW{half}"})

    def common(self, kh: int, kw: int, half: int) -> dict[str, int]:
        low, high = sorted(self.rng.integers(-256, 256, 2).tolist())
        up_y, up_x = self.pick(0, 0, 1), self.pick(0, 0, 1)
        height, width = 1 + self.below(11), 1 + self.below(11)
        signed = self.below(2)
        zero = self.pick(0, 0, -128, 127, -3) if signed else self.pick(0, 0, 128, 255, 3)  # activations less it: 9 bits
        return {
            "STRIDE_Y": self.pick(1, 1, 2), "STRIDE_X": self.pick(1, 1, 2), "DILATION_Y": self.pick(1, 1, 2),
            "DILATION_X": self.pick(1, 1, 2), "H": height << up_y, "W": width << up_x, "UP_Y": up_y, "UP_X": up_x,
            "ACT_SIGNED": signed, "IY0": self.pick(0, -1, -(kh // 2), 1), "IX0": self.pick(0, -1, -(kw // 2), 1),
            "IN_PITCH": width, "IN_OFFSET": self.pick(0, 0, SLOT - height * width),
            "ZERO_POINT": zero, "SHIFT": self.below(4), "HALF_EVEN": self.pick(0, 1),
            "WRAP": self.pick(0, 0, 0, 1), "LO": low, "HI": high, "KH": kh, "KW": kw,
        }  # fmt: skip

    def places(self, reads: int, writes: int) -> tuple[list[int], list[int]]:
        """Base addresses of planes that differ."""
        slots = self.rng.choice(self.slots, reads + writes, replace=False).tolist()
        return slots[:reads], slots[reads:]

    @staticmethod
    def names(bases: list[int]) -> set[str]:
        return {f"slot{b}" for b in bases}

    def pointwise(self, half: int) -> None:
        c = self.config
        kh, kw, planes, w8 = self.pick(1, 1, 3), self.pick(1, 1, 3), 1 + self.below(3), self.pick(0, 0, 1)
        subs = 1 + self.below(3)
        total = 0 if c.dw or w8 else self.pick(0, 1)
        channels = subs * (c.pairs if w8 or total else 2 * c.pairs)
        sources, targets = self.places(planes, -(-channels // 16))
        steps = subs * kh * kw * planes
        oh, ow = 1 + self.below(11), 1 + self.below(11)
        entries = subs * c.pairs * (1 if w8 else 2) // c.requant_lanes
        values = self.common(kh, kw, half) | {
            "PLANES": planes, "SUBS": subs, "W8": w8, "SUM": total, "OH": oh, "OW": ow, "OUT_PITCH": ow,
            "IN_TABLE": self.table("PW", sources), "OUT_TABLE": self.table("PW", targets),
            "OUT_OFFSET": self.pick(0, SLOT - oh * ow),
            "WEIGHT_BASE": half * c.weight_depth // 2 + self.below(self.words - steps + 1),
            "CONST_BASE": half * c.const_depth // 2 + self.below(c.const_depth // 2 - entries + 1),
        }  # fmt: skip
        if total:  # activations less a zero point have 9 bits, of both kinds
            values |= {"SECOND_SIGNED": self.below(2), "ZERO_POINT": 0}
        self.hazards.add("PW", self.names(sources) | {f"PW{half}", "PW table"}, self.names(targets), **values)

    def depthwise(self, half: int, mode: str) -> None:
        c = self.config
        kh, kw = {"ADD": (1, 1), "DEFORM_SQUARE": (3, 3), "DEFORM_FREE": (3, 3)}.get(
            mode, (1 + self.below(5), 1 + self.below(5))
        )
        planes, kt = 1 + self.below(min(3, c.const_depth // 8)), -(-kw // 3)
        operands = {"ADD": planes, "DEFORM_SQUARE": 1, "DEFORM_FREE": 2}.get(mode, 0)
        sources, targets = self.places(planes + operands, planes)
        step_y, step_x = self.pick(1, 1, 2), self.pick(1, 1, 2)
        oh, ow = 1 + self.below(11 // step_y), 1 + self.below(11 // step_x)
        extra = sources[planes:]
        entries = planes * (4 if mode == "ADD" else 2)
        values = self.common(kh, kw, half) | {
            "MODE": isa.DW_MODES.index(mode), "PLANES": planes, "KT": kt, "OH": oh, "OW": ow, "OUT_PITCH": 11,
            "OUT_STEP_Y": step_y, "OUT_STEP_X": step_x, "IN_TABLE": self.table("DW", sources[:planes]),
            "OUT_TABLE": self.table("DW", targets), "OUT_OFFSET": self.pick(0, 3), "OPERAND_PITCH": ow,
            "OPERAND_SIGNED": self.pick(0, 1), "OFFSET_LANE": self.below(16),
            "WEIGHT_BASE": half * c.dw_weight_depth // 2 + self.below(c.dw_weight_depth // 2 - planes * kh * kt + 1),
            "CONST_BASE": half * c.const_depth // 2 + self.below(c.const_depth // 2 - entries + 1),
        }  # fmt: skip
        if mode == "ADD":
            values |= {"OPERAND_TABLE": self.table("DW", extra), "OPERAND_OFFSET": self.pick(0, 2)}
        elif extra:
            values |= {"OPERAND_OFFSET": extra[0], "OPERAND_TABLE": extra[-1]}
        self.hazards.add("DW", self.names(sources) | {f"DW{half}", "DW table"}, self.names(targets), **values)

    def make(self, count: int) -> tuple[bytes, bytes]:
        """The program, and the bytes at CONSTANTS. The activation memory comes from INPUT and goes to OUTPUT."""
        everything = self.names(self.slots)
        moves = [
            {"BEATS": SLOT, "ROWS": SLOTS, "DRAM_STRIDE": SLOT, "LOCAL_STRIDE": SLOT, "OFFSET": b * SLOT * SLOTS,
             "ADDRESS": self.slots[b * SLOTS]}
            for b in range(4)
        ]  # fmt: skip
        for move in moves:
            self.hazards.add("LD", set(), everything, REGION=2, **move)
        tables_at = {}
        for unit in ("PW", "DW") if self.config.dw else ("PW",):
            tables_at[unit] = len(self.data)
            self.load(f"{unit}_TABLE", 0, bytes(2 * self.config.table_depth), {f"{unit} table"})
        self.parameters(0)
        self.parameters(1)
        for step in range(count):
            half = step // 6 % 2
            if self.below(2) or not self.config.dw:
                self.pointwise(half)
            else:
                self.depthwise(half, isa.DW_MODES[self.below(5)])
            if step % 6 == 5:  # while the other half is in use
                self.parameters(half)
            if self.below(4) == 0:  # something is written out and read again on the way
                (source,), (target,) = self.places(1, 1)
                place = {"BEATS": SLOT, "ROWS": 1, "DRAM_STRIDE": 0, "LOCAL_STRIDE": 0, "REGION": 1}
                dram = SLOT * self.below(8)
                self.hazards.add(
                    "ST", self.names([source]), {f"dram{dram}"}, OFFSET=dram, ADDRESS=source, **place
                )  # fmt: skip
                self.hazards.add("LD", {f"dram{dram}"}, self.names([target]), OFFSET=dram, ADDRESS=target, **place)
        for move in moves:
            self.hazards.add("ST", everything, set(), REGION=3, **move)
        for unit, at in tables_at.items():
            raw = np.array(self.tables[unit], "<u2").tobytes()
            self.data[at : at + len(raw)] = raw
        program = self.program.pack()
        assert len(program) <= CONSTANTS and CONSTANTS + len(self.data) <= REGION_BYTES
        return program, bytes(self.data)


def check(name: str, seed: int, count: int, **bus: int | None) -> None:
    made = engine(name)
    regions(made)
    rng = np.random.default_rng(seed)
    made.memory[:] = rng.integers(0, 256, made.memory.size, np.uint8)
    program, data = Generator(rng, made.config).make(count)
    made.load(0, program)
    made.load(CONSTANTS, data)
    machine = ProgramMachine(
        made.config, {n: made.memory.reshape(4, -1)[r].copy() for r, n in enumerate(isa.REGIONS)}
    )  # fmt: skip
    machine.run()
    made.run(2_000_000, **bus)
    assert made.fault is None
    for number, region in enumerate(isa.REGIONS):
        wrong = np.flatnonzero(made.memory.reshape(4, -1)[number] != machine.regions[region])
        assert not wrong.size, f"{region}: {wrong.size} bytes, first at {wrong[0]:#x}"
    instructions = [isa.decode(program[at : at + 64])[0] for at in range(64, len(program), 64)]
    for unit in ("PW", "DW"):  # a short program may have no instruction of one of them
        assert (made.counters[f"{unit}_BUSY"] > 0) == (unit in instructions)


@pytest.mark.parametrize("seed", range(10))
def test_random_programs(seed: int) -> None:
    stalls = None if seed % 2 else seed
    check("tiny", seed, 16, stall_seed=stalls, latency=[5, 40, 200][seed % 3])


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_on_the_reduced_build(seed: int) -> None:
    """4 pairs, multipliers of 18 bits, activations in 4 banks: an address is the same, who waits is not."""
    check("small", 200 + seed, 16, stall_seed=None if seed % 2 else seed, latency=[5, 40, 200][seed % 3])


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_without_the_depthwise_unit(seed: int) -> None:
    """2 pairs, sums on the array."""
    check("bare", 300 + seed, 16, stall_seed=None if seed % 2 else seed, latency=[5, 40, 200][seed % 3])


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_with_few_registers(seed: int) -> None:
    """Columns added by a tree, activations in one bank, no queues."""
    check("least", 400 + seed, 16, stall_seed=None if seed % 2 else seed, latency=[5, 40, 200][seed % 3])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_without_the_depthwise_unit(seed: int) -> None:
    check("bare", 900 + seed, 16, stall_seed=seed, latency=2 * seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_random_programs(seed: int) -> None:
    check("tiny", 500 + seed, 16, stall_seed=seed, latency=2 * seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["z7020", "zu3eg"])
@pytest.mark.parametrize("seed", range(10))
def test_other_configurations(name: str, seed: int) -> None:
    check(name, seed, 8, stall_seed=seed, latency=40)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["PW", "DW"])
@pytest.mark.parametrize("writes", [False, True])
def test_an_address_that_leaves_the_memory(unit: str, writes: bool) -> None:
    """Where a block is no power of two, there are addresses that do not exist."""
    made = engine("z7020")
    regions(made)
    config = made.config
    program = Program(config)
    hole = config.block_base(2) + config.block_words
    near, far = config.block_base(1), hole - 3
    table = np.array([near, far] if writes else [far, near], "<u2")
    made.load(2 * REGION_BYTES, table.view(np.uint8))
    program.add(
        "LD", DEST=isa.DESTINATIONS.index(f"{unit}_TABLE"), REGION=2, OFFSET=0, ADDRESS=0, BEATS=1, ROWS=1,
        DRAM_STRIDE=0, LOCAL_STRIDE=0,
    )  # fmt: skip
    shape = {"PLANES": 1, "KH": 1, "KW": 1, "STRIDE_Y": 1, "STRIDE_X": 1, "OH": 1, "H": 1, "OUT_TABLE": 1}
    shape |= {"SUBS": 1} if unit == "PW" else {"KT": 1, "OUT_STEP_Y": 1, "OUT_STEP_X": 1}
    for width in (3, 4):  # the first fits; ERROR names the oldest that is not finished, so the second waits for it
        program.add(unit, f"LD {unit}", OW=width, W=width, **shape)
    made.load(0, program.pack())
    made.run(5000)
    assert made.fault == EngineFault(7, isa.OPCODES[unit], 2)
    check("z7020", 3, 4, stall_seed=None)


@pytest.mark.parametrize("seed", range(4))
def test_soft_reset_while_everything_runs(seed: int) -> None:
    """Whatever the units were doing, the next program finds them clean."""
    made = engine()
    regions(made)
    rng = np.random.default_rng(700 + seed)
    program, data = Generator(rng, made.config).make(10)
    made.load(0, program)
    made.load(CONSTANTS, data)
    made.set_bus(stall_seed=seed)
    for _ in range(6):
        made.start()
        made.step(int(rng.integers(9000, 22_000)))  # the loads take about 9000 cycles
        made.soft_reset()
        made.wait(1)
        for _ in range(100):
            if not made.status:
                break
            made.step(20)
        assert made.status == 0
    check("tiny", 800 + seed, 6, stall_seed=seed)
