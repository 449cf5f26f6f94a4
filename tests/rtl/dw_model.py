# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Sections 2.2 and 2.4 of docs/engine.md in numpy, word by word, and random DW instructions that are legal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitwright.hw.config import EngineConfig
from bitwright.hw.isa import DW_MODES, SHIFTS

Array = np.ndarray[Any, Any]
Command = dict[str, int]
CONV, MAX, ADD, SQUARE, FREE = (DW_MODES.index(m) for m in ("CONV", "MAX", "ADD", "DEFORM_SQUARE", "DEFORM_FREE"))


@dataclass
class Unit:
    """What the unit and its memory hold.

    memory: uint8 (address, lane); weights: int8 (word, tap, lane); multiplier, addend: int64 (entry, lane);
    table: int64.
    """

    config: EngineConfig
    memory: Array
    weights: Array
    multiplier: Array
    addend: Array
    table: Array
    written: list[int] = field(default_factory=list)

    @staticmethod
    def random(config: EngineConfig, rng: np.random.Generator) -> Unit:
        """Random contents; constants that make small results, saturated ones and exact ties."""
        shape = (config.const_depth, 8)
        multiplier = rng.integers(-(2**31), 2**31, shape) >> rng.integers(0, 28, shape)
        ties = rng.integers(0, 4, shape) == 0
        multiplier = np.where(ties, 1 << rng.integers(8, 31, shape), multiplier)
        addend = np.where(
            ties, 1 << rng.integers(15, 40, shape), rng.integers(-(2**46), 2**46, shape) >> rng.integers(0, 46, shape)
        )
        return Unit(
            config,
            rng.integers(0, 256, (1 << config.address_bits, 16), dtype=np.uint8),
            rng.integers(-128, 128, (config.dw_weight_depth, 3, 16), dtype=np.int8),
            multiplier,
            addend,
            np.zeros(config.table_depth, np.int64),
        )

    def loads(self) -> Array:
        """All beats for the load ports: uint8 (n, 20), destination, 0, address, data."""
        config = self.config
        weight = np.full((config.dw_weight_depth, 4, 16), 0xEE, np.uint8)  # the fourth beat does not exist
        weight[:, :3] = self.weights.view(np.uint8)
        const = np.zeros((config.const_depth * 8, 16), np.uint8)
        const[:, :4] = self.multiplier.astype("<i4").reshape(-1, 1).view(np.uint8)
        const[:, 4:11] = self.addend.astype("<i8").reshape(-1, 1).view(np.uint8)[:, :7]
        table = self.table.astype("<u2").reshape(-1, 8).view(np.uint8)
        out = []
        for destination, data in enumerate((weight.reshape(-1, 16), const, table)):
            beats = np.zeros((len(data), 20), np.uint8)
            beats[:, 0] = destination
            beats[:, 2:4] = np.arange(len(data), dtype="<u2").reshape(-1, 1).view(np.uint8)
            beats[:, 4:] = data
            out.append(beats)
        return np.concatenate(out)

    def run(self, c: Command) -> None:
        """One instruction; every written address is appended to `written`."""
        mode = c["MODE"]
        best: dict[tuple[int, int], tuple[int, int]] = {}
        for p in range(c["PLANES"]):
            in_base = int(self.table[(c["IN_TABLE"] + p) % len(self.table)]) + c["IN_OFFSET"]
            out_base = int(self.table[(c["OUT_TABLE"] + p) % len(self.table)]) + c["OUT_OFFSET"]
            for oy in range(c["OH"]):
                for ox in range(c["OW"]):
                    dy, dx = self._offsets(c, oy, ox)
                    if mode == ADD:
                        results = self._add(c, p, in_base, oy, ox)
                    else:
                        acc = self._window(c, p, in_base, oy, ox, dy, dx)
                        entries = (c["CONST_BASE"] + 2 * p + np.arange(2)) % len(self.addend)
                        results = acc * self.multiplier[entries].reshape(16) + self.addend[entries].reshape(16)
                    address = self._wrap(out_base + oy * c["OUT_STEP_Y"] * c["OUT_PITCH"] + ox * c["OUT_STEP_X"])
                    self.memory[address] = requantize(results, c)
                    if c["ARGMAX"]:
                        for lane, key in enumerate(keys(results, c)):
                            if key > best.get((oy, ox), (-(1 << 30), 0))[0]:
                                best[oy, ox] = (key, 16 * p + lane)
                        self.memory[address] = 0
                        self.memory[address, 0] = best[oy, ox][1]
                    self.written.append(address)

    def _wrap(self, address: int) -> int:
        return address % len(self.memory)

    def _word(self, address: int, signed: int) -> Array:
        word = self.memory[self._wrap(address)]
        return np.asarray(word.view(np.int8) if signed else word, np.int64)

    def _activation(self, c: Command, base: int, y: int, x: int) -> Array | None:
        if not (0 <= y < c["H"] and 0 <= x < c["W"]):
            return None
        return self._word(base + (y >> c["UP_Y"]) * c["IN_PITCH"] + (x >> c["UP_X"]), c["ACT_SIGNED"]) - c["ZERO_POINT"]

    def _offsets(self, c: Command, oy: int, ox: int) -> tuple[Array, Array]:
        at = oy * c["OPERAND_PITCH"] + ox
        grid = np.arange(3) - 1
        if c["MODE"] == SQUARE:
            d = int(self._word(c["OPERAND_OFFSET"] + at, c["OPERAND_SIGNED"])[c["OFFSET_LANE"]])
            return np.repeat(grid[:, None] * d, 3, 1), np.repeat(grid[None] * d, 3, 0)
        if c["MODE"] == FREE:
            pair = np.concatenate([self._word(c[n] + at, 1) for n in ("OPERAND_OFFSET", "OPERAND_TABLE")])[:18]
            return pair[0::2].reshape(3, 3), pair[1::2].reshape(3, 3)
        none = np.zeros((c["KH"], c["KW"]), np.int64)
        return none, none

    def _window(self, c: Command, p: int, base: int, oy: int, ox: int, dy: Array, dx: Array) -> Array:
        acc = np.full(16, -256 if c["MODE"] == MAX else 0, np.int64)
        for i in range(c["KH"]):
            for j in range(c["KW"]):
                y = c["IY0"] + oy * c["STRIDE_Y"] + i * c["DILATION_Y"] + int(dy[i, j])
                x = c["IX0"] + ox * c["STRIDE_X"] + j * c["DILATION_X"] + int(dx[i, j])
                a = self._activation(c, base, y, x)
                if a is None:
                    continue
                if c["MODE"] == MAX:
                    acc = np.maximum(acc, a)
                else:
                    word = (c["WEIGHT_BASE"] + (p * c["KH"] + i) * c["KT"] + j // 3) % len(self.weights)
                    w = self.weights[word, j % 3].astype(np.int64)
                    if c["WIDE"]:
                        w = 128 * w + self.weights[(word + 1) % len(self.weights), j]
                    acc = acc + a * w
        return acc

    def _add(self, c: Command, p: int, base: int, oy: int, ox: int) -> Array:
        x0 = self._activation(c, base, c["IY0"] + oy * c["STRIDE_Y"], c["IX0"] + ox * c["STRIDE_X"])
        x0 = np.zeros(16, np.int64) if x0 is None else x0
        other = int(self.table[(c["OPERAND_TABLE"] + p) % len(self.table)]) + c["OPERAND_OFFSET"]
        x1 = self._word(other + oy * c["OPERAND_PITCH"] + ox, c["OPERAND_SIGNED"])
        e = (c["CONST_BASE"] + 4 * p + np.arange(4)) % len(self.addend)
        m0, m1 = self.multiplier[e[::2]].reshape(16), self.multiplier[e[1::2]].reshape(16)
        return np.asarray(x0 * m0 + x1 * m1 + self.addend[e[::2]].reshape(16))


def shifted(total: Array, c: Command) -> Array:
    """Int64 sums over the shift, rounded."""
    s = SHIFTS[c["SHIFT"]]
    t = total >> s
    return np.where(total & ((1 << s) - 1) == 0, t & ~1, t) if c["HALF_EVEN"] else t


def keys(total: Array, c: Command) -> list[int]:
    """What ARGMAX compares: 27 bits with sign."""
    low = shifted(total, c) & ((1 << 27) - 1)
    return [int(k) for k in np.where(low >> 26, low - (1 << 27), low)]


def requantize(total: Array, c: Command) -> Array:
    """Int64 sums to bytes."""
    t = shifted(total, c)
    return np.asarray((t if c["WRAP"] else np.clip(t, c["LO"], c["HI"])) & 0xFF, np.uint8)


class Maker:
    """Legal instructions: they read the lower half of the memory and write in the upper half, each word once."""

    def __init__(self, unit: Unit, rng: np.random.Generator) -> None:
        self.unit, self.rng = unit, rng
        self.half = len(unit.memory) // 2
        self.next_word = self.half
        self.next_table = int(rng.integers(0, len(unit.table)))

    def planes(self, bases: list[int]) -> int:
        """Put bases into the table; index of the first."""
        first = self.next_table
        for base in bases:
            self.unit.table[self.next_table % len(self.unit.table)] = base % (1 << 16)
            self.next_table += 1
        return first % len(self.unit.table)

    def outputs(self, c: Command) -> None:
        """OUT_TABLE, OUT_OFFSET, OUT_PITCH for the sizes in c."""
        rng = self.rng
        c["OUT_PITCH"] = c["OW"] * c["OUT_STEP_X"] + int(rng.integers(0, 4))
        offset = c["OUT_OFFSET"] = int(rng.integers(0, 9))
        bases = []
        for _ in range(c["PLANES"]):
            bases.append(self.next_word - offset)
            self.next_word += c["OH"] * c["OUT_STEP_Y"] * c["OUT_PITCH"] + int(rng.integers(0, 3))
        assert self.next_word <= len(self.unit.memory), "the test writes more than there is"
        c["OUT_TABLE"] = self.planes([int(b) for b in rng.permutation(bases)])

    def random(self, mode: int, work: int = 1500) -> Command:
        """A command of about `work` taps at most."""
        rng = self.rng

        def r(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        c: Command = {"MODE": mode}
        deform = mode in (SQUARE, FREE)
        kh, kw = (3, 3) if deform else (1, 1) if mode == ADD else (r(1, 9), r(1, 9)) if r(0, 1) else (r(1, 3), r(1, 3))
        wide = mode == CONV and r(0, 3) == 0
        if wide:  # within 27 bits
            kh, kw = r(1, 2), r(1, 3)
        c |= {"KH": kh, "KW": kw, "KT": 2 if wide else -(-kw // 3), "PLANES": r(1, 5)}
        c |= {"WIDE": int(wide), "ARGMAX": int(r(0, 3) == 0)}
        words = max(1, min(300, work // (kh * kw * c["PLANES"])))
        c["OW"] = r(1, min(words, 24))
        c["OH"] = r(1, max(1, words // c["OW"]))
        for axis, k, o in (("Y", kh, c["OH"]), ("X", kw, c["OW"])):
            c["STRIDE_" + axis], c["DILATION_" + axis], c["UP_" + axis] = r(0, 4), r(1, 4), r(0, 2)
            span = (o - 1) * c["STRIDE_" + axis] + (k - 1) * c["DILATION_" + axis] + 1
            c[f"I{axis}0"] = -r(0, min(span, 6)) if r(0, 2) else r(-2 * span - 3, 4)
            c["H" if axis == "Y" else "W"] = max(1, span + r(-6, 3))
        stored_h, stored_w = (c["H"] >> c["UP_Y"]) + 1, (c["W"] >> c["UP_X"]) + 1
        c["IN_PITCH"] = stored_w + r(0, 3)
        c["IN_OFFSET"] = r(0, 20)
        room = self.half - stored_h * c["IN_PITCH"] - c["IN_OFFSET"]
        assert room > 0, "the input does not fit"
        c["IN_TABLE"] = self.planes([r(0, room) for _ in range(c["PLANES"])])
        c["OPERAND_PITCH"] = c["OW"] + r(0, 3)
        size = c["OH"] * c["OPERAND_PITCH"]
        c["OPERAND_OFFSET"] = r(0, 20) if mode == ADD else r(0, self.half - size)
        c["OPERAND_TABLE"] = r(0, self.half - size)
        if mode == ADD:
            c["OPERAND_TABLE"] = self.planes([r(0, self.half - size - 20) for _ in range(c["PLANES"])])
        c["OPERAND_SIGNED"], c["OFFSET_LANE"] = r(0, 1), r(0, 15)
        c["OUT_STEP_Y"], c["OUT_STEP_X"] = (
            (r(1, 16), 16) if c["OH"] * c["OW"] * c["PLANES"] < 5 and r(0, 7) == 0 else (r(1, 2), r(1, 2))
        )
        spread = c["PLANES"] * (c["OH"] * c["OUT_STEP_Y"] * (c["OW"] * c["OUT_STEP_X"] + 3) + 2)
        if spread > (len(self.unit.memory) - self.next_word) // 2:  # little room is left: the results lie close
            c["OUT_STEP_Y"] = c["OUT_STEP_X"] = 1
        self.outputs(c)
        c["ACT_SIGNED"] = r(0, 1)
        # The difference has 9 bits.
        c["ZERO_POINT"] = r(-127, 128) if c["ACT_SIGNED"] else r(0, 255)
        if r(0, 2) == 0:
            c["ZERO_POINT"] = 0
        c["WEIGHT_BASE"] = r(0, self.unit.config.dw_weight_depth - 1)
        c["CONST_BASE"] = r(0, self.unit.config.const_depth - 1)
        c["SHIFT"], c["HALF_EVEN"], c["WRAP"] = r(0, 3), r(0, 1), r(0, 1)
        c["LO"], c["HI"] = ((-128, 127), (0, 255), (-8, 7), (-256, 255))[r(0, 3)]
        return c


def simple(unit: Unit, maker: Maker, mode: int, oh: int, ow: int, planes: int, k: int, **more: int) -> Command:
    """A plain layer with padding k // 2, stride 1, one input plane of the same size each."""
    c: Command = {"MODE": mode, "PLANES": planes, "OH": oh, "OW": ow, "KH": k, "KW": k, "KT": -(-k // 3)}
    c |= {"WIDE": 0, "ARGMAX": 0}
    c |= {
        "STRIDE_Y": 1,
        "STRIDE_X": 1,
        "DILATION_Y": 1,
        "DILATION_X": 1,
        "H": oh,
        "W": ow,
        "IY0": -(k // 2),
        "IX0": -(k // 2),
    }
    c |= {
        "UP_Y": 0,
        "UP_X": 0,
        "ACT_SIGNED": 1,
        "ZERO_POINT": 0,
        "IN_PITCH": ow,
        "IN_OFFSET": 0,
        "OUT_STEP_Y": 1,
        "OUT_STEP_X": 1,
    }
    c |= {"SHIFT": 1, "HALF_EVEN": 1, "WRAP": 0, "LO": -128, "HI": 127, "WEIGHT_BASE": 5, "CONST_BASE": 3}
    c |= {"OPERAND_PITCH": ow, "OPERAND_OFFSET": 0, "OPERAND_TABLE": 0, "OPERAND_SIGNED": 1, "OFFSET_LANE": 0}
    c |= more
    c.setdefault("IN_TABLE", maker.planes([p * oh * ow for p in range(planes)]))
    if mode == ADD:
        # In another block than the first word, as the compiler lays them out.
        c["OPERAND_TABLE"] = maker.planes([maker.half // 2 + p * oh * ow for p in range(planes)])
    maker.outputs(c)
    return c
