# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""bw_dw against docs/engine.md 2.4: the whole memory after random instructions under random grants, and the cycles."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.hw.config import CONFIGS, RTL
from bitwright.hw.isa import encode
from bitwright.sim.rtl.build import build_library
from tests.rtl.dw_model import ADD, CONV, FREE, MAX, SQUARE, Command, Maker, Unit, simple

pytestmark = pytest.mark.rtl

HERE = Path(__file__).parent
SOURCES = [
    RTL / f"bw_{name}.sv"
    for name in (
        "requant",
        "dw_fifo",
        "dw_port",
        "dw_plan",
        "dw_walk",
        "dw_addr",
        "dw_mac",
        "dw_argmax",
        "dw_out",
        "dw",
    )
]
ERRORS = {
    -1: "too long",
    -2: "a held request changed",
    -3: "done_o without a command",
    -4: "busy_o and stall_o together",
}


class Config(ctypes.Structure):
    _fields_ = [
        ("addr_w", ctypes.c_int32),
        ("grant", ctypes.c_int32 * 3),
        ("banked", ctypes.c_int32),
        ("neighbour", ctypes.c_int32),
        ("write", ctypes.c_int32),
        ("offer", ctypes.c_int32),
        ("flush_at", ctypes.c_int32),
        ("padding", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
    ]


@functools.cache
def _library(name: str) -> ctypes.CDLL:
    config = CONFIGS[name]
    parameters = {
        "DW_WEIGHT_DEPTH": config.dw_weight_depth,
        "CONST_DEPTH": config.const_depth,
        "TABLE_DEPTH": config.table_depth,
        "ADDR_W": config.address_bits,
    }
    library: ctypes.CDLL = build_library("bw_dw", SOURCES, HERE / "dw_harness.cpp", parameters, [RTL])
    library.dw_run.restype = ctypes.c_int64
    return library


def _pointer(array: np.ndarray[Any, Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def _check(
    unit: Unit, commands: Sequence[Command], waits: Sequence[int] | None = None, **neighbours: Any
) -> tuple[int, int, int]:
    """Run RTL and model from the same state, compare the memories and the times of writes and done_o.

    Returns cycles from the first acceptance to the last done_o, busy and stall cycles.
    """
    settings: dict[str, Any] = {
        "grant": (100, 100, 100),
        "banked": 0,
        "neighbour": 0,
        "write": 100,
        "offer": 100,
        "flush_at": 0,
        "seed": 1,
    }
    settings |= neighbours
    grant = (ctypes.c_int32 * 3)(*settings.pop("grant"))
    config = Config(addr_w=unit.config.address_bits, grant=grant, **settings)
    memory = unit.memory.copy()
    loads = unit.loads()
    program = np.frombuffer(b"".join(encode("DW", **c) for c in commands), np.uint8)
    wait = np.array(waits if waits is not None else [0] * len(commands), np.int32)
    ends = []
    unit.written = []
    for c in commands:
        unit.run(c)
        ends.append(len(unit.written))
    done = np.zeros(len(commands), np.int64)
    written = np.zeros(len(unit.written), np.int64)
    stats = np.zeros(3, np.int64)
    cycles = _library(unit.config.name).dw_run(
        ctypes.byref(config), _pointer(loads), len(loads), _pointer(program), _pointer(wait), len(commands),
        _pointer(memory), ctypes.c_int64(1_000_000), _pointer(done), _pointer(written),
        ctypes.c_int64(len(written)), _pointer(stats),
    )  # fmt: skip
    assert cycles > 0, ERRORS[cycles]
    wrong = np.flatnonzero((memory != unit.memory).any(1))
    assert not len(wrong), (
        f"{len(wrong)} words differ, first {wrong[0]:#x}: {memory[wrong[0]]} not {unit.memory[wrong[0]]}"
    )
    assert stats[0] == len(written)
    assert (done - written[np.array(ends) - 1] >= 4).all()
    return cycles, int(stats[1]), int(stats[2])


def _unit(name: str, seed: int) -> tuple[Unit, Maker, np.random.Generator]:
    rng = np.random.default_rng(seed)
    unit = Unit.random(CONFIGS[name], rng)
    return unit, Maker(unit, rng), rng


def _neighbours(rng: np.random.Generator, kind: int) -> dict[str, Any]:
    def share() -> int:
        return int(rng.choice([5, 20, 50, 80, 100]))

    out: dict[str, Any] = {"write": share(), "offer": share(), "seed": int(rng.integers(1, 1 << 30))}
    if kind % 2:
        return out | {"banked": 1, "neighbour": int(rng.choice([0, 30, 70]))}
    return out | {"grant": (share(), share(), share())}


@pytest.mark.parametrize("seed", range(12))
def test_random(seed: int) -> None:
    """Commands of all five modes back to back."""
    unit, maker, rng = _unit("zu3eg", seed)
    modes = [*rng.permutation([CONV, MAX, ADD, SQUARE, FREE]), *rng.integers(0, 5, 3)]
    _check(unit, [maker.random(int(m)) for m in modes], **_neighbours(rng, seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "z7020"])
@pytest.mark.parametrize("seed", range(100, 120))
def test_random_other_configurations(name: str, seed: int) -> None:
    unit, maker, rng = _unit(name, seed)
    modes = rng.integers(0, 5, 6)
    _check(unit, [maker.random(int(m), 700) for m in modes], **_neighbours(rng, seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1150))
def test_random_more(seed: int) -> None:
    unit, maker, rng = _unit("zu3eg", seed)
    _check(unit, [maker.random(int(m)) for m in rng.integers(0, 5, 8)], **_neighbours(rng, seed))


def test_small_commands() -> None:
    """Many commands of one to six words: more are offered than may be in flight, several finish close together."""
    unit, maker, rng = _unit("zu3eg", 7)
    commands = [maker.random(int(m), 6) for m in rng.integers(0, 5, 60)]
    _check(unit, commands)
    unit, maker, rng = _unit("zu3eg", 8)
    commands = [maker.random(int(m), 6) for m in rng.integers(0, 5, 60)]
    _check(unit, commands, grant=(5, 90, 30), write=50)


def test_global_pool_and_empty_windows() -> None:
    """The mean of a 7 x 7 plane with weights of 1; windows that lie outside altogether."""
    unit, maker, rng = _unit("zu3eg", 21)
    unit.weights[:] = 1
    pool = simple(unit, maker, CONV, 1, 1, 20, 7, IY0=0, IX0=0, H=7, W=7, IN_PITCH=7)
    empty = [maker.random(m) | {"IY0": -2000} for m in (CONV, MAX, ADD, SQUARE)]
    wide = simple(unit, maker, CONV, 1, 2, 1, 1, KH=255, KW=31, KT=11, H=250, W=32, IN_PITCH=32)
    _check(unit, [pool, *empty, wide], **_neighbours(rng, 0))


@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_labels_of_few_pixels(pixels: int) -> None:
    """Words of one pixel follow one another so closely that the best so far is not in its memory yet."""
    unit, maker, _ = _unit("zu3eg", 24)
    commands = [simple(unit, maker, CONV, 1, pixels, 12, 1, ARGMAX=1, CONST_BASE=k % 32) for k in range(40)]
    for grant in (15, 40, 100):
        _check(unit, commands, grant=(grant, 100, 100), seed=grant)


def test_done_means_written() -> None:
    """Each command reads what the one before wrote, as soon as that is finished."""
    unit, maker, _ = _unit("zu3eg", 22)
    commands = [simple(unit, maker, CONV, 6, 7, 2, 3)]
    for mode in (MAX, ADD, SQUARE, CONV, FREE, CONV):
        before = commands[-1]
        more = {"IN_TABLE": before["OUT_TABLE"], "IN_OFFSET": before["OUT_OFFSET"], "IN_PITCH": before["OUT_PITCH"]}
        commands.append(simple(unit, maker, mode, 6, 7, 2, 1 if mode == ADD else 3, **more))
    _check(unit, commands, list(range(len(commands))))


@pytest.mark.parametrize("flush_at", [3, 20, 40, 61, 200, 377])
def test_flush(flush_at: int) -> None:
    """After a flush in the middle of anything the same program gives the same words."""
    unit, maker, _ = _unit("zu3eg", 23)
    commands = [simple(unit, maker, m, 8, 8, 2, 1 if m == ADD else 3) for m in (SQUARE, CONV, ADD, FREE, MAX)]
    _check(unit, commands, flush_at=flush_at, banked=1, neighbour=30, write=50)


def _words(c: Command) -> int:
    return c["PLANES"] * c["OH"] * c["OW"]


def _near_offsets(unit: Unit, maker: Maker, rng: np.random.Generator, mode: int) -> Command:
    """Offset planes with small offsets, so that nearly all taps are inside (a tap outside costs no read)."""
    if mode not in (SQUARE, FREE):
        return {}
    start = maker.half // 2
    unit.memory[start : maker.half] = rng.integers(-1, 3, (maker.half - start, 16)).astype(np.int8).view(np.uint8)
    return {"OPERAND_OFFSET": start, "OPERAND_TABLE": start + 1024}


@pytest.mark.parametrize(
    ("mode", "k", "per_word", "fill"),
    [(CONV, 3, 3, 60), (MAX, 3, 3, 60), (SQUARE, 3, 4, 80), (FREE, 3, 4, 80), (ADD, 1, 4, 60), (CONV, 1, 2, 60)],
)
def test_cycles(mode: int, k: int, per_word: int, fill: int) -> None:
    """Ports that are always granted."""
    unit, maker, rng = _unit("zu3eg", 31)
    c = simple(unit, maker, mode, 16, 32, 3, k, **_near_offsets(unit, maker, rng, mode))
    cycles, busy, stall = _check(unit, [c])
    print(f"mode {mode} {k}x{k}: {_words(c)} words, {cycles} cycles, busy {busy}, stall {stall}")
    assert cycles <= per_word * _words(c) + fill
    assert busy == _words(c) * k


@pytest.mark.parametrize(("ow", "step"), [(32, 1), (33, 1), (14, 1), (30, 2)])
def test_cycles_banked(ow: int, step: int) -> None:
    """The real banks with nobody else on them."""
    unit, maker, _ = _unit("zu3eg", 32)
    c = simple(unit, maker, CONV, 16, ow, 3, 3)
    if step == 2:
        c |= {"STRIDE_Y": 2, "STRIDE_X": 2, "H": 32, "W": 60, "IN_PITCH": 60}
    cycles, _, _ = _check(unit, [c], banked=1)
    print(f"banked, width {ow}, stride {step}: {_words(c)} words, {cycles} cycles = {cycles / _words(c):.3f} a word")
    assert cycles <= 3.2 * _words(c) + 80


def test_cycles_back_to_back() -> None:
    """The next command starts right behind the last triple of the one before."""
    unit, maker, _ = _unit("zu3eg", 33)
    commands = [simple(unit, maker, CONV, 8, 8, 1, 3) for _ in range(6)]
    cycles, _, _ = _check(unit, commands)
    assert cycles <= 3 * 6 * 64 + 60
