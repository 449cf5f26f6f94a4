# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""bw_pw against sections 2.2 and 2.3 of docs/engine.md: every written word and its address, order, protocol, cycles."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.hw.config import RTL
from bitwright.hw.isa import SHIFTS, encode
from bitwright.sim.rtl.build import build_library

pytestmark = pytest.mark.rtl

HERE = Path(__file__).parent
SOURCES = [RTL / f"{n}.sv" for n in (
    "bw_requant", "bw_pw_array", "bw_pw_tree", "bw_pw_loop", "bw_pw_gen", "bw_pw_out", "bw_pw"
)]  # fmt: skip
WEIGHTS, CONSTANTS, TABLE, ADDRESS_BITS = 64, 16, 64, 15
ADDRESS_MASK = (1 << ADDRESS_BITS) - 1
#: Table entry of a word that is not written.
NOWHERE = 0xFFFF

Array = np.ndarray[Any, Any]
Command = dict[str, int]


class _Run(ctypes.Structure):
    _fields_ = (
        [(n, ctypes.c_void_p) for n in ("memory", "weights", "constants", "table", "commands")]
        + [(n, ctypes.c_void_p) for n in ("words", "writes", "times")]
        + [(n, ctypes.c_int32) for n in ("weight_beats", "constant_beats", "table_beats", "count", "room")]
        + [(n, ctypes.c_int32) for n in ("read_chance", "write_chance", "command_chance", "flush_at", "limit", "seed")]
        + [(n, ctypes.c_int32) for n in ("written", "busy", "stall")]
    )  # fmt: skip


@cache
def _library(pairs: int, small: int = 0) -> ctypes.CDLL:
    parameters = {
        "PAIRS": pairs, "WEIGHT_DEPTH": WEIGHTS, "CONST_DEPTH": CONSTANTS, "TABLE_DEPTH": TABLE, "ADDR_W": ADDRESS_BITS,
        "MUL18": int(pairs <= 4), "SUMS": int(pairs == 2), "SMALL": small,
    }  # fmt: skip
    return build_library("bw_pw", SOURCES, HERE / "pw_harness.cpp", parameters, [RTL])


@dataclass
class Machine:
    """Contents of the memories. weights: word, lane, column; constants: entry, lane."""

    pairs: int
    memory: Array
    weights: Array
    multiplier: Array
    addend: Array
    table: Array

    @classmethod
    def random(cls, pairs: int, rng: np.random.Generator) -> Machine:
        lanes = min(pairs, 16)
        # constants that bring sums of a few thousand to eight bits, some of them powers of two, which make ties
        multiplier = rng.integers(-(2**14), 2**14, (CONSTANTS, lanes))
        multiplier = np.where(
            rng.random((CONSTANTS, lanes)) < 0.5, 1 << rng.integers(10, 16, (CONSTANTS, lanes)), multiplier
        )
        addend = rng.integers(-(2**22), 2**22, (CONSTANTS, lanes))
        addend = np.where(rng.random((CONSTANTS, lanes)) < 0.5, 1 << 15, addend)
        table = rng.integers(0, 1 << 13, TABLE, np.uint16)
        table[rng.integers(0, TABLE, 6)] = NOWHERE
        return cls(
            pairs,
            rng.integers(0, 256, (1 << 16, 16), np.uint8),
            rng.integers(0, 256, (WEIGHTS, 16, pairs), np.uint8),
            multiplier,
            addend,
            table,
        )

    def beats(self) -> tuple[Array, Array, Array]:
        constants = np.zeros((*self.multiplier.shape, 16), np.uint8)
        constants[..., :4] = self.multiplier.astype("<i4").view(np.uint8).reshape(*self.multiplier.shape, 4)
        constants[..., 4:11] = self.addend.astype("<i8").view(np.uint8).reshape(*self.addend.shape, 8)[..., :7]
        return self.weights.reshape(-1, 16), constants.reshape(-1, 16), self.table.view(np.uint8).reshape(-1, 16)


def _activations(m: Machine, c: Command, oy: int, ox: int) -> Array:
    """One row of 16 activations for each i, j, plane."""
    rows = []
    for i in range(c["KH"]):
        for j in range(c["KW"]):
            y = c["IY0"] + oy * c["STRIDE_Y"] + i * c["DILATION_Y"]
            x = c["IX0"] + ox * c["STRIDE_X"] + j * c["DILATION_X"]
            for p in range(c["PLANES"]):
                if 0 <= y < c["H"] and 0 <= x < c["W"]:
                    base = int(m.table[(c["IN_TABLE"] + p) % TABLE]) + c["IN_OFFSET"]
                    word = m.memory[(base + (y >> c["UP_Y"]) * c["IN_PITCH"] + (x >> c["UP_X"])) & ADDRESS_MASK]
                    second = c.get("SUM") and p % 2
                    signed = c["SECOND_SIGNED" if second else "ACT_SIGNED"]
                    values = word.view(np.int8) if signed else word
                    rows.append(values.astype(np.int64) - c["ZERO_POINT"])
                else:
                    rows.append(np.zeros(16, np.int64))
    return np.array(rows)


def golden(m: Machine, c: Command) -> tuple[list[int], list[Array]]:
    """Addresses and words that a command writes, in order."""
    steps = c["KH"] * c["KW"] * c["PLANES"]
    lanes = min(m.pairs, 16)
    parts = []
    for sub in range(c["SUBS"]):
        word = m.weights[(c["WEIGHT_BASE"] + sub * steps + np.arange(steps)) % WEIGHTS]
        low, high = ((word & 15 ^ 8).astype(np.int64) - 8, (word >> 4 ^ 8).astype(np.int64) - 8)
        parts += [word.view(np.int8).astype(np.int64)] if c["W8"] else [low, high]
    matrix = np.concatenate(parts, axis=2)  # step, lane, channel
    channels = matrix.shape[2]
    beat, lane = np.divmod(np.arange(channels), lanes)
    entry = (c["CONST_BASE"] + beat) % CONSTANTS
    shift = SHIFTS[c["SHIFT"]]
    addresses, words = [], []
    for oy in range(c["OH"]):
        for ox in range(c["OW"]):
            acc = np.einsum("sl,slc->c", _activations(m, c, oy, ox), matrix)
            assert np.all(abs(acc) < 1 << 26)
            total, addend = acc * m.multiplier[entry, lane], m.addend[entry, lane]
            if c.get("SUM"):  # of the two halves of the columns, with the addend of the first
                total = total.reshape(-1, 2, lanes).sum(axis=1).reshape(-1)
                addend = addend.reshape(-1, 2, lanes)[:, 0].reshape(-1)
            total = total + addend
            t = total >> shift
            if c["HALF_EVEN"]:
                t = np.where(total & ((1 << shift) - 1) == 0, t & ~1, t)
            y = ((t if c["WRAP"] else np.clip(t, c["LO"], c["HI"])) & 0xFF).astype(np.uint8)
            y = np.concatenate([y, np.zeros(-len(y) % 16, np.uint8)]).reshape(-1, 16)
            for w, word in enumerate(y):
                base = int(m.table[(c["OUT_TABLE"] + w) % TABLE])
                if base != NOWHERE:
                    addresses.append((base + c["OUT_OFFSET"] + oy * c["OUT_PITCH"] + ox) & ADDRESS_MASK)
                    words.append(word)
    return addresses, words


def _drops_last(m: Machine, c: Command) -> bool:
    """The last word of a pixel is not written."""
    channels = c["SUBS"] * m.pairs * (1 if c["W8"] or c.get("SUM") else 2)
    return int(m.table[(c["OUT_TABLE"] + -(-channels // 16) - 1) % TABLE]) == NOWHERE


def _steps(c: Command) -> int:
    return c["OH"] * c["OW"] * c["SUBS"] * c["KH"] * c["KW"] * c["PLANES"]


def _command(rng: np.random.Generator, **fixed: int) -> Command:
    """A random instruction of at most 1500 steps."""
    while True:

        def pick(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        kh, kw = ((1, 1), (1, 1), (3, 3), (1, 3), (3, 1))[pick(0, 4)]
        signed = pick(0, 1)
        zero = pick(-128, 127) if signed else pick(0, 255)
        lo, hi = ((-128, 127), (0, 255), (0, 15), (-8, 7), (-100, 200))[pick(0, 4)]
        c: Command = {
            "PLANES": pick(1, 4) if pick(0, 2) else pick(5, 20), "SUBS": pick(1, 4), "KH": kh, "KW": kw,
            "STRIDE_Y": pick(1, 3), "STRIDE_X": pick(1, 3), "DILATION_Y": pick(1, 3), "DILATION_X": pick(1, 3),
            "OH": pick(1, 6), "OW": pick(1, 9), "H": pick(1, 16), "W": pick(1, 16), "UP_Y": pick(0, 3),
            "UP_X": pick(0, 3), "IY0": pick(-4, 3), "IX0": pick(-4, 3), "IN_PITCH": pick(1, 40),
            "OUT_PITCH": pick(1, 40), "IN_TABLE": pick(0, 300), "OUT_TABLE": pick(0, 300), "WEIGHT_BASE": pick(0, 200),
            "CONST_BASE": pick(0, 40), "IN_OFFSET": pick(0, 4000), "OUT_OFFSET": pick(0, 4000), "ACT_SIGNED": signed,
            "ZERO_POINT": zero * pick(0, 1), "SHIFT": pick(0, 1), "HALF_EVEN": pick(0, 1),
            "WRAP": int(pick(0, 3) == 0), "LO": lo, "HI": hi,
            "W8": pick(0, 1), **fixed,
        }  # fmt: skip
        if _steps(c) <= 1500:
            return c


@dataclass
class Result:
    words: Array
    addresses: Array
    write_cycles: Array
    accepted: Array
    done: Array
    busy: int
    stall: int


def _run(m: Machine, commands: list[Command], room: int, **options: int) -> Result:
    loads = m.beats()
    data = np.frombuffer(b"".join(encode("PW", **c) for c in commands), np.uint8)
    words, writes = np.zeros((room, 16), np.uint8), np.zeros((room, 2), np.int32)
    times = np.zeros((len(commands), 2), np.int32)
    limit = 2000 + 60 * room + 12 * sum(4 * c["OH"] * c["OW"] * c["SUBS"] + _steps(c) for c in commands)
    run = _Run(
        m.memory.ctypes.data, *(b.ctypes.data for b in loads), data.ctypes.data, words.ctypes.data, writes.ctypes.data,
        times.ctypes.data, *(len(b) for b in loads), len(commands), room,
        options.get("read", 256), options.get("write", 256), options.get("command", 256), options.get("flush", -1),
        limit, options.get("seed", 1),
    )  # fmt: skip
    code = _library(m.pairs).pw_run(ctypes.byref(run))
    assert code == 0, f"protocol error {code} after {run.written} of {room} words"
    n = run.written
    return Result(words[:n], writes[:n, 0], writes[:n, 1], times[:, 0], times[:, 1], run.busy, run.stall)


def _check(m: Machine, commands: list[Command], **options: int) -> Result:
    wanted = [golden(m, c) for c in commands]
    addresses = np.array([a for part, _ in wanted for a in part])
    words = np.array([w for _, part in wanted for w in part], np.uint8).reshape(-1, 16)
    result = _run(m, commands, len(words), **options)
    assert len(result.words) == len(words)
    np.testing.assert_array_equal(result.addresses, addresses)
    np.testing.assert_array_equal(result.words, words)
    ends = np.cumsum([len(part) for part, _ in wanted]) - 1
    cycles = np.append(result.write_cycles, -4)  # -1: no word so far
    lasts = cycles[ends] + 4
    dropped = np.array([_drops_last(m, c) for c in commands])  # then it is done when the word was passed over
    np.testing.assert_array_equal(result.done[~dropped], lasts[~dropped])
    assert np.all(result.done[dropped] > lasts[dropped])
    if "flush" not in options:
        assert result.busy == sum(_steps(c) for c in commands)
    return result


ALL_PAIRS = [2, 4, 8, 32, pytest.param(16, marks=pytest.mark.slow)]


@pytest.mark.parametrize("pairs", ALL_PAIRS)
@pytest.mark.parametrize("seed", range(6))
def test_random_instructions_back_to_back(pairs: int, seed: int) -> None:
    rng = np.random.default_rng([pairs, seed])
    m = Machine.random(pairs, rng)
    commands = [_command(rng) for _ in range(8)]
    chances = ((256, 256, 256), (200, 256, 256), (256, 60, 256), (128, 128, 30), (40, 256, 256), (230, 200, 100))[seed]
    _check(m, commands, read=chances[0], write=chances[1], command=chances[2], seed=seed)


@pytest.mark.parametrize("pairs", ALL_PAIRS)
def test_tiny_instructions_overlap(pairs: int) -> None:
    """One to four steps each, so that many are under way at once and sub-passes are shorter than their results."""
    rng = np.random.default_rng(pairs)
    m = Machine.random(pairs, rng)
    small = {"PLANES": 1, "KH": 1, "KW": 1, "OH": 1, "OW": 1}
    commands = [_command(rng, **small, SUBS=int(rng.integers(1, 4))) for _ in range(200)]
    _check(m, commands)
    _check(m, commands, read=100, write=70, seed=3)


@pytest.mark.parametrize("seed", range(6))
def test_sums(seed: int) -> None:
    """Among other instructions: planes in turn of two signednesses, each with its multiplier."""
    rng = np.random.default_rng(seed)
    m = Machine.random(2, rng)
    commands = []
    for number in range(24):
        total = {"SUM": 1, "W8": 0, "SECOND_SIGNED": number // 2 % 2, "ZERO_POINT": 0, "SUBS": 1 + number % 17}
        commands.append(_command(rng, **(total if number % 4 else {})))
    chances = ((256, 256, 256), (200, 256, 256), (256, 60, 256), (128, 128, 30), (40, 256, 256), (230, 200, 100))[seed]
    _check(m, commands, read=chances[0], write=chances[1], command=chances[2], seed=seed)


@pytest.mark.parametrize("pairs", ALL_PAIRS)
def test_extremes_of_the_packed_sums(pairs: int) -> None:
    """Largest activations times largest weights of either sign: the lower sum must not leak into the upper one."""
    rng = np.random.default_rng(pairs)
    m = Machine.random(pairs, rng)
    m.memory[:] = rng.choice([0, 127, 128, 255], m.memory.shape)
    m.memory[::3] = rng.choice([0, 255], (len(m.memory[::3]), 1))
    m.weights[:] = rng.choice([0x88, 0x77, 0x87, 0x78, 0x80, 0x08, 0x7F, 0xF0, 0xFF], m.weights.shape)
    m.weights[::2] = rng.choice([0x88, 0x77, 0x87, 0x78, 0x80, 0x7F, 0xFF], (WEIGHTS // 2, 1, 1))
    m.multiplier[:], m.addend[:] = 1 << 16, 0  # the accumulators themselves, byte by byte
    fixed = {"WRAP": 1, "HALF_EVEN": 0, "SHIFT": 0}
    commands = []
    for shift in (0, 1):  # low bytes, then the next ones
        for w8 in (0, 1):
            for signed, zero in ((0, 0), (0, 255), (1, 127), (1, -128)):
                c = _command(
                    rng, **fixed, W8=w8, ACT_SIGNED=signed, ZERO_POINT=zero, PLANES=6, OH=3, OW=3, SUBS=2, KH=1, KW=1
                )
                commands.append(c | {"SHIFT": shift})
    _check(m, commands)


@pytest.mark.parametrize("pairs", ALL_PAIRS)
def test_flush_forgets_everything(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    m = Machine.random(pairs, rng)
    commands = [_command(rng, OH=3, OW=4) for _ in range(4)]
    for flush in (1, 3, 10, 45, 80, 200, 333):
        _check(m, commands, read=180, write=100, flush=flush, seed=flush)


@pytest.mark.parametrize("pairs", ALL_PAIRS)
@pytest.mark.parametrize("w8", [0, 1])
def test_cycles(pairs: int, w8: int) -> None:
    """A step a cycle when ports are always granted: N + 60 for one instruction, N1 + N2 + 70 for two."""
    rng = np.random.default_rng(pairs)
    m = Machine.random(pairs, rng)
    lanes = min(pairs, 16)
    beats = (1 if w8 else 2) * pairs // lanes
    fixed = {"W8": w8, "IY0": 0, "IX0": 0, "KH": 1, "KW": 1}
    for planes in (1, 2, 4, 5, 16):
        commands = [
            _command(rng, **fixed, PLANES=planes, SUBS=3, OH=4, OW=7),
            _command(rng, **fixed, PLANES=planes, SUBS=2, OH=5, OW=6),
        ]
        ideal = [_steps(c) * max(planes, beats) // planes for c in commands]
        alone = [_check(m, [c]) for c in commands]
        for result, n in zip(alone, ideal, strict=True):
            assert result.done[0] - result.accepted[0] <= n + 60
            passes = n // max(planes, beats)
            assert result.stall == (passes - 1) * max(
                beats - planes, 0
            )  # waits for the serializer and for nothing else
        both = _check(m, commands)
        assert both.done[1] - both.accepted[0] <= sum(ideal) + 70


def test_wide_counters_and_coordinates() -> None:
    """Counts and coordinates near the ends of their fields: long rows, many planes, far outside the map."""
    rng = np.random.default_rng(5)
    m = Machine.random(8, rng)
    one = {"KH": 1, "KW": 1, "SUBS": 1, "PLANES": 1, "OH": 1, "OW": 1, "UP_Y": 0, "UP_X": 0}
    commands = [
        _command(rng, **one | {"OW": 1400}, H=4095, W=4095, STRIDE_X=15, IX0=-9000, IY0=0, IN_PITCH=1),
        _command(rng, **one | {"OH": 1200}, H=4095, W=4095, STRIDE_Y=15, IX0=0, IY0=-9000, IN_PITCH=1, OUT_PITCH=2),
        _command(rng, **one | {"PLANES": 255, "SUBS": 5}),
        _command(rng, **one | {"SUBS": 255, "PLANES": 3}),
        _command(
            rng,
            **one | {"KH": 15, "KW": 15, "PLANES": 2},
            DILATION_Y=31,
            DILATION_X=31,
            IX0=-200,
            IY0=-200,
            H=300,
            W=250,
        ),
        _command(rng, **one | {"OW": 60}, IX0=32767, STRIDE_X=15, DILATION_X=31),
        _command(rng, **one | {"OW": 60}, IX0=-32768, IY0=-32768),
        _command(rng, **one | {"OH": 2, "OW": 2}, IN_TABLE=65535, OUT_TABLE=65535, WEIGHT_BASE=65535, CONST_BASE=65535),
    ]
    _check(m, commands)


@pytest.mark.parametrize("pairs", ALL_PAIRS)
def test_slow_writes_hold_the_steps_back(pairs: int) -> None:
    """Far more words than the output queue holds, written far slower than they are made."""
    rng = np.random.default_rng(pairs)
    m = Machine.random(pairs, rng)
    short = {"KH": 1, "KW": 1, "PLANES": 1, "OH": 4, "OW": 20}
    commands = [_command(rng, **short, W8=0, SUBS=2), _command(rng, **short, W8=1, SUBS=3)]
    for write in (10, 128):
        assert _check(m, commands, write=write).stall > 0


@pytest.mark.parametrize("pairs", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_columns_added_by_a_tree(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SMALL: the same words at the same addresses."""
    library = _library
    monkeypatch.setitem(globals(), "_library", lambda n: library(n, 1))
    for seed in range(6):
        test_random_instructions_back_to_back(pairs, seed)
    test_tiny_instructions_overlap(pairs)
    test_extremes_of_the_packed_sums(pairs)
    test_flush_forgets_everything(pairs)
    for w8 in (0, 1):
        test_cycles(pairs, w8)
    if pairs == 2:
        test_sums(0)
