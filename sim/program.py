# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Executes engine programs as docs/engine.md defines them, instruction by instruction, without time.

It is the middle between the integer graph and the RTL: when it agrees with the reference the compiler is right, when
the RTL agrees with it the hardware is. Instructions may run in any order that their waits allow (``seed``), which shows
a missing wait.
"""

from __future__ import annotations

import random
from collections import deque

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import SimulationError
from bitwright.hw.config import LANES, EngineConfig
from bitwright.hw.isa import (
    ACC_BITS,
    DESTINATIONS,
    DW_MODES,
    INSTRUCTION_BYTES,
    ISA_VERSION,
    PROGRAM_MAGIC,
    REGIONS,
    SHIFTS,
    UNITS,
    decode,
)

Memory = NDArray[np.uint8]
Fields = dict[str, int]
Values = NDArray[np.int64]


class ProgramMachine:
    """The state that programs see.

    Attributes:
        regions: bytes of every region, by name.
    """

    def __init__(self, config: EngineConfig, regions: dict[str, Memory]) -> None:
        self.config = config
        self.regions = regions
        words = 1 << config.address_bits
        self.activations = np.zeros((words, LANES), np.uint8)
        self.weights = np.zeros((config.weight_depth * config.weight_beats, 16), np.uint8)
        self.dw_weights = np.zeros((config.dw_weight_depth * 4, 16), np.uint8)
        self.pw_const = np.zeros((config.const_depth * config.requant_lanes, 16), np.uint8)
        self.dw_const = np.zeros((config.const_depth * 8, 16), np.uint8)
        self.tables = {u: np.zeros((config.table_depth // 8, 16), np.uint8) for u in ("PW", "DW")}
        self.memories: dict[str, Memory] = {
            "AM": self.activations, "PW_WEIGHT": self.weights, "PW_CONST": self.pw_const, "PW_TABLE": self.tables["PW"],
            "DW_WEIGHT": self.dw_weights, "DW_CONST": self.dw_const, "DW_TABLE": self.tables["DW"],
        }  # fmt: skip

    def run(self, seed: int | None = None) -> None:
        """Run the program in the region PROGRAM to its END.

        Args:
            seed: None runs in program order; else a random order among those that the waits allow.

        Raises SimulationError for what the engine would refuse, and when the waits can never be met.
        """
        program = self.regions["PROGRAM"].tobytes()
        magic, version, config, count = np.frombuffer(program[:16], "<u4").tolist()
        if magic != PROGRAM_MAGIC or version != ISA_VERSION:
            raise SimulationError(
                f"the program begins with {magic:#x}, version {version}; this engine has {ISA_VERSION}"
            )
        if config != self.config.hash:
            raise SimulationError(f"the program is for configuration {config:#x}, this is {self.config.hash:#x}")
        steps = [decode(program[INSTRUCTION_BYTES * (i + 1) : INSTRUCTION_BYTES * (i + 2)]) for i in range(count)]
        queues: dict[str, deque[Fields]] = {u: deque() for u in UNITS}
        done = dict.fromkeys(UNITS, 0)
        dice = random.Random(seed)
        if steps[-1][0] != "END":
            raise SimulationError("the program does not end with END")
        if seed is None:
            for number, (opcode, fields) in enumerate(steps[:-1]):
                if not self._ready(fields, done):
                    raise SimulationError(f"instruction {number} ({opcode}) waits for one that comes later")
                self._execute(opcode, fields)
                done[opcode] += 1
            return
        for opcode, fields in steps[:-1]:
            queues[opcode].append(fields)
        while any(queues.values()):
            able = [u for u in UNITS if queues[u] and self._ready(queues[u][0], done)]
            if not able:
                heads = {u: q[0] for u, q in queues.items() if q}
                raise SimulationError(f"no instruction can start: {done} finished, waiting {heads}")
            unit = dice.choice(able)
            self._execute(unit, queues[unit].popleft())
            done[unit] += 1

    @staticmethod
    def _ready(fields: Fields, done: dict[str, int]) -> bool:
        return all(done[u] >= fields[f"WAIT_{u}"] for u in UNITS)

    def _execute(self, opcode: str, f: Fields) -> None:
        if opcode in ("LD", "ST"):
            self._move(opcode, f)
        elif opcode == "PW":
            self._array(f)
        else:
            self._channels(f)

    def _move(self, opcode: str, f: Fields) -> None:
        region = self.regions[REGIONS[f["REGION"]]]
        local = self.memories[DESTINATIONS[f["DEST"]] if opcode == "LD" else "AM"]
        for row in range(f["ROWS"]):
            at = 16 * (f["OFFSET"] + row * f["DRAM_STRIDE"])
            here = f["ADDRESS"] + row * f["LOCAL_STRIDE"]
            if at + 16 * f["BEATS"] > len(region) or here + f["BEATS"] > len(local):
                raise SimulationError(f"{opcode} leaves region {REGIONS[f['REGION']]} or its memory: {f}")
            outside = region[at : at + 16 * f["BEATS"]].reshape(-1, 16)
            if opcode == "LD":
                local[here : here + f["BEATS"]] = outside
            else:
                outside[...] = local[here : here + f["BEATS"]]

    def _table(self, unit: str, first: int, count: int) -> Values:
        entries = self.tables[unit].reshape(-1).view("<u2").astype(np.int64)
        return entries[(first + np.arange(count)) % len(entries)]

    def _word(self, address: Values) -> Memory:
        taken: Memory = self.activations[address & ((1 << self.config.address_bits) - 1)]
        return taken

    @staticmethod
    def _value(word: Memory, signed: int) -> Values:
        return (word.view(np.int8) if signed else word).astype(np.int64)

    def _tap(self, f: Fields, base: Values, y: Values, x: Values) -> tuple[Values, NDArray[np.bool_]]:
        """Activations (.., 16) less the zero point, 0 outside; and what is inside."""
        inside = (y >= 0) & (y < f["H"]) & (x >= 0) & (x < f["W"])
        yy, xx = np.where(inside, y, 0), np.where(inside, x, 0)
        address = base + f["IN_OFFSET"] + (yy >> f["UP_Y"]) * f["IN_PITCH"] + (xx >> f["UP_X"])
        a = self._value(self._word(address & 0xFFFF), f["ACT_SIGNED"]) - f["ZERO_POINT"]
        return np.where(inside[..., None], a, 0), inside

    def _shifted(self, f: Fields, v: Values) -> Values:
        shift = SHIFTS[f["SHIFT"]]
        t = v >> shift
        if f["HALF_EVEN"]:
            t = np.where((v & ((1 << shift) - 1)) == 0, t & ~1, t)
        return t

    def _requantize(self, f: Fields, v: Values) -> Memory:
        t = self._shifted(f, v)
        if not f["WRAP"]:
            t = np.clip(t, f["LO"], f["HI"])
        return (t & 0xFF).astype(np.uint8)

    def _labels(self, f: Fields, v: Values, p: int, best: Values) -> Memory:
        """Words with the label of the greatest channel so far in lane 0. ``best``: (2, OH, OW), key and label."""
        low = self._shifted(f, v) & ((1 << ACC_BITS) - 1)
        key = np.where(low >> (ACC_BITS - 1), low - (1 << ACC_BITS), low)
        lane = key.argmax(axis=-1)
        greatest = key.max(axis=-1)
        better = (greatest > best[0]) | (p == 0)
        best[0] = np.where(better, greatest, best[0])
        best[1] = np.where(better, p * LANES + lane, best[1])
        words = np.zeros(v.shape, np.uint8)
        words[..., 0] = best[1]
        return words

    @staticmethod
    def _constants(raw: Memory) -> tuple[Values, Values]:
        """Multipliers and addends of (.., 16) bytes."""
        m = np.ascontiguousarray(raw[..., :4]).view("<i4")[..., 0].astype(np.int64)
        wide = np.zeros((*raw.shape[:-1], 8), np.uint8)
        wide[..., 1:] = raw[..., 4:11]
        return m, wide.view("<i8")[..., 0] >> 8

    def _grid(self, f: Fields) -> tuple[Values, Values]:
        oy, ox = np.mgrid[: f["OH"], : f["OW"]]
        return oy.astype(np.int64), ox.astype(np.int64)

    def _array(self, f: Fields) -> None:
        config = self.config
        oy, ox = self._grid(f)
        if f["SUM"] and config.dw:
            raise SimulationError(f"PW sums in a build without a depthwise unit only: {f}")
        width = config.pairs if f["W8"] else 2 * config.pairs
        steps = f["KH"] * f["KW"] * f["PLANES"]
        index = (f["WEIGHT_BASE"] + np.arange(f["SUBS"] * steps)) % config.weight_depth
        raw = self.weights.reshape(config.weight_depth, LANES, config.pairs)[index]
        if f["W8"]:
            w = raw.view(np.int8).astype(np.int64)
        else:
            nibbles = np.concatenate([raw & 15, raw >> 4], axis=2).astype(np.int64)
            w = np.where(nibbles > 7, nibbles - 16, nibbles)
        w = w.reshape(f["SUBS"], steps, LANES, width)
        acc = np.zeros((f["OH"], f["OW"], f["SUBS"], width), np.int64)
        step = 0
        for i in range(f["KH"]):
            for j in range(f["KW"]):
                for p, base in enumerate(self._table("PW", f["IN_TABLE"], f["PLANES"])):
                    y = f["IY0"] + oy * f["STRIDE_Y"] + i * f["DILATION_Y"]
                    x = f["IX0"] + ox * f["STRIDE_X"] + j * f["DILATION_X"]
                    second = f["SUM"] and p % 2
                    a, _ = self._tap(f | {"ACT_SIGNED": f["SECOND_SIGNED"]} if second else f, base, y, x)
                    flat = a.reshape(-1, LANES).astype(np.float64) @ w[:, step].transpose(1, 0, 2).reshape(LANES, -1)
                    acc += flat.astype(np.int64).reshape(acc.shape)
                    step += 1
        channels = f["SUBS"] * width
        entries = (f["CONST_BASE"] * config.requant_lanes + np.arange(channels)) % len(self.pw_const)
        m, c = self._constants(self.pw_const[entries])
        v = acc.reshape(f["OH"], f["OW"], channels) * m
        if f["SUM"]:  # of the halves of the columns, with the addend of the lower one
            v = v.reshape(f["OH"], f["OW"], f["SUBS"], 2, config.pairs).sum(axis=3).reshape(*oy.shape, -1)
            c = c.reshape(f["SUBS"], 2, config.pairs)[:, 0].reshape(-1)
        y8 = self._requantize(f, v + c)
        y8 = np.pad(y8, ((0, 0), (0, 0), (0, -y8.shape[2] % LANES)))
        for word, base in enumerate(self._table("PW", f["OUT_TABLE"], y8.shape[2] // LANES)):
            if base == 0xFFFF:
                continue
            address = (base + f["OUT_OFFSET"] + oy * f["OUT_PITCH"] + ox) & ((1 << config.address_bits) - 1)
            self.activations[address] = y8[..., word * LANES : (word + 1) * LANES]

    def _channels(self, f: Fields) -> None:
        config = self.config
        mode = DW_MODES[f["MODE"]]
        oy, ox = self._grid(f)
        bases = self._table("DW", f["IN_TABLE"], f["PLANES"])
        targets = self._table("DW", f["OUT_TABLE"], f["PLANES"])
        dy, dx = self._displacements(f, mode, oy, ox)
        best = np.zeros((2, f["OH"], f["OW"]), np.int64)
        weights = self.dw_weights.view(np.int8).astype(np.int64)
        for p, (base, target) in enumerate(zip(bases, targets, strict=True)):
            acc = np.zeros((f["OH"], f["OW"], LANES), np.int64)
            if mode == "MAX":
                acc -= 256
            for i in range(f["KH"]):
                for j in range(f["KW"]):
                    y = f["IY0"] + oy * f["STRIDE_Y"] + i * f["DILATION_Y"] + dy[i, j]
                    x = f["IX0"] + ox * f["STRIDE_X"] + j * f["DILATION_X"] + dx[i, j]
                    a, inside = self._tap(f, base, y, x)
                    if mode == "MAX":
                        acc = np.where(inside[..., None], np.maximum(acc, a), acc)
                    elif mode == "ADD":
                        acc = a
                    else:
                        word = (f["WEIGHT_BASE"] + (p * f["KH"] + i) * f["KT"] + j // 3) % config.dw_weight_depth
                        w = weights[4 * word + j % 3]
                        if f["WIDE"]:
                            w = 128 * w + weights[4 * ((word + 1) % config.dw_weight_depth) + j]
                        acc += a * w
            v = self._products(f, mode, p, acc, oy, ox)
            y8 = self._labels(f, v, p, best) if f["ARGMAX"] else self._requantize(f, v)
            address = target + f["OUT_OFFSET"] + oy * f["OUT_STEP_Y"] * f["OUT_PITCH"] + ox * f["OUT_STEP_X"]
            self.activations[address & ((1 << config.address_bits) - 1)] = y8

    def _products(self, f: Fields, mode: str, p: int, acc: Values, oy: Values, ox: Values) -> Values:
        """Accumulators times multipliers, with the addends."""
        entries = 4 if mode == "ADD" else 2
        number = (f["CONST_BASE"] + p * entries + np.arange(entries)) % self.config.const_depth
        m, c = self._constants(self.dw_const.reshape(-1, 8, 16)[number])
        if mode != "ADD":
            return acc * m.reshape(LANES) + c.reshape(LANES)
        base = self._table("DW", f["OPERAND_TABLE"], p + 1)[p]
        address = base + f["OPERAND_OFFSET"] + oy * f["OPERAND_PITCH"] + ox
        other = self._value(self._word(address & 0xFFFF), f["OPERAND_SIGNED"])
        first, second = m[[0, 2]].reshape(LANES), m[[1, 3]].reshape(LANES)
        return acc * first + other * second + c[[0, 2]].reshape(LANES)

    def _displacements(self, f: Fields, mode: str, oy: Values, ox: Values) -> tuple[Values, Values]:
        """dy, dx of every tap: (KH, KW, OH, OW)."""
        shape = (f["KH"], f["KW"], f["OH"], f["OW"])
        dy, dx = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        if mode == "DEFORM_SQUARE":
            address = f["OPERAND_OFFSET"] + oy * f["OPERAND_PITCH"] + ox
            d = self._value(self._word(address & 0xFFFF), f["OPERAND_SIGNED"])[..., f["OFFSET_LANE"]]
            for i in range(3):
                for j in range(3):
                    dy[i, j], dx[i, j] = (i - 1) * d, (j - 1) * d
        elif mode == "DEFORM_FREE":
            at = oy * f["OPERAND_PITCH"] + ox
            words = [self._word((f[k] + at) & 0xFFFF) for k in ("OPERAND_OFFSET", "OPERAND_TABLE")]
            both = self._value(np.concatenate(words, axis=-1), 1)
            for tap in range(9):
                dy[tap // 3, tap % 3], dx[tap // 3, tap % 3] = both[..., 2 * tap], both[..., 2 * tap + 1]
        return dy, dx
