# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Vivado's reports. The files in data/ were written by hand in their form; docs/build.md names genuine ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitwright.boards import load_board
from bitwright.compile.build import BuildError
from bitwright.compile.build.reports import (
    check_timing,
    check_utilization,
    read_timing,
    read_utilization,
)
from tests.build.tools import DATA


def test_utilization_of_the_7_series() -> None:
    found = read_utilization(DATA / "utilization_7series.rpt")
    assert (found.device, found.tool, found.state) == ("7z020clg400-1", "2020.2", "Routed")
    assert found.used == {"lut": 31872, "ff": 34105, "bram36": 124.5, "dsp": 214}
    assert found.available == {"lut": 53200, "ff": 106400, "bram36": 140, "dsp": 220}
    facts = check_utilization(found, load_board("pynq-z2"))
    assert facts["bram36"] == {"used": 124.5, "available": 140, "share": 0.8893}


def test_utilization_of_ultrascale() -> None:
    found = read_utilization(DATA / "utilization_ultrascale.rpt")
    assert found.used == {"lut": 58210, "ff": 71204, "bram36": 96.5, "dsp": 612, "uram": 32}
    assert found.available == {r: getattr(load_board("kv260").resources, r) for r in found.used}
    with pytest.raises(BuildError, match=r"does not fit: 32 uram used, ultra96-v2 has 0; 612 dsp used, .* has 360"):
        check_utilization(found, load_board("ultra96-v2"))


def test_timing_that_is_met() -> None:
    found = read_timing(DATA / "timing_met.rpt")
    assert found.met and (found.wns, found.whs, found.wpws, found.period_ns) == (0.214, 0.021, 2.25, 7.0)
    assert check_timing(found, 1000 / 7)["wns"] == 0.214


def test_timing_that_is_not_met() -> None:
    found = read_timing(DATA / "timing_setup_failed.rpt")
    assert not found.met and found.failing == 402 and found.period_ns == 4.0
    with pytest.raises(BuildError, match=r"not met at 250 MHz: 402 endpoints fail, .* -0\.512 ns; .*--clock-mhz 221"):
        check_timing(found, 250)
    with pytest.raises(BuildError, match=r"2 endpoints fail, worst hold slack -0\.032 ns, .*slower clock does not"):
        check_timing(read_timing(DATA / "timing_hold_failed.rpt"), 250)


def test_reports_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="it has no row for lut, ff, bram36, dsp"):
        read_utilization(DATA / "timing_met.rpt")
    with pytest.raises(BuildError, match="it has no Design Timing Summary"):
        read_timing(DATA / "utilization_7series.rpt")
    with pytest.raises(BuildError, match="cannot be read"):
        read_timing(tmp_path / "no.rpt")
    text = (DATA / "timing_met.rpt").read_text()
    (tmp_path / "a.rpt").write_text(text.replace("All user specified timing constraints are met.", ""))
    with pytest.raises(BuildError, match="its verdict on timing and its table disagree"):
        read_timing(tmp_path / "a.rpt")
    (tmp_path / "b.rpt").write_text(text.replace("  0.214", "     NA"))
    with pytest.raises(BuildError, match="no path is constrained"):
        read_timing(tmp_path / "b.rpt")
