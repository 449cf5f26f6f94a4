# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The digits networks end to end: both exporters, every engine on the whole test split, the figures on record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright import flow
from bitwright.compile.frontend import import_model
from bitwright.engines import verify
from bitwright.host import Accelerator, load_bundle
from bitwright.host.convert import to_integers
from bitwright.quant.data.digits import load_anomaly_split, load_split
from bitwright.quant.metrics.scores import accuracy, area_under_roc, reconstruction_errors
from bitwright.zoo import entry
from tests.support import run_graph

DATA = Path(__file__).resolve().parent / "data"
NAMES = ("classifier", "autoencoder")
ZOO = {name: entry(f"digits-{name}") for name in NAMES}


def test_images(name: str) -> np.ndarray:
    images = load_split().x_test
    return images if name == "classifier" else images.reshape(len(images), -1)


test_images.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_both_exporters_give_the_same_integers(name: str) -> None:
    graphs = [import_model(ZOO[name].model), import_model(DATA / f"digits_{name}_dynamo.onnx")]
    images = test_images(name)[:40]
    results = [next(iter(run_graph(g, {g.inputs[0].name: images}).values())) for g in graphs]
    np.testing.assert_array_equal(*results)


@pytest.mark.hls
@pytest.mark.parametrize("name", NAMES)
def test_every_engine_on_the_whole_split(name: str, tmp_path: Path) -> None:
    flow.compile_model(ZOO[name].model, tmp_path / "out")
    bundle = load_bundle(tmp_path / "out")
    images = test_images(name)
    port = bundle.inputs[0]
    results = verify(bundle, {port.tensor: port.to_tensor(to_integers(port, images))}, None)
    ran = [r for r in results if r.engine not in ("program", "rtl", "finn")]  # those of other backends
    assert [r.engine for r in ran] == ["reference", "fast", "csim", "board-sim"]
    for r in ran:
        assert r.skipped is None and r.frames == 540 and r.different == 0, r
    with Accelerator.load(bundle, device="sim") as net:
        y = net.run(images)
    recorded = ZOO[name].metrics["qat"]
    # Integers and float32 may differ on rounding ties; on this split they do not change a decision.
    if name == "classifier":
        assert accuracy(y, load_split().y_test) == recorded["accuracy"]
    else:
        unseen = load_anomaly_split().anomalous
        assert abs(area_under_roc(reconstruction_errors(images, y), unseen) - recorded["area_under_roc"]) < 1e-4
