# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route vivado without Vivado: its scripts in tclsh with stubs, its steps with a program in the tool's place."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bitwright.boards import board_names, load_board
from bitwright.cli import main
from bitwright.compile.build import BuildError, build, reuse
from bitwright.compile.build.design import StreamIp, clock_below, engine_design, stream_design
from bitwright.compile.build.vivado import SHELLS, design_name, settings, write_parameters
from bitwright.errors import BackendError, ToolMissingError
from bitwright.flow import compile_model
from bitwright.host import load_bundle
from bitwright.hw.config import CONFIGS, RTL
from tests.build.tools import DATA, DIGITS, ROOT, bit, engine_bundle, fake, on_path

STUBS = SHELLS / "vivado" / "stubs.tcl"
needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")

#: What a Vivado would leave behind, by script; reports from data/.
VIVADO = """
script = argv[argv.index('-source') + 1] if '-source' in argv else ''
name = 'digits_classifier'
if '-version' in argv:
    print(os.environ.get('VERSION', 'Vivado v2023.1 (64-bit)'))
elif os.environ.get('FAIL') == script:
    runs = here / 'project' / f'{name}.runs' / 'synth_1'
    runs.mkdir(parents=True, exist_ok=True)
    (runs / 'runme.log').write_text("ERROR: [Synth 8-439] module 'bw_am' not found\\n")
    print("ERROR: [Common 17-39] 'wait_on_run' failed due to earlier errors.")
    sys.exit(1)
elif script == 'package.tcl':
    (here / 'ip').mkdir()
    (here / 'ip' / 'component.xml').write_text('<x/>')
elif script == 'project.tcl':
    (here / 'project').mkdir(exist_ok=True)
    (here / 'project' / f'{name}.xpr').write_text('x')
elif script == 'synth.tcl':
    (here / 'reports').mkdir(exist_ok=True)
    (here / 'reports' / 'synth_utilization.rpt').write_text('x')
elif script == 'implement.tcl':
    (here / 'result').mkdir()
    (here / 'result' / f'{name}.bit').write_bytes(bytes.fromhex(os.environ['BIT']))
    hwh = (here / 'expected' / f'{name}.hwh').read_text()
    (here / 'result' / f'{name}.hwh').write_text(hwh.replace(os.environ.get('FROM', 'no such'), 'other'))
    for kind in ('utilization', 'timing'):
        (here / 'reports' / f'{kind}.rpt').write_text(Path(os.environ[kind.upper()]).read_text())
"""


@pytest.fixture
def bundle(tmp_path: Path, compiled: Path) -> Path:
    shutil.copytree(compiled, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine_bundle(tmp_path_factory.mktemp("vivado"), "pynq-z2")


@pytest.fixture
def vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    on_path(monkeypatch, fake(tmp_path / "bin", "vivado", VIVADO).parent)
    monkeypatch.setenv("BIT", bit("7z020clg400").hex())
    monkeypatch.setenv("UTILIZATION", str(DATA / "utilization_7series.rpt"))
    monkeypatch.setenv("TIMING", str(DATA / "timing_met.rpt"))
    return tmp_path / "bin" / "vivado.calls"


# Scripts ------------------------------------------------------------------------------------------------------------


def dry(folder: Path, design, *, script: str = "project.tcl", change=lambda text: text) -> tuple[int, str]:
    """Exit code and output of a script in tclsh."""
    shutil.copy(SHELLS / "vivado" / script, folder)
    (folder / "settings.tcl").write_text(change(settings(design)))
    done = subprocess.run(["tclsh", STUBS, script], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def designs(name: str) -> list:
    board = load_board(name)
    clock = clock_below(board, 100)
    ip = StreamIp("net_0", "xilinx.com:hls:net_axi:1.0", "hls", "in_r", 8, "out_r", 64, "ap_clk", "ap_rst_n")
    return [engine_design("net", board, clock), stream_design("net", board, clock, ip)]


@needs_tcl
@pytest.mark.parametrize("name", [n for n in board_names() if load_board(n).ps != "none"])
def test_the_block_design_of_every_board(name: str, tmp_path: Path) -> None:
    for design in designs(name):
        code, text = dry(tmp_path, design)
        assert code == 0 and text.endswith("project.tcl: ok\n"), text
        assert ("no board files" in text) is (name != "zcu104" and design.board.vivado_board is not None)
        made = [line.split() for line in text.splitlines()]
        space = {words[2].split("/")[0]: int(words[3], 16) for words in made
                 if words[0] == "address" and words[1].endswith("/Data")}  # fmt: skip
        assert space == {c.name: c.base for c in design.cells if c.control}, "the addresses of the design, no others"
        for cell in design.cells:
            clocked = [w[2] for w in made if w[0] == "net" and w[2].startswith(cell.name) and "CLK" in w[1].upper()]
            assert sorted(clocked) == sorted(f"{cell.name}/{pin}" for pin in cell.clocks)
            joined = [end for w in made if w[0] == "bus" for end in w[1:]]
            for interface in (cell.control, *cell.masters, *cell.streams_in, *cell.streams_out):
                assert interface is None or joined.count(f"{cell.name}/{interface}") == 1
        interrupts = [w[1:] for w in made if w[0] == "net" and w[2].startswith("xlconcat_0/In")]
        assert interrupts == [[f"{c}/{p}", f"xlconcat_0/In{k}"] for k, (c, p) in enumerate(design.interrupts)]


@needs_tcl
@pytest.mark.parametrize("script", ["package.tcl", "synth.tcl", "implement.tcl"])
def test_the_other_scripts(script: str, tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    for kind in ("sv", "svh", "v", "vh"):
        (tmp_path / "rtl" / f"a.{kind}").write_text("")
    code, text = dry(tmp_path, designs("pynq-z2")[0], script=script)
    assert code == 0, text


@needs_tcl
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base 0x43c10000", "base 0x43c00000", "overlaps another in processing_system7_0/Data"),
        ("base 0x43c10000", "base 0x43c18000", "is not aligned to its range"),
        ("0x20000000", "0x18000000", "is no power of two"),
        ("name axi_intc_0", "name bw_engine_0", "there is a cell bw_engine_0 already"),
        ("clocks {clk_i}", "clocks {clk_i clk_i}", "bw_engine_0/clk_i is connected already"),
        ("masters {m_axi}", "masters {m_axi m_axi}", "bw_engine_0/m_axi is connected already"),
        ("vlnv xilinx.com:ip:axi_intc", "vlnv axi_intc", "create_bd_cell: -vlnv axi_intc"),
        ("s_axi_aclk", "s_axi_clk", "axi_intc has no s_axi_clk"),
        ("segment S_AXI/Reg", "segment s_axi/Reg", "no address segment axi_intc_0/s_axi/Reg; there are S_AXI/Reg"),
        ("spaces {m_axi}", "spaces {M_AXI}", "no address space bw_engine_0/M_AXI"),
        ("CONFIG.C_IRQ_CONNECTION 1", "CONFIG.C_IRQ_CONNECTION", "a name without a value"),
        ("set bw_name", "set bw_nam", 'can\'t read "bw_name"'),
        ("set bw_part", "set_part", 'invalid command name "set_part"'),
    ],
)
def test_the_stubs_find_mistakes(old: str, new: str, message: str, tmp_path: Path) -> None:
    code, text = dry(tmp_path, designs("pynq-z2")[0], change=lambda text: text.replace(old, new))
    assert code == 1 and message in text, text


@needs_tcl
def test_the_stubs_know_the_commands_options(tmp_path: Path) -> None:
    design = designs("pynq-z2")[0]
    assert dry(tmp_path, design)[0] == 0
    script = tmp_path / "project.tcl"
    text = script.read_text()
    for old, new, message in (
        ("-vlnv", "-vnlv", "create_bd_cell has no option -vnlv"),
        ("connect_bd_intf_net", "connect_bd_intfnet", 'invalid command name "connect_bd_intfnet"'),
        ("[get_bd_pins reset_0/ext_reset_in]", "[get_bd_pins rst_0/ext_reset_in]", "there is no cell rst_0"),
    ):
        script.write_text(text.replace(old, new))
        done = subprocess.run(["tclsh", STUBS, script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and message in done.stderr


# Sources ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["z7020", "zu7ev"])
def test_the_packaged_top_is_the_engine(name: str, tmp_path: Path) -> None:
    """Verilator elaborates the top that Vivado gets, with the parameters of the configuration."""
    from bitwright.sim.rtl.build import verilator_root

    try:
        root = verilator_root()
    except ToolMissingError as error:
        pytest.skip(str(error))
    write_parameters(CONFIGS[name], tmp_path / "bw_parameters.svh")
    sources = [*sorted(RTL.glob("*.sv")), SHELLS / "vivado" / "bw_engine_top.v"]
    done = subprocess.run(
        [root / "bin" / "verilator_bin", "--lint-only", "-Wall", "-Wno-PINCONNECTEMPTY", "--top-module",
         "bw_engine_top", f"-I{tmp_path}", f"-I{RTL}", *sources],
        env={"VERILATOR_ROOT": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    text = (tmp_path / "bw_parameters.svh").read_text()
    assert f".PAIRS({CONFIGS[name].pairs})" in text and f"32'h{CONFIGS[name].hash:08X}" in text


@pytest.mark.parametrize(("given", "name"), [("a b/c", "a_b_c"), ("9 nets", "net_9_nets"), ("", "net"), ("Ü", "net")])
def test_names_of_designs(given: str, name: str) -> None:
    assert design_name({"name": given}) == name


# Steps --------------------------------------------------------------------------------------------------------------


def test_without_vivado_everything_is_ready(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch)
    with pytest.raises(ToolMissingError, match=r"step package needs vivado on the PATH; everything is ready in .*:"):
        build(bundle, "vivado")
    folder = bundle / "build" / "vivado"
    assert {"settings.tcl", "package.tcl", "project.tcl", "synth.tcl", "implement.tcl", "rtl"} <= {
        p.name for p in folder.iterdir()
    }
    assert (folder / "expected" / "digits_classifier.hwh").exists()
    assert "set bw_part xc7z020clg400-1\n" in (folder / "settings.tcl").read_text()
    if shutil.which("tclsh"):
        assert (folder / "logs" / "dry-run.log").read_text().count(": ok") == 4
    assert load_bundle(bundle).artifact("bitstream") is None


def test_with_vivado_the_bundle_gets_its_bitstream(bundle: Path, vivado: Path) -> None:
    result = build(bundle, "vivado", clock_mhz=120)
    assert [n for n, _, _ in result.steps] == [
        "emit", "dry-run", "package", "project", "synth", "implement", "results"
    ]  # fmt: skip
    calls = [json.loads(line) for line in vivado.read_text().splitlines()]
    assert calls[0] == ["-version"] and [c[-1] for c in calls[1:]] == [
        "package.tcl", "project.tcl", "synth.tcl", "implement.tcl"
    ]  # fmt: skip
    loaded = load_bundle(bundle)
    assert loaded.artifact("bitstream") == bundle / "bitstream" / "digits_classifier.bit"
    assert loaded.artifact("hwh") == bundle / "bitstream" / "digits_classifier.hwh"
    assert bytes.fromhex("665599aa") in (bundle / "bitstream" / "digits_classifier.bin").read_bytes()
    record = loaded.manifest["build"]
    assert record["files"]["bitstream/digits_classifier.bin"]["made"] == "generated"
    assert record["tools"]["vivado"] == "2023.1" and record["route"] == "vivado"
    assert loaded.manifest["clock_mhz"] == pytest.approx(1000 / 9, abs=1e-6), "what the divisors make of 120 MHz"
    assert record["utilization"]["dsp"]["used"] == 214 and record["timing"]["wns"] == 0.214
    assert record["files"]["bitstream/digits_classifier.bit"]["made"] == "built"
    assert record["design"]["cells"]["bw_engine_0"]["base"] == "0x43c00000"


def test_a_build_starts_from_the_clock_of_the_compilation(bundle: Path, vivado: Path) -> None:
    compiled = load_bundle(bundle).manifest["clock_mhz"]
    for asked, made in ((120, 1000 / 9), (None, 1000 / 7)):
        shutil.rmtree(bundle / "build", ignore_errors=True)
        build(bundle, "vivado", clock_mhz=asked)
        manifest = load_bundle(bundle).manifest
        assert manifest["clock_mhz"] == pytest.approx(made, abs=1e-6)
        assert manifest["build"]["compiled_clock_mhz"] == compiled == 150


def test_one_bitstream_for_every_network(bundle: Path, vivado: Path, tmp_path: Path) -> None:
    other, small = tmp_path / "other", tmp_path / "small"
    model = ROOT / "zoo" / "digits-autoencoder" / "model.onnx"
    compile_model(model, other, board="pynq-z2", backend="engine")
    with pytest.raises(BuildError, match="has no bitstream; build it with"):
        reuse(other, bundle)
    build(bundle, "vivado", clock_mhz=120)
    record = reuse(other, bundle)
    loaded = load_bundle(other)  # hashes are checked
    assert loaded.artifact("bitstream") == other / "bitstream" / "digits_classifier.bit"
    assert loaded.manifest["clock_mhz"] == pytest.approx(1000 / 9, abs=1e-6)
    assert record["reused_from"]["bundle"] == "out" and record["route"] == "vivado" and record["timing"]["wns"] == 0.214
    assert (other / "bitstream" / "digits_classifier.bit").read_bytes() == bit("7z020clg400")
    assert reuse(bundle, other)["reused_from"]["bundle"] == "out", "where it was built, however often it is passed on"
    compile_model(model, small, board="pynq-z2", backend="engine", options={"config": "tiny"})
    with pytest.raises(BuildError, match=r"has the configuration z7020 \(0x.*small was compiled for tiny"):
        reuse(small, other)
    compile_model(model, small, board="pynq-z1", backend="engine", force=True)
    with pytest.raises(BuildError, match=r"built for the board pynq-z2, .*small is for pynq-z1"):
        reuse(small, other)
    (bundle / "bitstream" / "digits_classifier.bit").write_bytes(b"changed")
    with pytest.raises(BuildError, match=r"digits_classifier\.bit: missing or changed since it was built"):
        reuse(other, bundle)
    manifest = json.loads((small / "manifest.json").read_text())
    (small / "manifest.json").write_text(json.dumps(manifest | {"backend": "hls4ml"}))
    with pytest.raises(BuildError, match="small: a bundle of hls4ml, whose bitstream is its network"):
        reuse(small, other)


def test_an_old_vivado(bundle: Path, vivado: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSION", "Vivado v2019.2_sdx (64-bit)")
    with pytest.raises(BuildError, match=r"vivado is Vivado 2019\.2_sdx; the scripts need 2020\.1 or newer"):
        build(bundle, "vivado")


def test_an_error_in_a_run_of_vivado(bundle: Path, vivado: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "synth.tcl")
    with pytest.raises(BuildError, match=r"step synth: vivado ended with code 1: ERROR: \[Synth 8-439\] module"):
        build(bundle, "vivado")
    monkeypatch.delenv("FAIL")
    result = build(bundle, "vivado", resume=True)
    assert [s for _, s, _ in result.steps] == ["skipped"] * 4 + ["done"] * 3 and result.complete


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TIMING", str(DATA / "timing_setup_failed.rpt"), r"timing is not met at 142\.857 MHz: 402 endpoints fail"),
        ("UTILIZATION", str(DATA / "utilization_ultrascale.rpt"), "does not fit: 58210 lut used, pynq-z2 has 53200"),
        ("BIT", bit("7z010clg400").hex(), "the bitstream is for 7z010clg400, this is xc7z020clg400-1"),
        ("BIT", "00", r"no \.bit file"),
        ("FROM", "0x43C0FFFF", r"digits_classifier\.hwh: .*address"),
        ("FROM", "bitwright:engine:bw_engine", "bw_engine_0 is other:1.0, expected bitwright:engine:bw_engine:1.0"),
    ],
)
def test_results_that_are_refused(
    variable: str, value: str, message: str, bundle: Path, vivado: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BuildError, match=message):
        build(bundle, "vivado")
    assert load_bundle(bundle).artifact("bitstream") is None


def test_a_configuration_that_changed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = bundle / "project" / "program.json"
    facts = json.loads(layout.read_text())
    layout.write_text(json.dumps(facts | {"config_hash": 7}))
    with pytest.raises(BuildError, match=r"configuration z7020 with hash 0x00000007, it is now 0x.*; compile"):
        build(bundle, "vivado")


def test_boards_without_a_processing_system(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest |= {"board": "ulx3s-85f", "part": load_board("ulx3s-85f").part}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BuildError, match="board ulx3s-85f has no processing system; build it with --route yowasp"):
        build(bundle, "vivado")


# hls4ml -------------------------------------------------------------------------------------------------------------

HLS = """
print('****** Vivado(TM) HLS - High-Level Synthesis from C, C++ and OpenCL v2019.2 (64-bit)')
if os.environ.get('FAIL') == 'hls':
    print('ERROR: [HLS 200-70] Compilation errors found'); sys.exit(1)
core = here / 'bitwright_net_prj' / 'solution1' / 'impl' / 'ip'
if os.environ.get('FAIL') != 'nothing':
    core.mkdir(parents=True)
    (core / 'component.xml').write_text('<x/>')
"""


@pytest.fixture(scope="module")
def hls_compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hls4ml", reason="hls4ml is not installed")
    out = tmp_path_factory.mktemp("hls") / "out"
    compile_model(DIGITS, out, board="pynq-z2", backend="hls4ml")
    return out


def test_hls4ml(hls_compiled: Path, tmp_path: Path, vivado: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "out"
    shutil.copytree(hls_compiled, bundle)
    with pytest.raises(ToolMissingError, match="step hls needs vivado_hls on the PATH; everything is ready"):
        build(bundle, "vivado")
    fake(vivado.parent, "vivado_hls", HLS)
    for fail, message in (("hls", r"ERROR: \[HLS 200-70\]"), ("nothing", "exported no core")):
        monkeypatch.setenv("FAIL", fail)
        with pytest.raises(BuildError, match=message):
            build(bundle, "vivado", resume=True)
    monkeypatch.delenv("FAIL")
    result = build(bundle, "vivado", resume=True)
    assert result.complete and [n for n, _, _ in result.steps][2] == "hls"
    assert result.record["tools"] | {"bitwright": ""} == {"bitwright": "", "vivado_hls": "2019.2", "vivado": "2023.1"}
    call = json.loads((vivado.parent / "vivado_hls.calls").read_text().splitlines()[-1])
    assert call[:2] == ["-f", "build_prj.tcl"] and "export=1" in call[2] and "csim=0" in call[2]
    text = (bundle / "build" / "vivado" / "settings.tcl").read_text()
    assert "xilinx.com:hls:bitwright_net_axi:1.0" in text and "axi_dma_0/M_AXIS_MM2S bitwright_net_axi_0/in_r" in text
    assert not list((bundle / "project").glob("*_prj")), "the bundle's project stays as it was"


def test_hls4ml_without_streams(hls_compiled: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "out"
    shutil.copytree(hls_compiled, bundle)
    (bundle / "project" / "firmware" / "bitwright_net_axi.h").unlink()
    with pytest.raises(BuildError, match=r"without AXI streams; .* --option tool=vivado-accelerator"):
        build(bundle, "vivado")


def test_hls4ml_for_a_board_that_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hls4ml", reason="hls4ml is not installed")
    on_path(monkeypatch)
    out = tmp_path / "out"
    compile_model(DIGITS, out, board="ultra96-v2", backend="hls4ml")
    for name in ("project.tcl", "hls4ml_config.yml"):
        text = (out / "project" / name).read_text()
        assert "xczu3eg-sbva484-1-i" in text and "xczu9eg" not in text
    assert not (out / "project" / "design.tcl").exists(), "hls4ml's block design is for another board"
    with pytest.raises(ToolMissingError, match="step hls needs vivado_hls"):
        build(out, "vivado")
    settings = (out / "build" / "vivado" / "settings.tcl").read_text()
    assert "CONFIG.c_addr_width 64" in settings and "set bw_ps psu" in settings
    with pytest.raises(BackendError, match=r"board ulx3s-85f: .* a processing system, this is a ecp5 part without one"):
        compile_model(DIGITS, tmp_path / "none", board="ulx3s-85f", backend="hls4ml")


# Command line -------------------------------------------------------------------------------------------------------


def test_the_command(
    bundle: Path, vivado: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bitwright", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, out, _ = call("build", bundle, "--route", "vivado", "--until", "project", "--json")
    facts = json.loads(out)
    assert code == 0 and not facts["complete"] and [s["name"] for s in facts["steps"]][-1] == "project"
    code, out, err = call("build", bundle, "--route", "vivado", "--resume")
    assert code == 0 and "digits_classifier.bit" in out and "4/7 project: making the block design (done before)" in err
    assert "7/7 results" in err and "utilization: " in out
    other = bundle.parent / "other"
    compile_model(DIGITS, other, board="pynq-z2", backend="engine")
    code, out, _ = call("build", other, "--reuse", bundle)
    assert code == 0 and "digits_classifier.bit" in out
    code, _, err = call("build", other)
    assert code == 2 and "give either --route or --reuse" in err
    code, out, _ = call("build", bundle, "--route", "vivido", "--json")
    assert code == 2 and "did you mean vivado" in json.loads(out)["error"]["message"]
