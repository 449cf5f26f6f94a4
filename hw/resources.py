# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a build of the engine takes of a device, in closed form: DSP slices, block RAMs and UltraRAMs exactly, LUTs and
flip-flops as a range.

The exact figures are those that Yosys finds (tests/rtl/test_synthesis.py compares them). The LUT and flip-flop model
goes through the runs of docs/engine.md, section 6, within 3 %; it has about as many parameters as there were runs, so
`ERROR`, its range, is an allowance for other builds and no measured error. On ECP5 three runs of units were held out:
within 1 %. No place and route is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bitwright.errors import BackendError
from bitwright.hw.config import BLOCKS, DW_REQUANT_LANES, INTERLEAVE, LANES, EngineConfig
from bitwright.hw.isa import ARGMAX_PIXELS

#: The range around the LUT and flip-flop model.
ERROR = 0.10
#: More of the LUTs of a device should not be used: routing gets hard.
LUT_SHARE = 0.85
#: Lanes of the array, taps of the depthwise unit, banks of the activation memory.
TAPS, BANKS = 3, 16
#: Bits of a requantizer constant in the memory of one lane.
CONST_BITS = 88


@dataclass(frozen=True)
class Budget:
    """What a device has.

    Attributes:
        family: of Yosys' synth_xilinx, "xc7" or "xcup"; or "ecp5", where a DSP is a MULT18X18D, half a block RAM a
            DP16KD, and LUTs have four inputs; or "gowin": MULT18X18, a block RAM of 18 kbit, four inputs.
    """

    name: str
    family: str
    dsp: int
    bram36: int
    lut: int
    ff: int
    uram: int = 0


DEVICES = {
    d.name: d
    for d in (
        Budget("xc7z020", "xc7", dsp=220, bram36=140, lut=53_200, ff=106_400),
        Budget("xczu3eg", "xcup", dsp=360, bram36=216, lut=70_560, ff=141_120),
        Budget("xck26", "xcup", dsp=1248, bram36=144, lut=117_120, ff=234_240, uram=64),
        Budget("xczu7ev", "xcup", dsp=1728, bram36=312, lut=230_400, ff=460_800, uram=96),
        Budget("LFE5U-85F", "ecp5", dsp=156, bram36=104, lut=83_640, ff=83_640),
        Budget("GW2AR-LV18", "gowin", dsp=48, bram36=23, lut=20_736, ff=15_552),
    )
}


@dataclass(frozen=True)
class Resources:
    """Counts of one unit or a build.

    Attributes:
        bram18: halves of block RAMs. lut, ff: (least, most).
    """

    dsp: int
    bram18: int
    uram: int
    lut: tuple[int, int]
    ff: tuple[int, int]

    @property
    def bram36(self) -> int:
        """Block RAMs of 36 kbit; two halves share one."""
        return -(-self.bram18 // 2)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.dsp + other.dsp,
            self.bram18 + other.bram18,
            self.uram + other.uram,
            (self.lut[0] + other.lut[0], self.lut[1] + other.lut[1]),
            (self.ff[0] + other.ff[0], self.ff[1] + other.ff[1]),
        )


def block_halves(depth: int, width: int) -> int:
    """RAMB18 halves of a memory with one write and one read port of `width` bits; depth a power of two up to 4096."""
    shapes = ((512, 36, 1), (1024, 18, 1), (2048, 9, 1), (4096, 9, 2))  # words, bits, halves
    return next(-(-width // bits) * halves for words, bits, halves in shapes if depth <= words)


def chunks(config: EngineConfig) -> int:
    """Memories of one bank of the activation memory (bw_am.sv)."""
    return config.am_depth // (config.am_depth & -config.am_depth)


def unit_parameters(config: EngineConfig) -> dict[str, dict[str, int]]:
    """Units of a build and the parameters that bw_engine gives them."""
    address = {"ADDR_W": config.address_bits}
    compute = {"CONST_DEPTH": config.const_depth, "TABLE_DEPTH": config.table_depth, "X_BITS": config.x_bits} | address
    burst = {"MAX_BURST": config.max_burst}
    small = {"SMALL": 1} if config.small else {}
    depthwise = {"bw_dw": {"DW_WEIGHT_DEPTH": config.dw_weight_depth} | compute} if config.dw else {}
    depth = {"AM_DEPTH": config.am_depth} | address
    activations = {"bw_am": {"ULTRA": config.am_ultra, "BLOCKS": config.am_blocks} | depth}
    if not config.am_blocks:
        activations = {"bw_am_one": depth}
    array = {"PAIRS": config.pairs, "WEIGHT_DEPTH": config.weight_depth, "MUL18": config.mul18, "SUMS": 1 - config.dw}
    return {
        "bw_pw": array | compute | small,
        **depthwise,
        **activations,
        "bw_rd": burst | address,
        "bw_wr": burst | address | small,
        "bw_ctrl": burst | {"DW": config.dw} | small,
        "bw_regs": {},
    }


def _exact(config: EngineConfig, family: str) -> dict[str, tuple[int, int, int]]:
    """DSP slices, RAMB18 halves and UltraRAMs of every unit."""
    # A requantizer multiplies by 17 and 15 bits; the other side of a multiplier has these bits.
    lane = 4 if config.x_bits > {"xc7": 25, "xcup": 27, "ecp5": 18, "gowin": 18}[family] else 2
    wide = 2 if family == "ecp5" and not config.mul18 else 1
    table = block_halves(config.table_depth // 8, 128)
    parts = 2 if config.pairs > LANES else 1  # memories of a lane
    weights = LANES * parts * block_halves(config.weight_depth, 8 * config.pairs // parts)
    if config.small:  # one memory for each beat of a word
        weights = config.pairs * block_halves(config.weight_depth, LANES * 8)
    banks, words = INTERLEAVE * config.am_blocks, config.am_depth * BLOCKS // max(config.am_blocks, 1)
    chunk = words // chunks(config)
    return {
        # the array, its addresses; tables of the planes that are read and written
        "bw_pw": (wide * LANES * config.pairs + lane * config.requant_lanes + 1, weights + 2 * table, 0),
        # three taps of sixteen lanes, their addresses; the memory of the argmax has keys of 27 bits and labels of 8
        "bw_dw": (
            TAPS * LANES + lane * DW_REQUANT_LANES + TAPS,
            TAPS * block_halves(config.dw_weight_depth, 128) + table + block_halves(ARGMAX_PIXELS, 35), 0,
        ),
        "bw_am": (0, 0, BANKS * 2) if config.am_ultra else (0, banks * chunks(config) * block_halves(chunk, 128), 0),
        "bw_am_one": (0, block_halves(min(16 * config.am_depth, 4096), 128) * max(config.am_depth // 256, 1), 0),
        # rows times beats
        "bw_rd": (1, 0, 0),
        "bw_wr": (1, 0, 0),
        "bw_ctrl": (0, 0, 0),
        "bw_regs": (0, 0, 0),
    }  # fmt: skip


#: LUTs and flip-flops of a unit, of one column of the array and of one lane of its requantizer, all without the
#: requantizer constants. ECP5: LUTs with four inputs, six for a memory of 16 x 4 bits, two for a CCU2C; for MUL18 and
#: one block of activations; of builds that are SMALL without the depthwise unit, from two runs of the array, bw_am_one
#: as on Gowin. Gowin: eight for a memory of 16 x 4 bits, one for a bit of an adder; for builds that are SMALL and have
#: no depthwise unit, from two runs. On UltraScale+ Yosys leaves adders and registers of the array outside of the DSP
#: slices; Vivado would put them into the slices.
_LUT = {
    "xc7": {"bw_pw": (1970, 202, 205), "bw_dw": (8480,), "bw_am": (6576,), "bw_rd": (734,), "bw_wr": (679,),
            "bw_ctrl": (2128,), "bw_regs": (415,)},
    "xcup": {"bw_pw": (1473, 778, 258), "bw_dw": (8965,), "bw_am": (6400,), "bw_rd": (733,), "bw_wr": (671,),
             "bw_ctrl": (1969,), "bw_regs": (415,)},
    "ecp5": {"bw_pw": (3250, 1269, 0), "bw_dw": (13684,), "bw_am": (4527,), "bw_rd": (1402,), "bw_wr": (1607,),
             "bw_ctrl": (5333,), "bw_regs": (1757,)},
    "ecp5 small": {"bw_pw": (1933, 1379, 0), "bw_am_one": (401,), "bw_rd": (1402,), "bw_wr": (1279,),
                   "bw_ctrl": (1808,), "bw_regs": (1757,)},
    "gowin": {"bw_pw": (1807, 1282, 0), "bw_am_one": (401,), "bw_rd": (1500,), "bw_wr": (1345,), "bw_ctrl": (2154,),
              "bw_regs": (1246,)},
}  # fmt: skip
_FF = {
    "xc7": {"bw_pw": (1669, 185, 190), "bw_dw": (7887,), "bw_am": (8233,), "bw_rd": (878,), "bw_wr": (739,),
            "bw_ctrl": (2660,), "bw_regs": (661,)},
    "xcup": {"bw_pw": (1514, 1415, 280), "bw_dw": (9864,), "bw_am": (8210,), "bw_rd": (914,), "bw_wr": (771,),
             "bw_ctrl": (2659,), "bw_regs": (661,)},
    "ecp5": {"bw_pw": (3800, 1911, 0), "bw_dw": (12163,), "bw_am": (4001,), "bw_rd": (914,), "bw_wr": (771,),
             "bw_ctrl": (2659,), "bw_regs": (661,)},
    "ecp5 small": {"bw_pw": (2313, 879, 0), "bw_am_one": (73,), "bw_rd": (914,), "bw_wr": (768,),
                   "bw_ctrl": (2089,), "bw_regs": (661,)},
    "gowin": {"bw_pw": (2020, 876, 0), "bw_am_one": (73,), "bw_rd": (914,), "bw_wr": (768,), "bw_ctrl": (2089,),
              "bw_regs": (661,)},
}  # fmt: skip


#: Depths of the memories of variants for ECP5, least to largest: what the exact figures were compared with Yosys for.
ECP5_MEMORIES = {
    "am_depth": (512, 1024), "weight_depth": (64, 128, 256, 512, 1024, 2048), "const_depth": (16, 32, 64),
    "table_depth": (64, 128, 256, 512, 1024), "dw_weight_depth": (64, 128, 256, 512),
}  # fmt: skip
#: Around the engine on a board without a processor (hw/shells/uart): memory, link and port; Yosys' counts.
SHELL_BYTES = 1 << 16
SERIAL_SHELL = Resources(dsp=0, bram18=30, uram=0, lut=(1280, 1566), ff=(778, 952))

#: bw_am with four blocks, and with one of 1024 words; the figures above are those of one with 512.
ECP5_FOUR_BLOCKS, ECP5_DEEP_BLOCK = (18_446, 12_465), (5134, 4020)
#: Least shares of the sum over the units that a whole chip for ECP5 takes in LUTs and flip-flops: Yosys removes what
#: the units have for each other in vain, much more of it without the depthwise unit (0.92 and 0.97 were measured, 0.74
#: and 0.88 without it).
ECP5_WHOLE = {1: (0.85, 0.90), 0: (0.65, 0.85)}


def _constant_luts(config: EngineConfig, family: str) -> int:
    """LUTs of the requantizer constants of one lane: distributed RAM and the choice between its parts."""
    if family in ("ecp5", "gowin"):  # memories of 16 words x 4 bits
        parts = config.const_depth // 16
        return parts * -(-CONST_BITS // 4) * (6 if family == "ecp5" else 8) + CONST_BITS * (parts - 1)
    few = config.const_depth <= 32
    bits, luts = {"xc7": (6 if few else 3, 4), "xcup": (14 if few else 7, 8)}[family]
    parts = max(config.const_depth // 64, 1)
    return parts * -(-CONST_BITS // bits) * luts + CONST_BITS * (-(-(parts - 1) // 3))


def estimate_units(config: EngineConfig, family: str | None = None) -> dict[str, Resources]:
    """Resources of every unit. family: of the device, "xc7" or "xcup"; None: of the configuration's own."""
    family = family or DEVICES[config.device].family
    found = {}
    exact = _exact(config, family)
    row = f"{family} small" if family == "ecp5" and config.small else family
    for unit in unit_parameters(config):
        if unit not in _LUT[row]:
            raise BackendError(f"configuration {config.name}: {unit} was not measured on a device like {family}'s")
        dsp, halves, uram = exact[unit]
        sizes = (1, config.pairs, config.requant_lanes)
        lut, ff = (sum(n * c for n, c in zip(sizes, model[row][unit], strict=False)) for model in (_LUT, _FF))
        if unit in ("bw_pw", "bw_dw"):
            lanes = config.requant_lanes if unit == "bw_pw" else DW_REQUANT_LANES
            lut += lanes * _constant_luts(config, family)
        if unit == "bw_am" and family == "ecp5" and config.am_blocks == BLOCKS:
            lut, ff = ECP5_FOUR_BLOCKS
        elif unit == "bw_am" and family == "ecp5" and config.am_depth > 512:
            lut, ff = ECP5_DEEP_BLOCK
        if unit == "bw_am":  # which memory of a bank answers: 128 bits of 2 to 4, or 5 to 7
            lut += BANKS * 128 * (0 if chunks(config) == 1 else 1 if chunks(config) <= 4 else 2)
        low, high = ECP5_WHOLE[config.dw] if family == "ecp5" else (1 - ERROR, 1 - ERROR), 1 + ERROR
        found[unit] = Resources(
            dsp, halves, uram, (int(lut * low[0]), int(lut * high)), (int(ff * low[1]), int(ff * high))
        )
    return found


def estimate(config: EngineConfig, family: str | None = None) -> Resources:
    """Resources of a build; `family` as of `estimate_units`."""
    return sum(estimate_units(config, family).values(), Resources(0, 0, 0, (0, 0), (0, 0)))


def problems(resources: Resources, device: Budget) -> list[str]:
    """What a device has too little of, in words; empty when it fits. Of LUTs at most LUT_SHARE may be used."""
    limits = (
        ("DSP slices", resources.dsp, device.dsp),
        ("block RAMs", resources.bram36, device.bram36),
        ("UltraRAMs", resources.uram, device.uram),
        (f"LUTs ({LUT_SHARE:.0%} of {device.lut})", resources.lut[1], int(LUT_SHARE * device.lut)),
        ("flip-flops", resources.ff[1], device.ff),
    )
    return [f"{needed} {what} needed, {device.name} has {has}" for what, needed, has in limits if needed > has]


def fits(config: EngineConfig, device: Budget) -> bool:
    """Whether a build fits a device, the upper ends of the ranges counted."""
    return not problems(estimate(config, device.family), device)
