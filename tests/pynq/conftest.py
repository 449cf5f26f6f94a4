# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Bundles with overlays for the tests that need pynq. `make test-pynq` runs them with 3.0.1, 3.1.2 and 4.0.0."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitwright import flow
from bitwright.boards import load_board
from bitwright.compile.build.design import clock_below
from bitwright.host import Bundle, load_bundle
from bitwright.overlay import architecture, board_of, write_overlay
from bitwright.zoo import entry
from tests.finn.nets import NETS
from tests.host.test_finn_bundles import finn_bundle as finn_bundle_of

#: The version that the caller promises to have installed.
PROMISED = os.environ.get("BITWRIGHT_PYNQ", "")

try:
    import pynq
except ImportError:
    if PROMISED:
        raise
    pynq = None  # the tests are skipped
if PROMISED and pynq.__version__ != PROMISED:
    raise RuntimeError(f"pynq {pynq.__version__} is installed, {PROMISED} was promised")

BOARDS = {"engine": ("pynq-z2", "ultra96-v2"), "hls4ml": ("pynq-z2", "zcu102"), "finn": ("pynq-z1", "zcu104")}


def boards(backend: str) -> list[str]:
    """Boards that this pynq runs on."""
    old = pynq is not None and int(pynq.__version__.split(".")[0]) < 4
    return [b for b in BOARDS[backend] if old or load_board(b).ps == "psu"]


def make(backend: str, board: str, folder: Path) -> Bundle:
    """The digits classifier as a bundle with an overlay, as a build would leave it."""
    out = folder / f"{backend}-{board}"
    flow.compile_model(entry("digits-classifier").model, out, board=board, backend=backend)
    return with_overlay(out, board)


def with_overlay(out: Path, board: str) -> Bundle:
    """A compiled bundle with an overlay."""
    bit = write_overlay(load_bundle(out))
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["artifacts"] = {k: f"overlay/{bit.stem}.{e}" for k, e in (("bitstream", "bit"), ("hwh", "hwh"))}
    manifest["clock_mhz"] = clock_below(load_board(board), manifest["clock_mhz"]).mhz
    path.write_text(json.dumps(manifest))
    return load_bundle(out)


@pytest.fixture(scope="session", params=boards("engine"))
def engine_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make("engine", request.param, tmp_path_factory.mktemp("pynq"))


@pytest.fixture(scope="session", params=boards("hls4ml"))
def dma_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make("hls4ml", request.param, tmp_path_factory.mktemp("pynq"))


@pytest.fixture(scope="session", params=boards("finn"))
def finn_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make("finn", request.param, tmp_path_factory.mktemp("pynq"))


@pytest.fixture(scope="session", params=["detector", "two_inputs"])
def several_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of FINN, with several inputs or outputs."""
    out = tmp_path_factory.mktemp("pynq") / request.param
    return with_overlay(finn_bundle_of(NETS[request.param](), out), "zcu104")


def _device(bundle: Bundle) -> Iterator[Any]:
    from bitwright.sim.board.pynq_device import simulated_pynq

    with simulated_pynq(architecture(bundle), board_of) as made:
        yield made


@pytest.fixture
def engine_device(engine_bundle: Bundle) -> Iterator[Any]:
    yield from _device(engine_bundle)


@pytest.fixture
def finn_device(finn_bundle: Bundle) -> Iterator[Any]:
    yield from _device(finn_bundle)


@pytest.fixture
def dma_device(dma_bundle: Bundle) -> Iterator[Any]:
    yield from _device(dma_bundle)


@pytest.fixture
def several_device(several_bundle: Bundle) -> Iterator[Any]:
    yield from _device(several_bundle)
