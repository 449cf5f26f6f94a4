# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host runtime on bundles of FINN: words of its streams, its two DMAs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bitwright import flow
from bitwright.host import Accelerator, BundleError, DeviceError
from bitwright.zoo import entry


@pytest.fixture(scope="module", params=["digits-classifier", "digits-autoencoder"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finn") / request.param
    flow.compile_model(entry(request.param).model, out, board="zcu104", backend="finn")
    return out


def test_golden_vectors(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim") as net:
        net.self_test()
        x = np.random.default_rng(0).uniform(0, 16, (70, *net.bundle.inputs[0].shape)).astype(np.float32)
        want = net.run(x)  # two jobs
        np.testing.assert_array_equal(np.stack(list(net.stream(x[:9]))), want[:9])
        assert net.benchmark(5).counters == {}


def test_an_accelerator_that_hangs_needs_the_bitstream_again(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim", timeout=0.5) as net:
        net.device.board.inject("finn-hang")
        with pytest.raises(
            DeviceError, match=r"has not finished 16 frames after 0\.5 s: input DMA 0x1, output DMA 0x1"
        ):
            net.self_test()
        net.device.board.heal()
        net.device.board.logic.input.running = False  # it never saw the frame
        with pytest.raises(DeviceError, match=r"busy with a frame that never ended.*reload\(\)"):
            net.self_test()
        net.reload()
        net.self_test()


def test_damaged_streams_are_named(bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    path = broken / "project" / "streams.json"
    streams = json.loads(path.read_text())
    path.write_text(json.dumps({**streams, "inputs": {}}))
    with pytest.raises(BundleError, match="1 streams; one input and one output are driven"):
        Accelerator.load(broken, device="sim")
    path.unlink()
    with pytest.raises(BundleError, match=r"streams\.json: missing or damaged"):
        Accelerator.load(broken, device="sim")
