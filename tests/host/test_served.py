# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The runtime with a board that runs the frame server: device="served"."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright import flow
from bitwright.cli.app import app
from bitwright.host import Accelerator, DeviceError
from bitwright.host.devices import served
from bitwright.host.server import FrameServer
from bitwright.zoo import entry
from tests.host.test_server import serve
from tests.host.test_task import image, model


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("served")
    for name in ("digits-classifier", "digits-autoencoder"):
        flow.compile_model(entry(name).model, folder / name, board="ultra96-v2", backend="engine")
    return {"classifier": folder / "digits-classifier", "autoencoder": folder / "digits-autoencoder"}


@pytest.fixture
def bundle(bundles: dict[str, Path]) -> Path:
    return bundles["classifier"]


@pytest.fixture
def server(bundle: Path) -> Iterator[FrameServer]:
    yield from serve(bundle)


def url(server: Any) -> str:
    host, port = server.server_address[:2]
    return f"http://{host}:{port}"


def load(bundle: Path, server: Any, **options: Any) -> Accelerator:
    return Accelerator.load(bundle, device="served", address=url(server), **options)


def test_everything_that_a_board_does(bundle: Path, server: FrameServer) -> None:
    with load(bundle, server) as net:
        net.self_test()
        x = np.random.default_rng(0).uniform(0, 16, (66, *net.bundle.inputs[0].shape)).astype(np.float32)  # 2 requests
        want = server.net.run(x)
        np.testing.assert_array_equal(net.run(x), want)
        np.testing.assert_array_equal(net.run(x[:2], raw=True), server.net.run(x[:2], raw=True))
        np.testing.assert_array_equal(np.stack(list(net.stream(x[:5]))), want[:5])
        assert net.run(x[:0]).shape[0] == 0
        found = net.benchmark(3, warm_up=1)
        assert not found.simulated and found.counters["CYCLES"] > 0
        assert "waits by polling (the server waits)" in str(found)
        for refused in (net.power, net.reload):
            with pytest.raises(DeviceError, match=f"device served: {url(server)} gives no "):
                refused()


def test_images(tmp_path: Path) -> None:
    """They are made smaller here, and boxes are decoded here: only integers travel."""
    out = tmp_path / "net"
    flow.compile_model(model(tmp_path, "detection", "codenet"), out, board="ultra96-v2", backend="engine")
    for server in serve(out):
        with load(out, server) as net:
            found, want = net.run(image()), server.net.run(image())
            np.testing.assert_array_equal(found.boxes, want.boxes)
            np.testing.assert_array_equal(found.scores, want.scores)


def test_the_command_line(bundle: Path, server: FrameServer, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        answer = CliRunner().invoke(app, ["run", str(bundle), "--device", "served", "--url", url(server), *arguments])
        assert answer.exit_code == 0, answer.exception
        return answer.output

    assert "device served: 16 golden frames, every integer equal" in call("--self-test")
    assert "device served, 2 frames" in call("--benchmark", "2")
    call("--raw", "--output", str(tmp_path / "y.npy"))
    (want,) = server.net.bundle.golden()[1].values()
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)


def test_a_fault_there_is_an_error_here(bundle: Path, server: FrameServer) -> None:
    with load(bundle, server) as net:
        server.net.device.board.inject("engine-read-error")
        with pytest.raises(DeviceError, match=r"device served: http://127.*: the engine stopped with error 5"):
            net.self_test()
        server.net.device.board.heal()
        net.self_test()


def test_a_busy_server_is_waited_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in serve(bundle, queue=1):
        with load(bundle, server) as net, ThreadPoolExecutor(1) as pool:
            with server.room:
                work = pool.submit(net.self_test)
                end = time.monotonic() + 20
                while not server.stats()["turned_away"]:
                    assert time.monotonic() < end
                    time.sleep(0.01)
            work.result(20)
            monkeypatch.setattr(served, "PATIENCE", 0.5)
            with server.room, load(bundle, server, timeout=0.2) as impatient:
                with pytest.raises(DeviceError, match="too many requests are waiting"):
                    impatient.self_test()


def test_another_network_is_refused(bundles: dict[str, Path], server: FrameServer) -> None:
    with pytest.raises(DeviceError, match=r"has digits-classifier for ultra96-v2, not the network of .*; copy the"):
        load(bundles["autoencoder"], server)


def test_nobody_there(bundle: Path, server: FrameServer) -> None:
    with pytest.raises(DeviceError, match=r"the address is '192\.0\.2\.1', expected is http://BOARD:PORT"):
        Accelerator.load(bundle, device="served", address="192.0.2.1")
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        free = url(other)
    with pytest.raises(DeviceError, match=r"does not answer: .*refused; is `bitwright serve` running there"):
        Accelerator.load(bundle, device="served", address=free)
    with load(bundle, server) as net:
        server.server_close()
        server.shutdown()
        with pytest.raises(DeviceError, match="does not answer"):
            net.self_test()


@pytest.mark.parametrize("body", [b"hello", b"[1]", b'{"name": "x"}'])
def test_another_server(bundle: Path, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            with pytest.raises(
                DeviceError, match=r"is no frame server of bitwright|has x for None, not the network of"
            ):
                load(bundle, other)
        finally:
            other.shutdown()
            thread.join()
