# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The frame server: arrays in, arrays or boxes out, over HTTP."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from bitwright import flow
from bitwright.host import Accelerator
from bitwright.host.server import FrameServer
from bitwright.zoo import entry
from tests.host.test_task import image, model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("server") / "net"
    flow.compile_model(entry("digits-classifier").model, out, board="ultra96-v2", backend="engine")
    return out


def serve(folder: Path, **options: Any) -> Iterator[FrameServer]:
    with Accelerator.load(folder, device="sim") as net, FrameServer(net, ("127.0.0.1", 0), **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(bundle: Path) -> Iterator[FrameServer]:
    yield from serve(bundle)


def ask(server: FrameServer, path: str, body: bytes | None = None) -> bytes:
    host, port = server.server_address[:2]
    with urlopen(Request(f"http://{host}:{port}{path}", data=body), timeout=20) as answer:
        return bytes(answer.read())


def npy(x: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def refused(server: FrameServer, path: str, body: bytes | None = None) -> tuple[int, str]:
    with pytest.raises(HTTPError) as caught:
        ask(server, path, body)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["error"]


def test_arrays(server: FrameServer) -> None:
    facts = json.loads(ask(server, "/"))
    x = np.random.default_rng(0).uniform(0, 16, (6, *facts["inputs"][0]["shape"])).astype(np.float32)
    name = facts["outputs"][0]["name"]
    with np.load(io.BytesIO(ask(server, "/run", npy(x)))) as found:
        np.testing.assert_array_equal(found[name], server.net.run(x))
    with np.load(io.BytesIO(ask(server, "/run?raw=1", npy(x)))) as found:
        np.testing.assert_array_equal(found[name], server.net.run(x, raw=True))
    named = io.BytesIO()
    np.savez(named, **{facts["inputs"][0]["name"]: x})
    with np.load(io.BytesIO(ask(server, "/run", named.getvalue()))) as found:
        np.testing.assert_array_equal(found[name], server.net.run(x))
    stats = json.loads(ask(server, "/stats"))
    assert (stats["requests"], stats["frames"], stats["errors"]) == (3, 18, 0) and stats["wait"]["how"] == "interrupt"
    assert 0 < stats["latency_ms"]["p50"] <= stats["latency_ms"]["p99"] and stats["counters"]["CYCLES"] > 0


def test_many_clients_at_once(server: FrameServer) -> None:
    shape = server.net.bundle.inputs[0].shape
    x = np.random.default_rng(1).uniform(0, 16, (12, 2, *shape)).astype(np.float32)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda k: ask(server, "/run", npy(x[k])), range(12)))
    for k, answer in enumerate(answers):
        with np.load(io.BytesIO(answer)) as found:
            np.testing.assert_array_equal(next(iter(found.values())), server.net.run(x[k]))


def test_wrong_requests_are_answered(server: FrameServer) -> None:
    assert refused(server, "/nothing") == (404, "/nothing: there are GET /, GET /stats, POST /run and POST /integers")
    assert refused(server, "/other", b"")[0] == 404
    code, message = refused(server, "/run", b"hello")
    assert code == 400 and "no array in .npy format" in message
    code, message = refused(server, "/run", npy(np.zeros((1, 3), np.float32)))
    assert code == 400 and "shape is (1, 3)" in message
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    assert "unknown: ['a']" in refused(server, "/run", out.getvalue())[1]
    assert "is missing" in refused(server, "/integers", out.getvalue())[1]
    assert "send an .npz" in refused(server, "/integers", npy(np.zeros(3)))[1]
    assert "nor an .npz" in refused(server, "/integers", out.getvalue()[:-30])[1]
    pickled = io.BytesIO()
    np.save(pickled, np.asarray([{}], object), allow_pickle=True)
    assert refused(server, "/run", pickled.getvalue())[0] == 400
    assert json.loads(ask(server, "/stats"))["errors"] == 9


def test_a_fault_is_an_answer_and_not_the_end(server: FrameServer) -> None:
    x = npy(np.zeros((1, *server.net.bundle.inputs[0].shape), np.float32))
    server.net.device.board.inject("engine-read-error")
    code, message = refused(server, "/run", x)
    assert code == 500 and "error 5" in message
    server.net.device.board.heal()
    ask(server, "/run", x)


def test_a_full_queue_turns_requests_away(bundle: Path) -> None:
    for server in serve(bundle, queue=1):
        x = npy(np.zeros((1, *server.net.bundle.inputs[0].shape), np.float32))
        with server.room:
            code, message = refused(server, "/run", x)
            assert code == 503 and "come back later" in message
        ask(server, "/run", x)
        assert server.stats()["turned_away"] == 1


def test_images(tmp_path: Path) -> None:
    out = tmp_path / "net"
    flow.compile_model(model(tmp_path, "detection", "codenet"), out, board="ultra96-v2", backend="engine")
    for server in serve(out):
        found = json.loads(ask(server, "/run", npy(image())))
        want = server.net.run(image())
        assert found["labels"] == want.labels.tolist() and len(found["boxes"]) == len(want.boxes)
        np.testing.assert_allclose(found["boxes"], want.boxes)
