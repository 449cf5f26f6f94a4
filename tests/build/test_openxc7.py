# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The open route for the 7 series: its steps with programs that record their arguments, its netlist with Yosys."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bitwright.boards import load_board
from bitwright.compile.build import BuildError, build
from bitwright.compile.build.hwh import read_address_map
from bitwright.compile.build.openxc7 import SHELL, read_nextpnr, script, yosys
from bitwright.compile.build.vivado import SHELLS
from bitwright.errors import ToolMissingError
from bitwright.host import load_bundle
from bitwright.hw.config import CONFIGS
from bitwright.hw.resources import estimate
from bitwright.hw.synthesize import count
from tests.build.tools import bit, engine_bundle, fake, on_path

YOSYS = """
if '-V' in argv:
    print('Yosys 0.57 (git sha1 aaa)')
elif os.environ.get('FAIL') == 'yosys':
    print("rtl/bw_am.sv:9: ERROR: syntax error, unexpected TOK_ID"); sys.exit(1)
else:
    cells = {'LUT6': 900, 'DSP48E1': int(os.environ.get('DSP', 214)), 'FDRE': 800, 'RAMB36E1': 124, 'PS7': 1}
    (here / 'stat.json').write_text(json.dumps({'design': {'num_cells_by_type': cells}}))
    (here / 'net.json').write_text('{}')
"""
NEXTPNR = """
if '--version' in argv:
    print('nextpnr-xilinx -- Next Generation Place and Route (Version 0.8.2)')
elif os.environ.get('FAIL') == 'nextpnr':
    print("Info: Packing\\nERROR: Failed to place cell 'u_shell' of type 'DSP48E1'"); sys.exit(1)
else:
    (here / 'net.fasm').write_text('x')
    print("Info: Device utilisation:\\nInfo: \\t             SLICE_LUTX:  30000/53200    56%")
    print("Info: \\t         PS7_PS7:     1/    1   100%\\nInfo: \\t          IOB33:     0/  125     0%")
    print("Info: Max frequency for clock 'clk': 44.10 MHz (PASS at 40.00 MHz)")
    print("Info: Max frequency for clock 'clk': 51.20 MHz (PASS at 40.00 MHz)")
"""
FRAMES = "(here / argv[-1]).write_text(argv[1])"
BITSTREAM = "(here / argv[-1]).write_bytes(bytes.fromhex(os.environ['BIT']))"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine_bundle(tmp_path_factory.mktemp("openxc7"), "pynq-z2")


@pytest.fixture
def bundle(tmp_path: Path, compiled: Path) -> Path:
    shutil.copytree(compiled, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the tools and the databases."""
    folder = tmp_path / "bin"
    for name, body in {
        "yosys": YOSYS, "nextpnr-xilinx": NEXTPNR, "fasm2frames": FRAMES, "xc7frames2bit": BITSTREAM
    }.items():  # fmt: skip
        fake(folder, name, body)
    on_path(monkeypatch, folder)
    (tmp_path / "chipdb").mkdir()
    (tmp_path / "chipdb" / "xc7z020clg400.bin").write_text("x")
    (tmp_path / "prjxray" / "zynq7" / "xc7z020clg400-1").mkdir(parents=True)
    (tmp_path / "prjxray" / "zynq7" / "xc7z020clg400-1" / "part.yaml").write_text("x")
    monkeypatch.delenv("CHIPDB", raising=False)
    monkeypatch.setenv("ZYNQ7_CHIPDB", str(tmp_path / "chipdb"))
    monkeypatch.setenv("PRJXRAY_DB_DIR", str(tmp_path / "prjxray"))
    monkeypatch.setenv("BIT", bit("xc7z020clg400-1", "net;Generator=xc7frames2bit").hex())
    return folder


def calls(tools: Path, name: str) -> list[list[str]]:
    return [json.loads(line) for line in (tools / f"{name}.calls").read_text().splitlines()]


def test_the_steps(bundle: Path, tools: Path, tmp_path: Path) -> None:
    result = build(bundle, "openxc7")
    assert [n for n, _, _ in result.steps] == ["emit", "synth", "route", "frames", "bitstream", "results"]
    name, part = "digits_classifier", "xc7z020clg400-1"
    assert calls(tools, "yosys") == [["-V"], ["-q", "-s", "synth.ys"]]
    assert calls(tools, "nextpnr-xilinx")[1] == [
        "--chipdb", str(tmp_path / "chipdb" / "xc7z020clg400.bin"), "--xdc", "net.xdc", "--json", "net.json", "--fasm",
        "net.fasm", "--freq", "40.000000",
    ]  # fmt: skip
    database = tmp_path / "prjxray" / "zynq7"
    assert calls(tools, "fasm2frames") == [["--part", part, "--db-root", str(database), "net.fasm", "net.frames"]]
    assert calls(tools, "xc7frames2bit") == [
        ["--part_file", str(database / part / "part.yaml"), "--part_name", part, "--frm_file", "net.frames",
         "--output_file", f"{name}.bit"]
    ]  # fmt: skip
    loaded = load_bundle(bundle)
    assert loaded.artifact("bitstream") == bundle / "bitstream" / f"{name}.bit"
    hwh = loaded.artifact("hwh")
    assert hwh is not None and set(read_address_map(hwh)) == {"bw_engine_0"}, "no interrupt controller on this route"
    record = loaded.manifest["build"]
    made = {name: (f["made"], f["by"]) for name, f in record["files"].items()}
    assert made[f"bitstream/{name}.hwh"][0] == "generated" and made[f"bitstream/{name}.hwh"][1].startswith("bitwright")
    assert made[f"bitstream/{name}.bit"] == (
        "built", "openXC7: Yosys 0.57 (git sha1 aaa), nextpnr-xilinx -- Next Generation Place and Route (Version 0.8.2)"
    )  # fmt: skip
    assert loaded.manifest["clock_mhz"] == 40.0, "conservative, not the 150 MHz of the bundle"
    assert record["nextpnr"]["max_mhz_indicative"] == {"clk": 51.2}
    assert record["nextpnr"]["used"] == {
        "SLICE_LUTX": {"used": 30000, "available": 53200}, "PS7_PS7": {"used": 1, "available": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("yosys", r"step synth: yosys ended with code 1: rtl/bw_am\.sv:9: ERROR: syntax error"),
        ("nextpnr", r"step route: nextpnr-xilinx ended with code 1: ERROR: Failed to place cell 'u_shell'"),
    ],
)
def test_tools_that_fail(
    tool: str, message: str, bundle: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("FAIL", tool)
    with pytest.raises(BuildError, match=message):
        build(bundle, "openxc7")
    monkeypatch.delenv("FAIL")
    assert build(bundle, "openxc7", resume=True).complete


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "nextpnr-xilinx",
            "step route needs nextpnr-xilinx on the PATH; install openXC7 .*netlist is in .*--resume",
        ),
        ("fasm2frames", "step frames needs fasm2frames on the PATH"),
        ("xc7frames2bit", "step bitstream needs xc7frames2bit on the PATH"),
    ],
)
def test_tools_that_are_missing(missing: str, message: str, bundle: Path, tools: Path) -> None:
    (tools / missing).unlink()
    with pytest.raises(ToolMissingError, match=message):
        build(bundle, "openxc7")
    body = {"nextpnr-xilinx": NEXTPNR, "fasm2frames": FRAMES, "xc7frames2bit": BITSTREAM}[missing]
    fake(tools, missing, body)
    result = build(bundle, "openxc7", resume=True)
    assert result.complete and [s for _, s, _ in result.steps[:2]] == ["skipped", "skipped"]


def test_databases_that_are_missing(bundle: Path, tools: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "prjxray" / "zynq7")
    with pytest.raises(ToolMissingError, match=r"not Project X-Ray's database \(it has no zynq7/xc7z020clg400-1"):
        build(bundle, "openxc7")
    (tmp_path / "chipdb" / "xc7z020clg400.bin").unlink()
    with pytest.raises(ToolMissingError, match=r"the chip database xc7z020clg400\.bin, which is not in .*chipdb"):
        build(bundle, "openxc7")


def test_a_netlist_that_is_too_large(bundle: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSP", "256")
    with pytest.raises(BuildError, match="step synth: the netlist does not fit: 256 dsp used, pynq-z2 has 220"):
        build(bundle, "openxc7")


def test_a_bitstream_for_another_part(bundle: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIT", bit("xc7z010clg400-1").hex())
    with pytest.raises(BuildError, match="the bitstream is for xc7z010clg400-1, this is xc7z020clg400-1"):
        build(bundle, "openxc7")


@pytest.mark.parametrize(("board", "route"), [("kv260", "vivado"), ("ulx3s-85f", "yowasp")])
def test_boards_of_other_routes(board: str, route: str, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"board": board, "part": load_board(board).part}))
    with pytest.raises(BuildError, match=f"openXC7 makes bitstreams for Zynq-7000; use --route {route}"):
        build(bundle, "openxc7")
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"backend": "hls4ml"}))
    with pytest.raises(BuildError, match="does not build bundles of the backend hls4ml"):
        build(bundle, "openxc7")


def test_output_of_nextpnr_without_figures() -> None:
    assert read_nextpnr("Info: nothing") == {"max_mhz_indicative": {}, "used": {}}


# Yosys --------------------------------------------------------------------------------------------------------------


def synthesize(folder: Path, top: str) -> dict[str, int]:
    """Cells by type, with the commands of the route."""
    try:
        command, _ = yosys()
    except ToolMissingError as error:
        pytest.skip(str(error))
    (folder / "synth.ys").write_text(script(top))
    done = subprocess.run([*command, "-q", "-s", "synth.ys"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return {k: int(v) for k, v in cells.items()}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_netlist_of_the_whole_chip(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the route makes it: block by block what hw/resources.py says, and the shell adds neither memories nor DSPs."""
    try:
        yosys()
    except ToolMissingError as error:
        pytest.skip(str(error))
    on_path(monkeypatch)
    bundle = tmp_path / "out"
    shutil.copytree(compiled, bundle)
    result = build(bundle, "openxc7", until="synth")
    assert not result.complete
    folder = bundle / "build" / "openxc7"
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    assert cells["PS7"] == 1 and cells["BUFG"] == 1 and "IBUF" not in cells
    found, expected = count(cells), estimate(CONFIGS["z7020"])
    assert cells["DSP48E1"] == found.dsp == expected.dsp
    assert 2 * cells["RAMB36E1"] + cells.get("RAMB18E1", 0) == found.bram18 == expected.bram18
    assert expected.lut[0] <= found.lut[1] <= expected.lut[1] and expected.ff[0] <= found.ff[1] <= expected.ff[1]
    used = {"dsp": found.dsp, "bram36": found.bram36, "lut": found.lut[1], "ff": found.ff[1]}
    has = load_board("pynq-z2").resources
    assert all(n <= getattr(has, what) for what, n in used.items())
    netlist = json.loads((folder / "state.json").read_text())["steps"][-1]["facts"]["netlist"]
    assert netlist == {what: {"used": n, "available": getattr(has, what)} for what, n in used.items()}


def test_yosys_takes_the_shell_and_the_processing_system(tmp_path: Path) -> None:
    """Top, register bridge and width converter through the route's commands, with an empty engine in between."""
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    for name in SHELL:
        shutil.copy(SHELLS / "openxc7" / name, rtl)
    shutil.copy(SHELLS.parent / "rtl" / "bw_fifo.sv", rtl)
    (rtl / "bw_parameters.svh").write_text("`define BW_PARAMETERS .PAIRS(8)\n")
    (rtl / "bw_engine.sv").write_text(empty_engine())
    cells = synthesize(tmp_path, "bw_ps7_top")
    assert cells["PS7"] == 1 and cells["BUFG"] == 1
    assert "DSP48E1" not in cells and "RAMB36E1" not in cells
    assert sum(n for k, n in cells.items() if k.startswith("FD")) > 100, (
        "the logic around the engine is not optimized away"
    )


def empty_engine() -> str:
    """A module with the engine's ports that keeps every bit alive: outputs are a shift register over all inputs."""
    text = (SHELLS.parent / "rtl" / "bw_engine.sv").read_text()
    head = text[text.index("module bw_engine") : text.index(");", text.index(") (")) + 2]
    lines = [line.split("//")[0].strip().rstrip(",") for line in head.splitlines()]
    inputs = [line.split()[-1] for line in lines if line.startswith("input") and "clk_i" not in line]
    outputs = [line.split()[-1] for line in lines if line.startswith("output")]
    joined = "{" + ", ".join(outputs) + "}"
    return (
        f"`default_nettype none\n{head}\n  logic [1023:0] q;\n"
        f"  always_ff @(posedge clk_i) q <= {{q[1022:0], ^{{{', '.join(inputs)}}}}};\n"
        f"  assign {joined} = q[$bits({joined})-1:0];\nendmodule\n`default_nettype wire\n"
    )
