# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Activation memory of the RTL: arbitration, latencies and contents as docs/engine.md, section 5.1, says."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitwright.hw.config import RTL
from bitwright.sim.rtl.build import build_library

pytestmark = pytest.mark.rtl

RD_LAT, WR_LAT = 5, 3
DEPTH = 1536  # no power of two: addresses beyond it exist
INDEX_BITS = 11
WIDTH = INDEX_BITS + 4
ONE_DEPTH, ONE_WIDTH = 64, 10  # of the memory of one bank
Array = npt.NDArray[np.integer]


@cache
def library(top: str = "bw_am") -> ctypes.CDLL:
    harness = Path(__file__).with_name("am_harness.cpp")
    depth, width = (DEPTH, WIDTH) if top == "bw_am" else (ONE_DEPTH, ONE_WIDTH)
    made = build_library(top, [RTL / f"{top}.sv"], harness, {"AM_DEPTH": depth, "ADDR_W": width}, include=[RTL])
    made.am_run.restype = ctypes.c_int64
    return made


@dataclass
class Log:
    """What the harness saw: cycles [ports, n], data [5, n, 16], pulses of errors [8]."""

    cycles: int
    rd_asked: Array
    rd_granted: Array
    rd_came: Array
    rd_data: Array
    wr_asked: Array
    wr_granted: Array
    errors: Array


def play(rd_address: Array, rd_gap: Array, wr_address: Array, wr_gap: Array, wr_data: Array, top: str = "bw_am") -> Log:
    n = rd_address.shape[1]
    inputs = [np.ascontiguousarray(a, np.uint16) for a in (rd_address, rd_gap, wr_address, wr_gap)]
    inputs.append(np.ascontiguousarray(wr_data, np.uint8))
    times = [np.full((p, n), -1, np.int64) for p in (5, 5, 5, 3, 3)]
    data, errors = np.zeros((5, n, 16), np.uint8), np.zeros(8, np.int64)
    arrays = [*inputs, *times[:3], data, *times[3:], errors]
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
    width = ctypes.c_int(WIDTH if top == "bw_am" else ONE_WIDTH)
    cycles = library(top).am_run(width, ctypes.c_int64(n), *pointers)
    assert cycles >= 0, "a port was never served, or served without a request"
    return Log(cycles, times[0], times[1], times[2], data, times[3], times[4], errors)


def bank(address: Array) -> Array:
    return (address >> (WIDTH - 2) << 2) | (address & 3)


def index(address: Array) -> Array:
    return address >> 2 & ((1 << INDEX_BITS) - 1)


def check_one_winner(banks: Array, asked: Array, granted: Array) -> None:
    """In every cycle each bank that is asked serves exactly one port."""
    served: dict[tuple[int, int], int] = defaultdict(int)
    wanted: set[tuple[int, int]] = set()
    for a, first, last in zip(banks.flat, asked.flat, granted.flat, strict=True):
        served[int(last), int(a)] += 1
        wanted.update((cycle, int(a)) for cycle in range(first, last + 1))
    assert set(served.values()) == {1}
    assert set(served) == wanted


def check_contents(log: Log, rd_address: Array, wr_address: Array, wr_data: Array, there: Array) -> None:
    """What is read is what was written WR_LAT cycles before or later. there: which of the words that are read exist."""
    history: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for a, when, data in sorted(
        ((int(a), int(t), bytes(d.astype(np.uint8))) for a, t, d in
         zip(wr_address.flat, log.wr_granted.flat, wr_data.reshape(-1, 16), strict=True)), key=lambda x: x[1]
    ):  # fmt: skip
        history[a].append((when, data))
    sure = 0
    reads = zip(rd_address.flat, log.rd_granted.flat, log.rd_data.reshape(-1, 16), there.flat, strict=True)
    for a, when, data, exists in reads:
        if not exists:
            continue
        settled = [d for t, d in history[int(a)] if t <= when - WR_LAT]
        moving = [d for t, d in history[int(a)] if when - WR_LAT < t <= when + RD_LAT]
        if settled or moving:
            assert bytes(data) in (settled[-1:] + moving if settled else [*moving, bytes(data)])
            sure += not moving
    assert sure > 100


@pytest.mark.parametrize("seed", range(6))
def test_random_traffic(seed: int) -> None:
    """Few words, so that ports meet and reads meet writes; a quarter of the runs has addresses beyond the memory."""
    rng = np.random.default_rng(seed)
    n, words = 3000, [12, 64, 4000][seed % 3]
    pool = rng.choice(1 << WIDTH, words, replace=False)
    if seed != 5:
        pool = pool[index(pool) < DEPTH]
    rd_address, wr_address = rng.choice(pool, (5, n)), rng.choice(pool, (3, n))
    gaps = [0, 1, 4][seed % 3]
    wr_data = rng.integers(0, 256, (3, n, 16))
    log = play(rd_address, rng.integers(0, gaps + 1, (5, n)), wr_address, rng.integers(0, gaps + 1, (3, n)), wr_data)

    check_one_winner(bank(rd_address), log.rd_asked, log.rd_granted)
    check_one_winner(bank(wr_address), log.wr_asked, log.wr_granted)
    assert (log.rd_came == log.rd_granted + RD_LAT).all()
    # 15 refusals, then at most the ports that are as urgent before it, each of which may come round once more.
    assert (log.rd_granted - log.rd_asked).max() <= 15 + 4 * 2
    assert (log.wr_granted - log.wr_asked).max() <= 15 + 2 * 2
    assert log.errors.tolist() == [*(index(rd_address) >= DEPTH).sum(1), *(index(wr_address) >= DEPTH).sum(1)]
    check_contents(log, rd_address, wr_address, wr_data, index(rd_address) < DEPTH)


@pytest.mark.parametrize("seed", range(3))
def test_one_bank(seed: int) -> None:
    """bw_am_one: ports take turns, latencies and contents as of the other."""
    rng = np.random.default_rng(seed)
    n, words, gaps = 3000, [12, 64, 1 << ONE_WIDTH][seed], [12, 0, 5][seed]
    pool = rng.choice(1 << ONE_WIDTH, words, replace=False)
    rd_address, wr_address = rng.choice(pool, (5, n)), rng.choice(pool, (3, n))
    wr_data = rng.integers(0, 256, (3, n, 16))
    waits = rng.integers(0, gaps + 1, (5, n)), rng.integers(0, gaps + 1, (3, n))
    log = play(rd_address, waits[0], wr_address, waits[1], wr_data, "bw_am_one")

    check_one_winner(np.zeros((5, n), np.int64), log.rd_asked, log.rd_granted)
    check_one_winner(np.zeros((3, n), np.int64), log.wr_asked, log.wr_granted)
    assert (log.rd_came == log.rd_granted + RD_LAT).all()
    assert (log.rd_granted - log.rd_asked).max() <= 4 and (log.wr_granted - log.wr_asked).max() <= 2
    assert not log.errors.any()
    check_contents(log, rd_address, wr_address, wr_data, np.ones((5, n), bool))


def test_neighbours_do_not_wait() -> None:
    """Five readers and three writers on banks of their own: one word a cycle each."""
    n = 2000
    steps = np.arange(n)
    rd_address = (steps[None] + np.arange(5)[:, None]) % 4 + 4 * (steps // 4) % (4 * DEPTH)
    rd_address = rd_address + (np.array([0, 0, 0, 0, 1])[:, None] << (WIDTH - 2))
    wr_address = (steps[None] + np.arange(3)[:, None]) % 4 + 4 * (steps // 4) % (4 * DEPTH)
    log = play(rd_address, np.zeros((5, n)), wr_address, np.zeros((3, n)), np.zeros((3, n, 16)))
    assert (log.rd_granted == log.rd_asked).all()
    assert (log.wr_granted == log.wr_asked).all()
    assert log.cycles == n + RD_LAT


def test_every_word_is_a_place_of_its_own() -> None:
    """All words are written through three ports, then read through five."""
    rng = np.random.default_rng(1)
    everything = np.concatenate([(b << (WIDTH - 2)) + np.arange(4 * DEPTH) for b in range(4)])
    third = everything.size // 3
    wr_address = everything.reshape(3, third)
    pad = np.zeros((3, everything.size - third), np.int64) + everything[0]
    wr_data = rng.integers(0, 256, (everything.size, 16))
    gap = np.zeros((3, everything.size))
    data = np.concatenate([wr_data.reshape(3, third, 16), np.broadcast_to(wr_data[0], (3, pad.shape[1], 16))], 1)
    rd_address = np.stack([np.roll(everything, 37 * p) for p in range(5)])
    rd_gap = np.zeros((5, everything.size))
    rd_gap[:, 0] = 20_000
    log = play(rd_address, rd_gap, np.concatenate([wr_address, pad], 1), gap, data)
    assert log.wr_granted[:, third - 1].max() < 20_000 - WR_LAT
    for port in range(5):
        assert (log.rd_data[port] == np.roll(wr_data, 37 * port, 0)).all()
