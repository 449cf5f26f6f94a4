# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""bw_requant against section 2.2 of docs/engine.md in 64-bit integers."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.hw.config import RTL
from bitwright.sim.rtl.build import build_library

pytestmark = pytest.mark.rtl

HERE = Path(__file__).parent
SHIFTS = (16, 24, 32, 40)
LATENCY = 8


def _pointer(array: np.ndarray[Any, Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def _library(lanes: int, depth: int, x_bits: int) -> ctypes.CDLL:
    parameters = {"LANES": lanes, "CONST_DEPTH": depth, "TAG_W": 7, "X_BITS": x_bits}
    return build_library("bw_requant", [RTL / "bw_requant.sv"], HERE / "requant_harness.cpp", parameters, [RTL])


def _golden(
    total: np.ndarray[Any, Any], shift: int, half_even: int, wrap: int, lo: int, hi: int
) -> np.ndarray[Any, Any]:
    t = total >> shift
    if half_even:
        t = np.where(total & ((1 << shift) - 1) == 0, t & ~1, t)
    return np.asarray((t if wrap else np.clip(t, lo, hi)) & 0xFF, np.uint8)


def _stimulus(
    rng: np.random.Generator, lanes: int, depth: int, x_bits: int, cycles: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Constants of every kind (also ones that make many exact ties), beats with gaps, sums of one to three beats."""
    kind = rng.integers(0, 3, (depth, lanes))
    multiplier = rng.integers(-(2**31), 2**31, (depth, lanes))
    multiplier = np.where(kind == 1, 1 << rng.integers(0, 31, (depth, lanes)), multiplier)
    addend = rng.integers(-(2**55), 2**55, (depth, lanes)) >> rng.integers(0, 40, (depth, lanes))
    addend = np.where(kind == 1, 1 << rng.integers(14, 40, (depth, lanes)), addend)
    multiplier[0, :4] = -(2**31), 2**31 - 1, -(2**31), 0
    addend[0, :4] = -(2**55), 2**55 - 1, 2**55 - 1, -(2**55)
    flags = np.zeros((cycles, 10), np.int32)
    flags[:, 0] = rng.integers(0, 8, cycles) > 0
    if cycles > 2000:
        flags[:1000, 0] = 1
    left = 0
    for c in np.flatnonzero(flags[:, 0]):
        first = left == 0
        left = int(rng.choice([1, 1, 1, 2, 3])) if first else left
        left -= 1
        flags[c, 1:3] = first, left == 0
    flags[:, 3] = rng.integers(0, depth, cycles)
    flags[:, 4] = rng.integers(0, 4, cycles)
    flags[:, 5] = rng.integers(0, 2, cycles)
    flags[:, 6] = rng.integers(0, 4, cycles) == 0
    bounds = np.array([(-128, 127), (0, 255), (-8, 7), (0, 15), (-512, 511), (3, 3)])
    flags[:, 7:9] = bounds[rng.integers(0, len(bounds), cycles)]
    flags[:, 9] = rng.integers(0, 128, cycles)
    x = rng.integers(-(2 ** (x_bits - 1)), 2 ** (x_bits - 1), (cycles, lanes)) >> rng.integers(
        0, x_bits, (cycles, lanes)
    )
    x[:2, :2] = -(2 ** (x_bits - 1)), 2 ** (x_bits - 1) - 1
    return multiplier, addend, flags, np.ascontiguousarray(x, np.int32)


@pytest.mark.parametrize(("lanes", "depth", "x_bits"), [(16, 64, 27), pytest.param(8, 16, 25, marks=pytest.mark.slow)])
def test_results_tags_and_latency(lanes: int, depth: int, x_bits: int) -> None:
    rng = np.random.default_rng(lanes)
    cycles = 6000
    multiplier, addend, flags, x = _stimulus(rng, lanes, depth, x_bits, cycles)
    loads = np.zeros((depth * lanes, 16), np.uint8)
    loads[:, :4] = multiplier.reshape(-1).astype("<i4").view(np.uint8).reshape(-1, 4)
    loads[:, 4:11] = addend.reshape(-1).astype("<i8").view(np.uint8).reshape(-1, 8)[:, :7]
    loads[:, 11:] = rng.integers(0, 256, (depth * lanes, 5))  # ignored

    wanted_y, wanted = [], []
    total = np.zeros(lanes, np.int64)
    for c in np.flatnonzero(flags[:, 0]):
        _, first, last, entry, shift, half_even, wrap, lo, hi, tag = (int(v) for v in flags[c])
        total = (addend[entry] if first else total) + x[c].astype(np.int64) * multiplier[entry]
        total = (total << 4) >> 4  # sixty bits, as in the hardware; only sums of three beats can leave them
        if last:
            wanted_y.append(_golden(total, SHIFTS[shift], half_even, wrap, lo, hi))
            wanted.append((c + LATENCY, tag))

    y, out = np.zeros((cycles, lanes), np.uint8), np.zeros((cycles, 2), np.int32)
    run = _library(lanes, depth, x_bits).requant_run
    count = run(lanes, len(loads), _pointer(loads), cycles, _pointer(flags), _pointer(x), _pointer(y), _pointer(out))
    assert count == len(wanted)
    np.testing.assert_array_equal(out[:count], np.array(wanted))
    np.testing.assert_array_equal(y[:count], np.array(wanted_y))
    ties = flags[:, 5] == 1
    assert ties.sum() > 1000  # the stimulus reaches the rule for ties
