# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The runtime on a board behind PYNQ.remote, whose server is simulated (pynq 3.1 and 4.0)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright.cli.app import app
from bitwright.host import Accelerator, Bundle, DeviceError

pynq = pytest.importorskip("pynq", reason="pynq is not installed; make test-pynq runs these tests with every version")
WITH_REMOTE = pynq.__version__ >= "3.1"
needs_remote = pytest.mark.skipif(not WITH_REMOTE, reason="pynq 3.0.1 has no PYNQ.remote")


@pytest.fixture
def board(engine_bundle: Bundle) -> Iterator[Any]:
    from tests.pynq.remote_board import RemoteBoard

    with RemoteBoard(engine_bundle) as made:
        yield made


def load(bundle: Bundle, **options: Any) -> Accelerator:
    return Accelerator.load(bundle, device="remote", **({"address": "127.0.0.1"} | options))


@needs_remote
def test_golden_vectors_over_the_network(engine_bundle: Bundle, board: Any) -> None:
    with load(engine_bundle) as net:
        assert net.device.name == "remote" and net.device.memory_left() == 1024 * 1024
        net.self_test()
        x = np.random.default_rng(0).uniform(0, 16, (3, *engine_bundle.inputs[0].shape)).astype(np.float32)
        np.testing.assert_array_equal(np.stack(list(net.stream(x))), net.run(x))
        with pytest.raises(DeviceError, match=r"PYNQ\.remote gives no access to sensors"):
            net.power()
    assert not board.buffers  # all were given back


@needs_remote
def test_the_command_line(engine_bundle: Bundle, board: Any, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        answer = CliRunner().invoke(
            app, ["run", str(engine_bundle.root), "--device", "remote", "--url", "127.0.0.1", *arguments]
        )
        assert answer.exit_code == 0, answer.exception
        return answer.output

    assert "device remote: 16 golden frames, every integer equal" in call("--self-test")
    assert "waits by polling (PYNQ.remote has no interrupts)" in call("--benchmark", "2")
    call("--raw", "--output", str(tmp_path / "y.npy"))
    (want,) = engine_bundle.golden()[1].values()
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)


@needs_remote
def test_a_bitstream_of_the_same_name_is_sent_again_when_it_differs(engine_bundle: Bundle, board: Any) -> None:
    """pynq sends no file whose name is on the board already, even when its content is another."""
    bit = engine_bundle.artifact("bitstream")
    assert bit is not None
    before = bit.read_bytes()
    load(engine_bundle).close()
    load(engine_bundle).close()
    assert len(board.sent) == 1
    try:
        bit.write_bytes(before[:-1] + b"\0")
        load(engine_bundle).close()
    finally:
        bit.write_bytes(before)
    assert len(board.sent) == len(set(board.sent)) == 2


@needs_remote
def test_memory_that_pynq_does_not_miss(engine_bundle: Bundle, board: Any) -> None:
    board.board.allocate(board.board.dram.left - 4096)
    with pytest.raises(DeviceError, match=r"contiguous memory: .* 1,048,576 bytes are free"):
        load(engine_bundle)


@needs_remote
def test_faults_and_recovery(engine_bundle: Bundle, board: Any) -> None:
    with load(engine_bundle) as net:
        board.board.inject("engine-write-error")
        with pytest.raises(DeviceError, match="error 6"):
            net.self_test()
        board.board.heal()
        net.self_test()


@needs_remote
def test_a_board_that_goes_away(engine_bundle: Bundle, board: Any) -> None:
    net = load(engine_bundle)
    net.self_test()
    board.server.stop(None).wait()
    with pytest.raises(DeviceError, match=r"does not answer any more \(StatusCode\.UNAVAILABLE: "):
        net.transport.driver.reset()


@needs_remote
def test_another_board_is_refused(engine_bundle: Bundle, board: Any) -> None:
    board.files["/proc/device-tree/chosen/pynq_board"] = b"ZCU104\0"
    with pytest.raises(DeviceError, match="this board is ZCU104"):
        load(engine_bundle)


@needs_remote
def test_nobody_answers(engine_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"no PYNQ\.remote board answers at 127\.0\.0\.1"):
        load(engine_bundle)
    with pytest.raises(DeviceError, match="give the address"):
        load(engine_bundle, address="")


@pytest.mark.skipif(WITH_REMOTE, reason="this pynq has PYNQ.remote")
def test_a_pynq_without_it(engine_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"pynq 3\.0\.1 has no PYNQ\.remote; install 3\.1\.2"):
        load(replace(engine_bundle))
