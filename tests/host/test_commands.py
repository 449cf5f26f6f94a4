# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright run` and `bitwright serve`."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright import flow
from bitwright.cli.app import app
from bitwright.zoo import entry


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "net"
    flow.compile_model(entry("digits-classifier").model, out, board="ultra96-v2", backend="engine")
    return out


def call(*arguments: object) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert answer.exit_code == 0, answer.exception
    return answer.output


def test_self_test(bundle: Path) -> None:
    assert "16 golden frames, every integer equal" in call("run", bundle, "--device", "sim", "--self-test")
    facts = json.loads(call("run", bundle, "--device", "sim", "--self-test", "--json"))
    assert facts == {"engine": "device sim", "frames": 16, "equal": True}


@pytest.mark.rtl
def test_self_test_on_the_rtl(bundle: Path) -> None:
    assert "every integer equal" in call("run", bundle, "--self-test", "--engine", "rtl")


def test_benchmark(bundle: Path) -> None:
    assert "frames/s one by one" in call("run", bundle, "--device", "sim", "--benchmark", 5)
    assert json.loads(call("run", bundle, "--device", "sim", "--benchmark", 5, "--json"))["frames"] == 5


def test_the_rtl_needs_the_engine_and_the_simulated_board(bundle: Path) -> None:
    answer = CliRunner().invoke(app, ["run", str(bundle), "--device", "pynq", "--engine", "rtl"])
    assert answer.exit_code and "only bundles of the engine on the simulated board" in str(answer.exception)


def refused(*arguments: object) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert answer.exit_code
    return str(answer.exception)


def test_how_to_wait(bundle: Path) -> None:
    assert "waits by interrupt (8 came" in call("run", bundle, "--device", "sim", "--benchmark", 5)
    assert "waits by polling (it was asked for)" in call("run", bundle, "--benchmark", 5, "--wait", "poll")
    facts = json.loads(call("run", bundle, "--benchmark", 5, "--wait", "interrupt", "--json"))
    assert facts["wait"] == {"how": "interrupt", "why": "", "woken": 8, "spurious": 0, "lost": 0}


@pytest.mark.parametrize("command", ["run", "serve"])
def test_boards_that_are_connected(bundle: Path, command: str, tmp_path: Path) -> None:
    assert "--device remote: say where the board is: --address 192.168.2.99" in refused(
        command, bundle, "--device", "remote"
    )
    assert "only with --device remote or served or uart" in refused(
        command, bundle, "--device", "sim", "--address", "here"
    )
    port = tmp_path / "ttyUSB7"
    assert f"port {port} cannot be opened: No such file" in refused(
        command, bundle, "--device", "uart", "--address", port
    )
    assert "the bundle has no bitstream yet" in refused(command, bundle, "--device", "remote", "--url", "192.0.2.1")


def test_serve(bundle: Path) -> None:
    start = "from bitwright.cli import main; main()"
    command = [sys.executable, "-c", start, "serve", str(bundle), "--device", "sim", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            with urlopen(found.group(), timeout=20) as answer:
                shape = json.load(answer)["inputs"][0]["shape"]
            body = io.BytesIO()
            np.save(body, np.zeros((2, *shape), np.float32))
            with urlopen(Request(found.group() + "run", data=body.getvalue()), timeout=20) as answer:
                with np.load(io.BytesIO(answer.read())) as outputs:
                    assert len(next(iter(outputs.values()))) == 2
            server.send_signal(signal.SIGTERM)  # an interrupt may be ignored by what runs the tests
            assert server.wait(20) == 0 and "stopped" in server.stdout.read()
        finally:
            server.kill()
