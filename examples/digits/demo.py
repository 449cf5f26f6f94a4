# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The main job on real input: compile both digits networks, verify every engine, run on the simulated PYNQ-Z2.

Needs no torch: the networks were trained by the recipes in zoo/ (docs/train.md) and are read as QONNX.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from bitwright import flow
from bitwright.engines import verify
from bitwright.host import Accelerator, load_bundle
from bitwright.host.convert import to_integers
from bitwright.quant.data.digits import load_anomaly_split, load_split
from bitwright.quant.metrics.scores import accuracy, area_under_roc, reconstruction_errors
from bitwright.quant.qonnx_run import run_qonnx
from bitwright.zoo import Entry, entry

BOARD = "pynq-z2"


def compiled(network: Entry, folder: Path, console: Console) -> Any:
    """Compile one network; the loaded bundle."""
    start = time.perf_counter()
    manifest = flow.compile_model(network.model, folder / network.name, board=BOARD, backend="hls4ml")
    seconds = time.perf_counter() - start
    console.print(
        f"[bold]{network.name}[/]: {network.model.name} -> {BOARD} ({manifest['part']}), hls4ml project, "
        f"golden vectors, manifest in {seconds:.1f} s"
    )
    return load_bundle(folder / network.name)


def verified(bundle: Any, images: np.ndarray, console: Console) -> bool:
    """Run every engine on all images and compare the integers; True when all are equal."""
    port = bundle.inputs[0]
    x = {port.tensor: port.to_tensor(to_integers(port, images))}
    table = Table(title=f"{bundle.root.name}: integers of {len(images)} test images", title_justify="left")
    for column in ("engine", "values compared", "different", "seconds"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    fine = True
    for r in verify(bundle, x, None):
        if r.skipped:
            table.add_row(r.engine, f"not run: {r.skipped}", "", "")
            continue
        fine &= r.different == 0
        table.add_row(r.engine, f"{r.values:,}", f"{r.different}", f"{r.seconds:.2f}")
    console.print(table)
    return fine


def classifier(network: Entry, folder: Path, console: Console) -> bool:
    """Compile, verify, and classify the test images on the simulated board."""
    split = load_split()
    images, labels = split.x_test, split.y_test
    bundle = compiled(network, folder, console)
    fine = verified(bundle, images, console)
    (qat,) = run_qonnx(onnx.load(network.model), images)
    with Accelerator.load(bundle, device="sim") as net:
        logits = net.run(images)
    table = Table(title=f"accuracy on {len(images)} test images", title_justify="left")
    table.add_column("model")
    table.add_column("accuracy", justify="right")
    recorded = network.metrics["float"]["accuracy"]
    table.add_row("float32, before quantization (recorded by the training run)", f"{recorded:.2%}")
    table.add_row("QAT, W4A8, in float32 (qonnx, measured now)", f"{accuracy(qat, labels):.2%}")
    table.add_row("integers, on the simulated PYNQ-Z2 (measured now)", f"{accuracy(logits, labels):.2%}")
    console.print(table)
    return fine


def autoencoder(network: Entry, folder: Path, console: Console) -> bool:
    """Compile, verify, and score how well the reconstruction error tells the unseen digit."""
    split = load_anomaly_split()
    images, unseen = split.x_test, split.anomalous
    flat = images.reshape(len(images), -1)
    bundle = compiled(network, folder, console)
    fine = verified(bundle, flat, console)
    with Accelerator.load(bundle, device="sim") as net:
        rebuilt = net.run(flat)
    (qat,) = run_qonnx(onnx.load(network.model), flat)
    table = Table(title=f"telling the unseen digit {split.unseen_class} by reconstruction error", title_justify="left")
    table.add_column("model")
    table.add_column("area under ROC", justify="right")
    recorded = network.metrics["float"]["area_under_roc"]
    table.add_row("float32, before quantization (recorded by the training run)", f"{recorded:.4f}")
    for title, y in (("QAT, W4A8, in float32 (qonnx, measured now)", qat),
                     ("integers, on the simulated PYNQ-Z2 (measured now)", rebuilt)):  # fmt: skip
        table.add_row(title, f"{area_under_roc(reconstruction_errors(flat, y), unseen):.4f}")
    console.print(table)
    return fine


def main() -> int:
    """Run both; 1 when any integer differed."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bitwright-demo-") as scratch:
        fine = classifier(entry("digits-classifier"), Path(scratch), console)
        fine &= autoencoder(entry("digits-autoencoder"), Path(scratch), console)
    console.print("[green]every engine gave the same integers[/]" if fine else "[red]engines differ[/]")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
