# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""How fast the simulators are: `make bench-sim`.

On the networks in BATCHES, in one run and on the same frames: our fast simulator (one frame, a batch), our reference,
qonnx's executor (one frame, a batch), and plain float onnxruntime on the same network without quantizers. The integers
of fast and reference must be equal; those of qonnx, which computes in float32, are compared and differences counted.
Each figure is the best of several runs. Everything uses all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.sim import reference
from bitwright.sim.fast import FastSimulator
from bitwright.zoo.structures import NETS

#: Network -> frames of its batch.
BATCHES = {"mobilenet_v2_224": 8, "autoencoder_640": 256}


def best(call: Callable[[], Any], seconds: float, least: int = 3) -> float:
    """Shortest of repeated runs."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


class Qonnx:
    """qonnx's executor on a model at one batch size."""

    def __init__(self, model: onnx.ModelProto, batch: int) -> None:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.change_batchsize import ChangeBatchSize
        from qonnx.transformation.infer_shapes import InferShapes

        ort.set_default_logger_severity(4)
        wrapped = ModelWrapper(model).transform(InferShapes())
        if batch > 1:
            wrapped = wrapped.transform(ChangeBatchSize(batch)).transform(InferShapes())
        self.model = wrapped

    def __call__(self, x: np.ndarray) -> np.ndarray:
        from qonnx.core.onnx_exec import execute_onnx

        name = self.model.graph.input[0].name
        return np.asarray(execute_onnx(self.model, {name: x})[self.model.graph.output[0].name])


def frames_of(graph: Graph, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(real frames in the model's layout, the integers that the host makes of them in the tensor's)."""
    given = graph.inputs[0]
    tensor = graph.tensors[given.tensor]
    assert given.quantize is not None
    q = np.random.default_rng(1).integers(given.quantize.lo, given.quantize.hi + 1, (count, *tensor.shape))
    back = np.argsort(given.perm)
    real = q.astype(np.float64) * float(given.quantize.scale)
    return real.transpose(0, *(int(p) + 1 for p in back)).astype(np.float32), q


def measure(name: str, seconds: float) -> dict[str, Any]:
    """All figures of one network, in frames per second."""
    make, batch = NETS[name], BATCHES[name]
    model = make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        start = time.perf_counter()
        graph = import_model(path)
        imported = time.perf_counter() - start
    real, q = frames_of(graph, batch)
    tensor, output = graph.inputs[0].tensor, graph.outputs[0]
    fast = FastSimulator(graph)
    rates: dict[str, float] = {}
    one, many = {tensor: q[:1]}, {tensor: q}
    rates["fast, one frame"] = 1 / best(lambda: fast.run(one), seconds)
    rates[f"fast, batch {batch}"] = batch / best(lambda: fast.run(many), seconds)
    session = ort.InferenceSession(_batched(make(False)).SerializeToString(), providers=["CPUExecutionProvider"])
    rates["float onnxruntime, one frame"] = 1 / best(lambda: session.run(None, {"x": real[:1]}), seconds)
    rates[f"float onnxruntime, batch {batch}"] = batch / best(lambda: session.run(None, {"x": real}), seconds)
    rates["reference, one frame"] = 1 / best(lambda: reference.run(graph, one), 0, 2)
    got = fast.run(many)[output.tensor]
    want = reference.run(graph, {tensor: q[:4]})[output.tensor]
    if not np.array_equal(got[:4], want):
        raise SystemExit(f"{name}: fast and reference differ")
    qonnx_one, qonnx_many = Qonnx(model, 1), Qonnx(model, batch)
    rates["qonnx, one frame"] = 1 / best(lambda: qonnx_one(real[:1]), 0, 2)
    rates[f"qonnx, batch {batch}"] = batch / best(lambda: qonnx_many(real), 0, 1)
    assert output.affine is not None
    theirs = np.rint(qonnx_many(real) / float(output.affine.scale.flat[0])).astype(np.int64)
    ours = got.transpose(0, *(p + 1 for p in output.perm))
    return {
        "network": name, "batch": batch, "import_seconds": round(imported, 2),
        "frames_per_second": {k: round(v, 2) for k, v in rates.items()},
        "fast_over_qonnx_one_frame": round(rates["fast, one frame"] / rates["qonnx, one frame"], 1),
        "time_over_float_one_frame": round(rates["float onnxruntime, one frame"] / rates["fast, one frame"], 2),
        "time_over_float_batch": round(
            rates[f"float onnxruntime, batch {batch}"] / rates[f"fast, batch {batch}"], 2
        ),
        "values": int(ours.size), "different_from_reference": 0,
        "different_from_qonnx": int((theirs != ours).sum()),
        "largest_difference_from_qonnx": int(np.abs(theirs - ours).max()),
        "arithmetic": {a: sum(s.arithmetic == a for s in fast.plan) for a in {s.arithmetic for s in fast.plan}},
    }  # fmt: skip


def _batched(model: onnx.ModelProto) -> onnx.ModelProto:
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each repeated figure")
    options = parser.parse_args()
    results = [measure(name, options.seconds) for name in BATCHES]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {n: metadata.version(n) for n in ("bitwright", "onnxruntime", "qonnx", "numpy")},
        "peak_memory_mib": round(peak),
        "networks": results,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    console = Console()
    for r in results:
        table = Table(title=f"{r['network']} on {report['machine']}", title_justify="left")
        table.add_column("engine")
        table.add_column("frames/s", justify="right")
        for engine, rate in r["frames_per_second"].items():
            table.add_row(engine, f"{rate:,.1f}")
        console.print(table)
        console.print(
            f"fast is {r['fast_over_qonnx_one_frame']} times as fast as qonnx (one frame); its time is "
            f"{r['time_over_float_one_frame']} times that of float onnxruntime (one frame), "
            f"{r['time_over_float_batch']} times (batch {r['batch']})"
        )
        console.print(
            f"{r['values']} values: 0 differ from the reference, {r['different_from_qonnx']} from qonnx's float32 "
            f"(largest {r['largest_difference_from_qonnx']})\n"
        )
    console.print(f"peak memory of the whole run: {report['peak_memory_mib']} MiB")


if __name__ == "__main__":
    main()
