# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Times of every stage between a model input and a model output."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bitwright.host.accelerator import Accelerator

STAGES = ("quantize", "pack", "flush", "compute", "invalidate", "unpack", "dequantize")


@dataclass(frozen=True)
class Stage:
    """Microseconds of one stage for one frame; bytes on the accelerator's side of it, and the rate."""

    p50: float
    p90: float
    p99: float
    least: float
    bytes: int
    mb_per_s: float


@dataclass(frozen=True)
class Benchmark:
    """What `Accelerator.benchmark` measured.

    Attributes:
        device: name. simulated: `compute` is time on the simulated board's clock then, everything else the time of this
            processor.
        frames: measured, after some that were not.
        stages: by name, in order: quantize, pack, flush, compute, invalidate, unpack, dequantize.
        latency_us: median of the sum of all stages.
        one_by_one_fps: 1 / latency. stream_fps: the slowest of packing, computing and unpacking sets the pace when they
            overlap: what `stream` can reach with a processor core for each.
        counters: of the hardware, last frame.
        wait: how the end of a frame was waited for (`Waiter.facts`). processor: share of a processor core that went
            into `compute`, waiting included; not known where the hardware is simulated on the same processor.
    """

    device: str
    simulated: bool
    frames: int
    stages: dict[str, Stage]
    latency_us: float
    one_by_one_fps: float
    stream_fps: float
    counters: dict[str, int]
    wait: dict[str, Any]
    processor: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        note = ", compute on the clock of the simulated board" if self.simulated else ""
        lines = [
            f"device {self.device}, {self.frames} frames{note}",
            f"{'stage':12}{'p50 us':>10}{'p90':>10}{'p99':>10}{'MB/s':>10}",
        ]
        for name, s in self.stages.items():
            rate = f"{s.mb_per_s:10.0f}" if s.bytes else f"{'-':>10}"
            lines.append(f"{name:12}{s.p50:10.1f}{s.p90:10.1f}{s.p99:10.1f}{rate}")
        lines.append(
            f"latency {self.latency_us:.1f} us, {self.one_by_one_fps:.1f} frames/s one by one, up to "
            f"{self.stream_fps:.1f} in a stream"
        )
        how = self.wait["how"]
        if how == "polling":
            how += f" ({self.wait['why']})"
        else:
            how += f" ({self.wait['woken']} came, {self.wait['spurious']} without need; {self.wait['lost']} were lost)"
        share = "" if self.processor is None else f", {100 * self.processor:.1f} % of a processor core"
        lines.append(f"waits by {how}{share}")
        return "\n".join(lines)


def measure(net: Accelerator, frames: int, warm_up: int) -> Benchmark:
    """Run the golden inputs frame by frame, ``warm_up`` of them unmeasured."""
    inputs = net.bundle.golden()[0]
    batches = _model_inputs(net, inputs)
    count = len(next(iter(inputs.values())))
    transport, device = net.transport, net.device
    times: dict[str, list[float]] = {name: [] for name in STAGES}
    busy = 0.0  # seconds of this thread

    def timed(stage: str, clock: Callable[[], float], work: Callable[[], Any]) -> Any:
        start = clock()
        result = work()
        times[stage].append(clock() - start)
        return result

    wall = time.perf_counter
    with net.lock:
        slot = transport.slot()
        try:
            for k in range(warm_up + frames):
                if k == warm_up:
                    times, busy = {name: [] for name in STAGES}, 0.0
                x = {name: v[k % count : k % count + 1] for name, v in batches.items()}
                q = timed("quantize", wall, partial(net.integers, x))
                timed("pack", wall, partial(transport.fill, slot, q))
                timed("flush", wall, slot.flush)
                before = time.thread_time()
                timed("compute", device.now, partial(transport.compute, slot))
                busy += time.thread_time() - before
                timed("invalidate", wall, slot.drop)
                y = timed("unpack", wall, partial(transport.read, slot))
                timed("dequantize", wall, partial(net.outputs, y, False, True))
        finally:
            slot.free()
        counters = transport.counters()
    into, back = (sum(int(np.prod(p.tensor_shape)) * p.beat.bits // 8 for p in ports)
                  for ports in (net.bundle.inputs, net.bundle.outputs))  # fmt: skip
    sizes = {"quantize": into, "pack": into, "flush": into, "invalidate": back, "unpack": back, "dequantize": back}
    stages = {name: _stage(np.asarray(t), sizes.get(name, 0)) for name, t in times.items()}
    latency = float(np.median(np.sum([times[name] for name in STAGES], axis=0)))
    host = ("quantize", "pack"), ("flush", "compute", "invalidate"), ("unpack", "dequantize")
    pace = max(sum(stages[name].p50 for name in part) for part in host)
    simulated = device.name == "sim"
    return Benchmark(
        device.name, simulated, frames, stages, 1e6 * latency, 1 / latency, 1e6 / pace, counters,
        transport.waiter.facts(), None if simulated else busy / sum(times["compute"]),
    )  # fmt: skip


def _stage(seconds: NDArray[np.float64], size: int) -> Stage:
    p50, p90, p99 = (1e6 * float(v) for v in np.percentile(seconds, (50, 90, 99)))
    return Stage(p50, p90, p99, 1e6 * float(seconds.min()), size, size / p50 if p50 else 0.0)


def _model_inputs(net: Accelerator, tensors: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
    """Golden integers as the model would be given them: float32 where it quantizes its input."""
    found = {}
    for port in net.bundle.inputs:
        q = port.from_tensor(tensors[port.tensor])
        if port.quantizer is not None:
            scale = float(port.quantizer.scale)
            found[port.name] = ((q - port.quantizer.zero_point) * scale).astype(np.float32)
        else:
            found[port.name] = q
    return found
