# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN itself takes what we emit, computes our integers, and estimates what we predict.

Runs where BITWRIGHT_FINN_PYTHON names an interpreter with FINN's packages and FINN_ROOT FINN's folder (docs/finn.md).
Reports are compared with those stored in tests/finn/reports, too; BITWRIGHT_RECORD_FINN=1 writes those anew.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bitwright.compile.backends.finn.driver import check_driver, read_driver
from bitwright.compile.backends.finn.project import STREAMS
from bitwright.hw.hls.finn import FINN_COMMIT
from tests.finn.cases import CASES, REPORTS, emit, predicted
from tests.finn.nets import NETS

PYTHON = os.environ.get("BITWRIGHT_FINN_PYTHON")
pytestmark = pytest.mark.skipif(
    PYTHON is None and "BITWRIGHT_REQUIRE_FINN" not in os.environ,
    reason="set BITWRIGHT_FINN_PYTHON and FINN_ROOT (make test-finn)",
)


def run_finn(folder: Path, script: str = "estimate.py") -> str:
    """Run a script of a project in FINN's environment; its output."""
    assert PYTHON is not None, "BITWRIGHT_FINN_PYTHON is not set"
    build = folder.parent / "finn-build"
    build.mkdir(exist_ok=True)
    env = {
        # FINN makes its folders by replacing /tmp by this one.
        "FINN_BUILD_DIR": str(build), "FINN_XILINX_PATH": "/none", "FINN_XILINX_VERSION": "2022.2",
        "NUM_DEFAULT_WORKERS": "1", **os.environ,
    }  # fmt: skip
    done = subprocess.run(
        [PYTHON, "-W", "ignore", script], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def reports(folder: Path) -> dict[str, Any]:
    """FINN's reports of a project, the parts that we predict."""

    def read(name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((folder / "output" / "report" / name).read_text())
        return result

    performance = read("estimate_network_performance.json")
    resources = read("estimate_layer_resources.json")
    return {
        "finn": FINN_COMMIT,
        "cycles": read("estimate_layer_cycles.json"),
        "resources": {
            name: {k: int(r[k]) for k in ("LUT", "BRAM_18K", "URAM", "DSP")}
            for name, r in resources.items()
            if name != "total"
        },
        "max_cycles": performance["max_cycles"],
        "critical_path_cycles": performance["critical_path_cycles"],
        "verification": read("bitwright_verification.json"),
    }


@pytest.mark.parametrize("name", CASES)
def test_finn_takes_the_project(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    project = emit(name, folder)
    run_finn(folder)
    got = reports(folder)
    assert got["verification"]["different"] == 0 and got["verification"]["values"] > 0
    assert list(got["cycles"]) == list(project.estimate["layers"]), "FINN names its layers otherwise"
    stored = REPORTS / f"{name}.json"
    if "BITWRIGHT_RECORD_FINN" in os.environ:
        REPORTS.mkdir(exist_ok=True)
        stored.write_text(json.dumps(got, indent=1) + "\n")
    assert got == json.loads(stored.read_text()), f"{stored.name} was recorded with another project or FINN"
    assert predicted(project.estimate) == {k: got[k] for k in ("cycles", "max_cycles", "critical_path_cycles")}


@pytest.mark.parametrize("name", NETS)
def test_finn_generates_the_hardware_sources(name: str, tmp_path: Path) -> None:
    """HLS and RTL sources of every layer, up to where Vitis HLS would start."""
    folder = tmp_path / "project"
    emit(name, folder)
    (folder / "sources.py").write_text("import sys\nfrom build import build\nsys.exit(build('step_hw_codegen'))\n")
    run_finn(folder, "sources.py")
    made = [p.name for p in (tmp_path / "finn-build").glob("code_gen_ipgen_*")]
    layers = json.loads((folder / "output" / "report" / "estimate_layer_cycles.json").read_text())
    assert len(made) == len(layers) and all(any(layer in m for m in made) for layer in layers)


STREAMLINE = """
import sys
import numpy as np
from finn.builder.build_dataflow_config import DataflowBuildConfig
from finn.builder.build_dataflow_steps import step_qonnx_to_finn, step_streamline, step_tidy_up
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

model = ModelWrapper("model.onnx")
config = DataflowBuildConfig(output_dir="streamlined", synth_clk_period_ns=10.0, generate_outputs=[])
golden = np.load("golden.npz")
for step in (step_qonnx_to_finn, step_tidy_up, step_streamline):
    model = step(model, config)
    x, y = model.graph.input[0].name, model.graph.output[0].name
    for given, want in zip(golden["input_0"], golden["output_0"]):
        got = execute_onnx(model, {x: given.reshape(model.get_tensor_shape(x)).astype("float32")})[y]
        assert np.array_equal(got.reshape(want.shape), want), step.__name__
    print(step.__name__, "equal")
"""


#: qonnx's executor needs our operator's module; of an output that the network also reads, RemoveIdentityOps takes away
#: the product with one, and with it the stream that the rest of the network reads.
NOT_STREAMLINED = ("deformable", "detector", "two_inputs")


@pytest.mark.parametrize("name", [n for n in CASES if n not in NOT_STREAMLINED])
def test_streamlining_by_finn_changes_no_integer(name: str, tmp_path: Path) -> None:
    """FINN's own front end, which our build leaves out, finds nothing to break in the model."""
    folder = tmp_path / "project"
    emit(name, folder)
    (folder / "streamline.py").write_text(STREAMLINE)
    assert run_finn(folder, "streamline.py").count("equal") == 3


#: FINN's shell for Zynq up to where Vivado starts, which only needs the names of the stitched cores, then its driver.
SHELL = """
import json, os, shutil
import bitwright_steps
import finn.transformation.fpgadataflow.make_zynq_proj as zynq
from finn.builder.build_dataflow_config import DataflowBuildConfig
from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
from finn.transformation.fpgadataflow.make_pynq_driver import MakePYNQDriver
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames

with open("dataflow_build_config.json") as f:
    config = DataflowBuildConfig.from_dict(json.load(f))
part = config._resolve_fpga_part()
model = ModelWrapper("output/intermediate_models/step_generate_estimate_reports.onnx")
for made in (
    zynq.InsertDWC(), InsertFIFO(create_shallow_fifos=True), zynq.SpecializeLayers(part), GiveUniqueNodeNames(),
    GiveReadableTensorNames(), zynq.InferDataLayouts(), zynq.InsertIODMA(64), zynq.InsertDWC(),
    zynq.SpecializeLayers(part), zynq.Floorplan(), zynq.CreateDataflowPartition(os.path.abspath("output/kernels")),
    GiveUniqueNodeNames(), GiveReadableTensorNames(),
):
    model = model.transform(made)
for node in model.graph.node:
    file = getCustomOp(node).get_nodeattr("model")
    kernel = ModelWrapper(file).transform(GiveUniqueNodeNames(node.name + "_")).transform(GiveReadableTensorNames())
    control = ["s_axi_control"] if kernel.graph.node[0].op_type == "IODMA_hls" else []
    for key, value in (
        ("vivado_stitch_proj", os.getcwd()), ("vivado_stitch_vlnv", "a:b:c:1.0"), ("clk_ns", "10"),
        ("vivado_stitch_ifnames", str({"axilite": control})),
    ):
        kernel.set_metadata_prop(key, value)
    kernel.save(file)
zynq.collect_ip_dirs = lambda *_: []
try:
    model.transform(zynq.MakeZYNQProject("ZCU104"), make_deepcopy=False)
    raise SystemExit("Vivado ran")
except Exception as error:
    assert "no bitfile found" in str(error), error
model = model.transform(MakePYNQDriver("zynq-iodma"))
os.makedirs("output/driver")
shutil.copy(model.get_metadata_prop("pynq_driver_dir") + "/driver.py", "output/driver")
bitwright_steps.step_bitwright_ends(model, config)
"""


@pytest.mark.parametrize("name", ["separable", "detector", "two_inputs"])
def test_the_driver_of_finn_has_our_streams(name: str, tmp_path: Path) -> None:
    """FINN's own shell and driver: a DMA core for every tensor, with the types, words and shapes that we count on."""
    folder = tmp_path / "project"
    emit(name, folder)
    run_finn(folder)
    (folder / "shell.py").write_text("import os, sys\nsys.path.insert(0, os.getcwd())\n" + SHELL)
    run_finn(folder, "shell.py")
    driver = folder / "output" / "driver" / "driver.py"
    cores = check_driver(driver, json.loads((folder / STREAMS).read_text()))["cores"]
    table, graph = read_driver(driver), NETS[name]()
    for end, letter in (("input", "i"), ("output", "o")):
        shapes = dict(zip(table[f"{end}_dma_name"], table[f"{letter}shape_normal"], strict=True))
        assert len(shapes) == len(cores[f"{end}s"]) == table[f"num_{end}s"]
        for tensor, core in cores[f"{end}s"].items():
            assert [n for n in shapes[core] if n > 1] == [n for n in graph.tensors[tensor].shape if n > 1], tensor
