# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Parameters of one build of the engine: the RTL's parameters, the compiler's limits and the hash of both."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from bitwright.errors import BackendError
from bitwright.hw.isa import ISA_VERSION

#: The SystemVerilog sources of the engine.
RTL = Path(__file__).parent / "rtl"

#: Lanes of an activation word: 16 channels of 8 bits, one beat of the 128-bit buses.
LANES = 16
#: The activation memory is BLOCKS blocks of INTERLEAVE banks; consecutive words lie in consecutive banks of a block.
BLOCKS, INTERLEAVE = 4, 4
#: Lanes of the requantizer of the depthwise unit.
DW_REQUANT_LANES = 8


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """One build of the engine.

    Attributes:
        name: of the configuration.
        pairs: columns of the pointwise array, 2 to 32, a power of two; each is 16 multipliers for two 4-bit weights or
            one of 8.
        am_depth: words of one of the sixteen banks of the activation memory, a multiple of 512; with am_blocks 0 a
            power of two from 64.
        weight_depth: words of the pointwise weight memory, a power of two; one is 16 x pairs weights of 8 bits.
        const_depth: entries of the requantizers' memories, a power of two.
        dw_weight_depth: words of the depthwise weight memory, a power of two; one is 3 taps x 16 channels of 8 bits.
        table_depth: entries of each plane table, a power of two.
        max_burst: longest AXI burst in beats, 1 to 256 (16 where the port is AXI3).
        x_bits: of an accumulator that the requantizers take, 18 to 27; up to 25 a DSP slice of the 7 series does half
            of the product, above that it takes two; up to 18 for multipliers of 18 x 18 bits.
        am_blocks: 4, or 1: the same addresses in 4 banks instead of 16, a smaller crossbar; 0: in one bank, without a
            crossbar; no program depends on it.
        mul18: 1: the device multiplies 18 x 18 bits (ECP5, Gowin); no program depends on it.
        dw: 0: the build has no depthwise unit; the compiler gives what that unit does to the array (expand.py).
        small: 1: few flip-flops and a slow clock: the columns of the array are added by a tree, queues are short; at
            most 4 pairs; no program depends on it.
        am_ultra: 1: the activation memory lies in UltraRAM; am_depth is 4096 then.
        device: that it is meant for (hw/resources.py); no program depends on it.
    """

    name: str
    pairs: int = 16
    am_depth: int = 2048
    weight_depth: int = 512
    const_depth: int = 64
    dw_weight_depth: int = 512
    table_depth: int = 1024
    max_burst: int = 16
    x_bits: int = 27
    am_ultra: int = 0
    am_blocks: int = 4
    mul18: int = 0
    dw: int = 1
    small: int = 0
    device: str = "xczu3eg"

    def __post_init__(self) -> None:
        if self.pairs not in (2, 4, 8, 16, 32):
            self._refuse("pairs", "must be 2, 4, 8, 16 or 32")
        if self.am_blocks and (self.am_depth % 512 or not 512 <= self.am_depth <= 4096):
            self._refuse("am_depth", "must be a multiple of 512, 512 to 4096")
        if not self.am_blocks and not 64 <= self.am_depth <= 4096:
            self._refuse("am_depth", "must be 64 to 4096 with am_blocks 0")
        if not 18 <= self.x_bits <= 27:
            self._refuse("x_bits", "must be 18 to 27")
        for switch in ("am_ultra", "mul18", "dw", "small"):
            if getattr(self, switch) not in (0, 1):
                self._refuse(switch, "must be 0 or 1")
        if self.am_blocks not in (0, 1, 4):
            self._refuse("am_blocks", "must be 0, 1 or 4")
        if self.small and (self.pairs > 4 or not self.mul18):
            self._refuse(
                "small", "must be 0 with more than 4 pairs (their results need longer queues) or without mul18"
            )
        if self.am_blocks != 4 and (self.am_ultra or self.am_depth & (self.am_depth - 1)):
            self._refuse("am_blocks", "must be 4 with UltraRAM or a depth that is no power of two")
        if self.am_ultra and self.am_depth != 4096:
            self._refuse("am_depth", "must be 4096 with am_ultra, as deep as an UltraRAM")
        powers = {
            "weight_depth": (64, 4096), "const_depth": (16, 512), "dw_weight_depth": (64, 4096),
            "table_depth": (64, 8192), "max_burst": (1, 256),
        }  # fmt: skip
        for field, (least, most) in powers.items():
            value = getattr(self, field)
            if not least <= value <= most or value & (value - 1):
                self._refuse(field, f"must be a power of two, {least} to {most}")

    def _refuse(self, field: str, rule: str) -> None:
        raise BackendError(f"engine configuration {self.name}: {field} {rule}, got {getattr(self, field)}")

    @property
    def requant_lanes(self) -> int:
        """Lanes of the requantizer of the pointwise unit."""
        return min(self.pairs, LANES)

    @property
    def block_words(self) -> int:
        """Words of one block of the activation memory."""
        return INTERLEAVE * self.am_depth

    @property
    def index_bits(self) -> int:
        """Bits of an index within a bank."""
        return (self.am_depth - 1).bit_length()

    @property
    def address_bits(self) -> int:
        """Bits of a word address: block, index, bank (from the highest)."""
        return self.index_bits + 4

    def block_base(self, block: int) -> int:
        """First address of a block; a block whose depth is no power of two leaves a hole behind it."""
        return block << (self.index_bits + 2)

    @property
    def weight_beats(self) -> int:
        """Beats of 16 bytes of one word of the pointwise weight memory."""
        return self.pairs

    def parameters(self) -> dict[str, int]:
        """Parameters of bw_engine."""
        return {
            "PAIRS": self.pairs,
            "AM_DEPTH": self.am_depth,
            "WEIGHT_DEPTH": self.weight_depth,
            "CONST_DEPTH": self.const_depth,
            "DW_WEIGHT_DEPTH": self.dw_weight_depth,
            "TABLE_DEPTH": self.table_depth,
            "MAX_BURST": self.max_burst,
            "X_BITS": self.x_bits,
            "AM_ULTRA": self.am_ultra,
            "AM_BLOCKS": self.am_blocks,
            "MUL18": self.mul18,
            "DW": self.dw,
            "SMALL": self.small,
            "CONFIG_HASH": self.hash,
        }

    @property
    def hash(self) -> int:
        """CRC-32 of everything that a program depends on; the engine refuses a program of another configuration."""
        values = {k: v for k, v in asdict(self).items() if k not in ("name", "device", "am_blocks", "mul18", "small")}
        return zlib.crc32(f"{ISA_VERSION} {sorted(values.items())}".encode())


CONFIGS = {
    c.name: c
    for c in (
        EngineConfig(name="z7020", pairs=8, am_depth=1536, x_bits=25, device="xc7z020"),
        EngineConfig(name="zu3eg", pairs=16, am_depth=2048, max_burst=64, device="xczu3eg"),
        # These two have UltraRAM: 1 MiB of activations, and the block RAM is left for weights.
        EngineConfig(name="k26", pairs=32, am_depth=4096, am_ultra=1, max_burst=64, device="xck26"),
        EngineConfig(
            name="zu7ev", pairs=32, am_depth=4096, am_ultra=1, weight_depth=1024, max_burst=64, device="xczu7ev"
        ),
        # An open device, ECP5-85F: multipliers of 18 bits, distributed memories 16 words deep.
        EngineConfig(
            name="ecp5",
            pairs=4,
            am_depth=512,
            weight_depth=256,
            const_depth=16,
            dw_weight_depth=256,
            table_depth=256,
            x_bits=18,
            am_blocks=1,
            mul18=1,
            device="LFE5U-85F",
        ),
        # The same device, small enough to be placed and routed in minutes: no depthwise unit, few flip-flops.
        EngineConfig(
            name="ecp5-small",
            pairs=2,
            am_depth=128,
            weight_depth=512,
            const_depth=32,
            dw_weight_depth=64,
            table_depth=256,
            x_bits=18,
            am_blocks=0,
            mul18=1,
            dw=0,
            small=1,
            device="LFE5U-85F",
        ),
        # A smaller open device, the GW2AR-18 of a Tang Nano 20K.
        EngineConfig(
            name="nano",
            pairs=2,
            am_depth=64,
            weight_depth=512,
            const_depth=16,
            dw_weight_depth=64,
            table_depth=64,
            x_bits=18,
            am_blocks=0,
            mul18=1,
            dw=0,
            small=1,
            device="GW2AR-LV18",
        ),
        # For tests: little memory, so that networks must be cut into stripes.
        EngineConfig(name="tiny", pairs=8, am_depth=512, weight_depth=256, const_depth=64, dw_weight_depth=256),
    )
}
