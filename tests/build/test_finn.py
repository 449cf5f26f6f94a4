# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN bundles on the route vivado: what FINN would leave behind is checked and taken into the bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bitwright.boards import load_board
from bitwright.compile.build import BuildError, build
from bitwright.compile.build.design import Cell, Design, clock_below
from bitwright.compile.build.hwh import write_hwh
from bitwright.errors import ToolMissingError
from bitwright.flow import compile_model
from bitwright.host import load_bundle
from tests.build.tools import DATA, DIGITS, bit, fake, on_path
from tests.finn.drivers import driver_of

#: In FINN's place; the arguments are those of the real one.
FINN = """
assert argv == ['build.py'] and Path('build.py').exists(), argv
(here / 'output' / 'bitfile').mkdir(parents=True)
(here / 'output' / 'report').mkdir()
(here / 'output' / 'driver').mkdir()
(here / 'output' / 'driver' / 'driver.py').write_text(os.environ['DRIVER'])
if os.environ.get('FAIL'):
    (here / 'output' / 'build_dataflow.log').write_text('RuntimeError: vivado was not found in PATH\\n')
    print('Build failed'); sys.exit(1)
(here / 'output' / 'bitfile' / 'finn-accel.bit').write_bytes(bytes.fromhex(os.environ['BIT']))
(here / 'output' / 'bitfile' / 'finn-accel.hwh').write_text(Path(os.environ['HWH']).read_text())
(here / 'output' / 'report' / 'post_synth_resources.json').write_text('{"(top)": {"LUT": 9000, "DSP": 20}}')
(here / 'output' / 'report' / 'post_route_timing.rpt').write_text(Path(os.environ['TIMING']).read_text())
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finn") / "out"
    compile_model(DIGITS, out, board="pynq-z2", backend="finn")
    return out


@pytest.fixture
def bundle(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(compiled, tmp_path / "out")
    fake(tmp_path / "bin", "vivado", "print('Vivado v2022.2 (64-bit)')")
    on_path(monkeypatch, tmp_path / "bin")
    board = load_board("pynq-z2")
    cells = tuple(
        Cell(
            f"{name}0",
            f"xilinx_finn:finn:StreamingDataflowPartition_{k}:1.0",
            {},
            "s_axi_control",
            0x40000000 + (k << 16),
        )
        for k, name in enumerate(("idma", "odma"))
    )
    write_hwh(Design("top", board, clock_below(board, 100), cells), tmp_path / "finn.hwh", "a test")
    monkeypatch.setenv("FINN_ROOT", str(tmp_path))
    monkeypatch.setenv("BITWRIGHT_FINN_PYTHON", str(fake(tmp_path / "bin", "finn-python", FINN)))
    monkeypatch.setenv("BIT", bit("7z020clg400", "top_wrapper").hex())
    monkeypatch.setenv("DRIVER", driver_of(tmp_path / "out" / "project"))
    monkeypatch.setenv("HWH", str(tmp_path / "finn.hwh"))
    monkeypatch.setenv("TIMING", str(DATA / "timing_met.rpt"))
    return tmp_path / "out"


def test_a_build_by_finn(bundle: Path) -> None:
    result = build(bundle, "vivado")
    assert [n for n, _, _ in result.steps] == ["emit", "finn", "results"]
    loaded = load_bundle(bundle)
    assert loaded.artifact("bitstream") == bundle / "bitstream" / "digits_classifier.bit"
    assert loaded.artifact("hwh") == bundle / "bitstream" / "digits_classifier.hwh"
    record = loaded.manifest["build"]
    assert record["tools"]["vivado"] == "Vivado v2022.2 (64-bit)" and len(record["tools"]["finn"]) == 40
    assert record["resources"] == {"(top)": {"LUT": 9000, "DSP": 20}} and record["timing"]["wns"] == 0.214
    assert record["design"]["cells"] == {"idma0": {"base": "0x40000000"}, "odma0": {"base": "0x40010000"}}
    assert record["finn"]["input_dma_name"] == ["idma0"] and loaded.artifact("driver") is not None
    assert not (bundle / "project" / "output").exists(), "the bundle's project stays as it was"


def test_a_build_that_finn_did_elsewhere(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(bundle, "vivado")
    shutil.copytree(bundle / "build" / "vivado" / "finn" / "output", bundle / "project" / "output")
    monkeypatch.delenv("FINN_ROOT")
    assert build(bundle, "vivado").complete
    assert load_bundle(bundle).artifact("bitstream") is not None


def test_a_build_of_another_folding(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVER", driver_of(bundle / "project", in_word=7))
    with pytest.raises(BuildError, match=r"elements_per_word': 7.*the compiler counted on"):
        build(bundle, "vivado")
    monkeypatch.setenv("DRIVER", "io_shape_dict = 3")
    with pytest.raises(BuildError, match="not a driver of FINN's"):
        build(bundle, "vivado")


def test_without_finn(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINN_ROOT")
    with pytest.raises(ToolMissingError, match=r"needs FINN: set FINN_ROOT .* is ready in .*finn .*--resume"):
        build(bundle, "vivado")


def test_finn_fails(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError, match="finn-python ended with code 1: RuntimeError: vivado was not found"):
        build(bundle, "vivado")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BIT", bit("7z010clg400").hex(), "the bitstream is for 7z010clg400, this is xc7z020clg400-1"),
        ("TIMING", str(DATA / "timing_setup_failed.rpt"), "timing is not met at 100 MHz"),
    ],
)
def test_results_that_are_refused(
    variable: str, value: str, message: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BuildError, match=message):
        build(bundle, "vivado")


def test_a_design_without_finns_dma(bundle: Path, tmp_path: Path) -> None:
    text = (tmp_path / "finn.hwh").read_text()
    (tmp_path / "finn.hwh").write_text(text.replace("odma0", "other"))
    with pytest.raises(BuildError, match=r"DMA cores idma0, odma0 are expected, the design has \['idma0', 'other'\]"):
        build(bundle, "vivado")


def test_what_finn_cannot_build(bundle: Path) -> None:
    with pytest.raises(BuildError, match="the clock of a FINN project is that of its folding"):
        build(bundle, "vivado", clock_mhz=80)
    config = bundle / "project" / "dataflow_build_config.json"
    facts = json.loads(config.read_text())
    config.write_text(json.dumps(facts | {"generate_outputs": ["stitched_ip"]}))
    with pytest.raises(BuildError, match="board pynq-z2: FINN builds no bitfile for it"):
        build(bundle, "vivado")
