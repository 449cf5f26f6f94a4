# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""LD and ST of the RTL: random programs change DRAM and activation memory as docs/engine.md says."""

from __future__ import annotations

import numpy as np
import pytest

from bitwright.hw.config import CONFIGS
from bitwright.sim.rtl.engine import RtlEngine
from tests.rtl.programs import REGION_BYTES, Program, all_words, engine, random_transfers, regions, words

pytestmark = pytest.mark.rtl


def check_random(name: str, seed: int, count: int, **bus: int | None) -> None:
    made = engine(name)
    regions(made)
    rng = np.random.default_rng(seed)
    made.memory[:] = rng.integers(0, 256, made.memory.size, np.uint8)
    am = all_words(made)
    expected = made.memory.copy()
    program = random_transfers(rng, made.config, count, expected, am)
    made.load(0, program)
    expected[: len(program)] = np.frombuffer(program, np.uint8)
    made.run(400_000, **bus)
    assert made.fault is None
    assert made.memory.tobytes() == expected.tobytes()
    assert all_words(made).tobytes() == am.tobytes()


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_under_stalls(seed: int) -> None:
    check_random("tiny", seed, 40, stall_seed=seed, latency=[3, 40, 200][seed % 3])


@pytest.mark.parametrize("seed", range(3))
def test_random_programs_on_a_slow_bus(seed: int) -> None:
    check_random("tiny", 100 + seed, 40, latency=[1, 60, 500][seed], beats_per_256=[256, 90, 30][seed])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_many_random_programs(seed: int) -> None:
    check_random("tiny", 1000 + seed, 150, stall_seed=seed, latency=seed * 5)


def test_words_travel_through_the_chip_and_back() -> None:
    """Each ST reads what the LD just before it wrote, into the place that the LD after it reads: every wait matters."""
    made = engine()
    rng = np.random.default_rng(5)
    made.memory[:] = rng.integers(0, 256, made.memory.size, np.uint8)
    source = words(made.memory)[REGION_BYTES // 16 :][:25].copy()
    program = Program(made.config)
    for step in range(60):
        program.add(
            "LD", "ST", REGION=1, OFFSET=step * 25, ADDRESS=7 * step, BEATS=25, ROWS=1, DRAM_STRIDE=0, LOCAL_STRIDE=0
        )
        program.add(
            "ST",
            "LD",
            REGION=1,
            OFFSET=step * 25 + 25,
            ADDRESS=7 * step,
            BEATS=5,
            ROWS=5,
            DRAM_STRIDE=5,
            LOCAL_STRIDE=5,
        )
    made.load(0, program.pack())
    made.run(100_000, stall_seed=9)
    assert made.fault is None
    assert (words(made.memory)[REGION_BYTES // 16 + 60 * 25 :][:25] == source).all()


def test_empty_transfers_are_finished_in_order() -> None:
    made = engine()
    made.memory[:] = np.random.default_rng(6).integers(0, 256, made.memory.size, np.uint8)
    program = Program(made.config)
    move = {"DRAM_STRIDE": 50, "LOCAL_STRIDE": 50}
    program.add("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=0, ROWS=3, **move)
    program.add("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=40, ROWS=1, **move)
    program.add("LD", REGION=2, OFFSET=0, ADDRESS=0, BEATS=4, ROWS=0, **move)
    program.add("ST", "LD", REGION=3, OFFSET=0, ADDRESS=0, BEATS=3, ROWS=0, **move)
    program.add("ST", REGION=3, OFFSET=0, ADDRESS=0, BEATS=40, ROWS=1, **move)
    program.add("ST", REGION=3, OFFSET=0, ADDRESS=0, BEATS=0, ROWS=0, **move)
    program.add("LD", "ST", REGION=3, OFFSET=0, ADDRESS=100, BEATS=40, ROWS=1, **move)
    program.add("ST", "LD", REGION=3, OFFSET=1000, ADDRESS=100, BEATS=40, ROWS=1, **move)
    made.load(0, program.pack())
    made.run(10_000, stall_seed=3)
    assert made.fault is None
    dram = words(made.memory).reshape(4, -1, 16)
    assert (dram[3, 1000:1040] == dram[2, :40]).all()


@pytest.mark.parametrize(("beats", "rows", "stride"), [(2000, 1, 0), (3, 600, 3), (40, 50, 45)])
def test_load_and_store_use_the_whole_bus(beats: int, rows: int, stride: int) -> None:
    """One beat a cycle but for the latency at the ends, also for rows that are short and without gap in DRAM."""
    made = engine()
    total = beats * rows
    for opcode, region in (("LD", 2), ("ST", 3)):
        program = Program(made.config)
        program.add(
            opcode, REGION=region, OFFSET=0, ADDRESS=0, BEATS=beats, ROWS=rows, DRAM_STRIDE=stride, LOCAL_STRIDE=beats
        )
        made.load(0, program.pack())
        cycles = made.run(20_000)
        counters = made.counters
        assert counters[f"{opcode}_BEATS"] == total
        assert counters["CYCLES"] <= cycles + 4
        assert cycles <= total * 1.02 + 2 * 40 + 40 + 60, (
            opcode,
            cycles,
            total,
        )  # two fetches, the latency, the pipeline


def test_short_loads_follow_each_other_without_gaps() -> None:
    """Fetch and addresses run ahead: 200 loads of 20 beats take little more than the beats of data and instructions."""
    made = engine()
    program = Program(made.config)
    for step in range(200):
        program.add("LD", REGION=2, OFFSET=20 * step, ADDRESS=step, BEATS=20, ROWS=1, DRAM_STRIDE=0, LOCAL_STRIDE=0)
    made.load(0, program.pack())
    cycles = made.run(50_000, latency=60)
    assert cycles <= (200 * 24) * 1.05 + 300


@pytest.mark.slow
@pytest.mark.parametrize("name", ["z7020", "zu3eg"])
def test_other_configurations(name: str) -> None:
    config = CONFIGS[name]
    made = engine(name)
    made.memory[:] = np.random.default_rng(8).integers(0, 256, made.memory.size, np.uint8)
    program = Program(config)
    for block in range(4):
        program.add(
            "LD", REGION=2, OFFSET=block * 1500, ADDRESS=config.block_base(block) + config.block_words - 1000,
            BEATS=100, ROWS=10, DRAM_STRIDE=105, LOCAL_STRIDE=100,
        )  # fmt: skip
        program.add(
            "ST", "LD", REGION=3, OFFSET=block * 1000 + 3, ADDRESS=config.block_base(block) + config.block_words - 1000,
            BEATS=1000, ROWS=1, DRAM_STRIDE=0, LOCAL_STRIDE=0,
        )  # fmt: skip
    made.load(0, program.pack())
    made.run(100_000, stall_seed=2)
    assert made.fault is None
    dram = words(made.memory).reshape(4, -1, 16)
    for block in range(4):
        source = np.stack([dram[2, block * 1500 + 105 * r :][:100] for r in range(10)]).reshape(-1, 16)
        assert (dram[3, block * 1000 + 3 :][:1000] == source).all()


def test_engines_end_in_any_order() -> None:
    """The first of several is taken down last."""
    config = CONFIGS["tiny"]
    engines = [RtlEngine(config, REGION_BYTES) for _ in range(3)]
    first = engines[0]
    del engines
    RtlEngine(config, REGION_BYTES).step(10)
    first.step(10)
    assert first.status == 0
    del first
