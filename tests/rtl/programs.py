# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Programs for tests of the engine's RTL, and what LD and ST do to memory, written from docs/engine.md."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from bitwright.hw import isa
from bitwright.hw.config import CONFIGS, EngineConfig
from bitwright.sim.rtl.engine import RtlEngine

ORIGIN = 0x7F_0000_0000
REGION_BYTES = 1 << 18
#: `small`, `bare`, `least`: the reduced builds with accumulators of 27 bits, so that any program runs on them; `bare`
#: and `least` have no depthwise unit, `least` is reduced like the build of the Tang Nano 20K.
BUILDS = CONFIGS | {
    "small": replace(CONFIGS["ecp5"], name="small", x_bits=27),
    "bare": replace(CONFIGS["ecp5-small"], name="bare", x_bits=27, am_depth=512, am_blocks=1, small=0),
    "least": replace(CONFIGS["ecp5-small"], name="least", x_bits=27, am_depth=512, am_blocks=0, small=1),
}


@cache
def engine(name: str = "tiny") -> RtlEngine:
    """One engine for all tests of a module; regions of 256 KiB, one after the other."""
    made = RtlEngine(BUILDS[name], 4 * REGION_BYTES, origin=ORIGIN, assertions=True)
    regions(made)
    return made


def regions(made: RtlEngine) -> None:
    """The four regions as `engine` sets them."""
    for number, name in enumerate(isa.REGIONS):
        made.set_region(name, number * REGION_BYTES, REGION_BYTES)
    made.write_register(0x1C, 0)


@dataclass
class Program:
    """Instructions in order; `wait` names the units whose instructions so far must be finished."""

    config: EngineConfig
    instructions: list[bytes] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(isa.UNITS, 0))

    def add(self, opcode: str, wait: str = "", **values: int) -> int:
        """Appends an instruction; gives its number."""
        waits = {f"WAIT_{u}": self.counts[u] for u in wait.split()}
        self.instructions.append(isa.encode(opcode, **(waits | values)))
        if opcode in self.counts:
            self.counts[opcode] += 1
        return len(self.instructions) - 1

    def pack(self) -> bytes:
        """The program with header and END."""
        self.add("END", "LD ST PW DW")
        return isa.header(self.config.hash, len(self.instructions)) + b"".join(self.instructions)


def words(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bytes as words of 16."""
    return values.reshape(-1, 16)


def indices(start: int, stride: int, beats: int, rows: int) -> npt.NDArray[np.int64]:
    """Word numbers of a transfer, in order."""
    return (start + np.arange(rows)[:, None] * stride + np.arange(beats)[None]).reshape(-1)


def random_transfers(
    rng: np.random.Generator, config: EngineConfig, count: int, memory: npt.NDArray[np.uint8], am: npt.NDArray[np.uint8]
) -> bytes:
    """A program of random LD and ST; `memory` [bytes] and `am` [words, 16] are changed as it must change them.

    Every instruction waits only for those of the other unit that it must not overtake, so that many run at once.
    """
    program = Program(config)
    beats_of = words(memory)
    region_beats = REGION_BYTES // 16
    history: dict[str, list[tuple[set[int], set[int]]]] = {"LD": [], "ST": []}
    for _ in range(count):
        opcode = "LD" if rng.random() < 0.5 else "ST"
        beats, rows = int(rng.choice([1, 2, 3, 7, 16, 17, 40, 130])), int(rng.integers(1, 7))
        gap, local_gap = int(rng.choice([0, 0, 1, 5, 300])), int(rng.choice([0, 1, 9]))
        stride, local_stride = beats + gap, beats + local_gap
        length, local = (rows - 1) * stride + beats, (rows - 1) * local_stride + beats
        region = int(rng.choice([1, 2] if opcode == "LD" else [1, 3]))
        offset = int(rng.integers(0, region_beats - length))
        address = int(rng.integers(0, 4 * config.block_words - local))  # tiny has no holes between blocks
        dram = indices(region * region_beats + offset, stride, beats, rows)
        words_ = indices(address, local_stride, beats, rows)
        if opcode == "LD":
            am[words_] = beats_of[dram]
        else:
            beats_of[dram] = am[words_]
        mine = (set(dram.tolist()), set(words_.tolist()))
        other = "ST" if opcode == "LD" else "LD"
        need = 0
        for number, theirs in enumerate(history[other]):
            if mine[0] & theirs[0] or mine[1] & theirs[1]:
                need = number + 1
        history[opcode].append(mine)
        program.add(
            opcode, REGION=region, OFFSET=offset, ADDRESS=address, BEATS=beats, ROWS=rows, DRAM_STRIDE=stride,
            LOCAL_STRIDE=local_stride, **{f"WAIT_{other}": need},
        )  # fmt: skip
    return program.pack()


def all_words(made: RtlEngine) -> npt.NDArray[np.uint8]:
    """The whole activation memory of a configuration without holes, uint8 [words, 16]."""
    return np.stack([made.peek_am(a) for a in range(4 * made.config.block_words)])
