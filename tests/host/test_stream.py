# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Streams, threads, asyncio and benchmarks of the host runtime, over both transports."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import flow
from bitwright.host import Accelerator, DeviceError, InputError
from bitwright.zoo import entry


@pytest.fixture(scope="module", params=["engine", "hls4ml"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits classifier for both transports."""
    if request.param == "hls4ml":
        pytest.importorskip("hls4ml")
    out = tmp_path_factory.mktemp("stream") / request.param
    flow.compile_model(entry("digits-classifier").model, out, board="pynq-z2", backend=request.param)
    return out


@pytest.fixture
def net(bundle: Path) -> Iterator[Accelerator]:
    with Accelerator.load(bundle, device="sim", timeout=0.1) as made:
        yield made


def images(net: Accelerator, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 16, (count, *net.bundle.inputs[0].shape)).astype(np.float32)


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_results_come_in_order_and_are_those_of_run(net: Accelerator, depth: int) -> None:
    x = images(net, 23)
    want = net.run(x)
    free = net.device.memory_left()
    np.testing.assert_array_equal(np.stack(list(net.stream(iter(x), depth=depth))), want)
    assert net.device.memory_left() == free
    raw = list(net.stream(x[:2], depth=depth, raw=True))
    assert raw[0].dtype == np.int64
    named = list(net.stream([{net.bundle.inputs[0].name: f} for f in x[:2]], depth=depth))
    np.testing.assert_array_equal(named[1][net.bundle.outputs[0].name], want[1])
    assert list(net.stream([], depth=depth)) == []


def test_a_slow_consumer_holds_the_source_back(net: Accelerator) -> None:
    taken: list[int] = []

    def source() -> Iterator[np.ndarray]:
        for k, frame in enumerate(images(net, 40)):
            taken.append(k)
            yield frame

    with net.stream(source(), depth=3) as stream:
        for k, _ in enumerate(stream):
            assert len(taken) <= k + 1 + 3
    assert len(taken) == 40


def test_a_result_does_not_wait_for_the_next_frame(net: Accelerator) -> None:
    """A camera gives its next frame later: the result of this one must be there before."""
    more = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        for frame in images(net, 3):
            yield frame
            assert more.wait(10), "the result did not come"
            more.clear()

    count = 0
    for _ in net.stream(camera(), depth=3):
        count += 1
        more.set()
    assert count == 3


def test_exceptions_come_in_their_place(net: Accelerator) -> None:
    def source() -> Iterator[np.ndarray]:
        yield from images(net, 5)
        raise OSError("camera unplugged")

    got = []
    with pytest.raises(OSError, match="camera unplugged"):
        got.extend(net.stream(source()))
    assert len(got) == 5
    got.clear()
    frames: list[Any] = [*images(net, 2), np.zeros((1, 1), np.float32)]
    with pytest.raises(InputError, match="shape is"):
        got.extend(net.stream(frames))
    assert len(got) == 2
    with pytest.raises(InputError, match="depth is 0"):
        net.stream([], depth=0)


def test_a_fault_ends_the_stream_and_not_the_accelerator(net: Accelerator) -> None:
    fault = "engine-hang" if "engine" in net.device.board.ip else "kernel-hang"
    stream = net.stream(images(net, 30), depth=2)
    next(stream)
    net.device.board.inject(fault)
    with pytest.raises(DeviceError):
        for _ in stream:
            pass
    assert list(stream) == []
    net.device.board.heal()
    net.self_test()
    assert len(list(net.stream(images(net, 4)))) == 4


def test_leaving_early_frees_everything(net: Accelerator) -> None:
    net.run(images(net, 1))
    free, threads = net.device.memory_left(), threading.active_count()
    for _ in net.stream(images(net, 50)):
        break
    gc.collect()
    assert net.device.memory_left() == free and threading.active_count() == threads
    stuck = threading.Event()

    def blocked() -> Iterator[np.ndarray]:
        yield images(net, 1)[0]
        stuck.wait(20)

    stream = net.stream(blocked())
    next(stream)
    stream.close()  # gives up on the source after a second
    assert net.device.memory_left() == free
    stuck.set()


def test_no_memory_for_a_deep_stream(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim", cma=1 << 17) as net:
        free = net.device.memory_left()
        with pytest.raises(DeviceError, match="contiguous memory"):
            net.stream([], depth=1000)
        assert net.device.memory_left() == free


def test_closing_the_accelerator_ends_its_streams(bundle: Path) -> None:
    net = Accelerator.load(bundle, device="sim")
    stream = net.stream(images(net, 50))
    next(stream)
    net.close()
    assert list(stream) == []
    assert net.device.memory_left() == net.device.board.dram.size


def test_threads_and_streams_share_one_accelerator(net: Accelerator) -> None:
    x = images(net, 24)
    want = net.run(x)
    with net.stream(x) as stream, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(net.run, x[k : k + 3]) for k in range(0, 24, 3)]
        np.testing.assert_array_equal(np.stack(list(stream)), want)
        np.testing.assert_array_equal(np.concatenate([j.result() for j in jobs]), want)


def test_several_accelerators_in_one_process(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim") as a, Accelerator.load(bundle, device="sim") as b:
        x = images(a, 6)
        for ya, yb in zip(a.stream(x), b.stream(x[::-1]), strict=True):
            assert ya.shape == yb.shape
        np.testing.assert_array_equal(a.run(x), b.run(x))


def test_asyncio(net: Accelerator) -> None:
    x = images(net, 4)

    async def main() -> list[Any]:
        beats = 0

        async def heartbeat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        pulse = asyncio.create_task(heartbeat())
        results = await asyncio.gather(*(net.run_async(x[k : k + 1]) for k in range(4)))
        pulse.cancel()
        assert beats > 1  # the loop ran meanwhile
        return results

    np.testing.assert_array_equal(np.concatenate(asyncio.run(main())), net.run(x))


def test_benchmark_measures_every_stage(net: Accelerator) -> None:
    found = net.benchmark(frames=10, warm_up=1)
    assert found.frames == 10 and found.simulated
    assert list(found.stages) == ["quantize", "pack", "flush", "compute", "invalidate", "unpack", "dequantize"]
    assert all(0 < s.least <= s.p50 <= s.p90 <= s.p99 for s in found.stages.values())
    assert found.stages["pack"].mb_per_s == pytest.approx(found.stages["pack"].bytes / found.stages["pack"].p50)
    assert found.one_by_one_fps <= found.stream_fps
    if "engine" in net.device.board.ip:  # the frame takes the cycles of the estimate, and one poll
        cycles = net.bundle.manifest["estimate"]["cycles"]
        assert found.counters["CYCLES"] >= cycles
        assert found.stages["compute"].p50 >= cycles / net.bundle.manifest["clock_mhz"]
    assert "pack" in str(found) and found.as_dict()["device"] == "sim"


def test_power_is_refused_where_there_are_no_sensors(net: Accelerator) -> None:
    with pytest.raises(DeviceError, match="power: the simulated board has no sensors"):
        net.power()
