# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host program's view of a bundle: numbers in, numbers out, on a board or on the simulated board."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.benchmark import Benchmark, measure
from bitwright.host.bundle import Bundle, load_bundle
from bitwright.host.convert import from_integers, to_integers
from bitwright.host.devices.base import Device, open_device
from bitwright.host.errors import DeviceError, InputError
from bitwright.host.slot import Slot
from bitwright.host.streaming import Stream, single
from bitwright.host.task import ImageTask, task_of
from bitwright.host.transport import Transport, open_transport

Arrays = Mapping[str, NDArray[Any]]


class Accelerator:
    """A loaded bundle.

    All methods may be called from several threads: a lock lets one job after the other onto the hardware. Several
    accelerators may be open in one process as long as they are different hardware.

    Example:
        with Accelerator.load("out") as net:
            y = net.run(batch)          # (N, *model shape) real numbers in, model outputs out
    """

    def __init__(self, bundle: Bundle, device: Device, timeout: float = 5.0, wait: str = "auto") -> None:
        """Args: timeout: seconds that one job may take, on the device's clock. wait: for its end, see `load`."""
        self.bundle = bundle
        self.device = device
        self.lock = threading.RLock()
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._slot: Slot | None = None
        self._executor: ThreadPoolExecutor | None = None
        self.task: ImageTask | None = task_of(bundle)
        try:
            self.transport: Transport = open_transport(bundle, device, timeout, wait)
        except BaseException:
            device.close()
            raise

    @classmethod
    def load(
        cls, bundle: str | Path | Bundle, device: str = "auto", timeout: float = 5.0, wait: str = "auto", **options: Any
    ) -> Accelerator:
        """Open a bundle on a device of `devices.base.DEVICES`; options are the device's.

        Args:
            wait: "interrupt" or "poll"; "auto" is the first where the device and the design offer it.

        Raises HostError.
        """
        loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        return cls(loaded, open_device(loaded, device, **options), timeout, wait)

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End streams, free buffers and device."""
        for stream in list(self._streams):
            stream.close()
        if self._executor is not None:
            self._executor.shutdown()
        with self.lock:
            if self._slot is not None:
                self._slot.free()
                self._slot = None
            self.transport.close()
            self.device.close()

    def run(
        self, batch: NDArray[Any] | Arrays, raw: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Any:
        """Run a batch of any length, or one image.

        Args:
            batch: (N, *model input shape), or a dictionary by input name. Real numbers where the model quantizes its
                input, integers where it takes integers. Where the bundle has a task also an image, uint8 (H, W, 3).
            raw: give the integers of the output (int64, model layout) instead of the model's numbers.
            progress: called with (frames done, frames in all).

        Returns:
            (N, *model output shape); a dictionary by output name when a dictionary was given or the model has several
            outputs; for an image what the task makes of it (`Detections`, `Classified`).
        """
        if self.task is not None and ImageTask.takes(batch):
            return self._finished(self._run(self.task.integers(np.asarray(batch)), progress), batch, raw)
        q = self._run(self.integers(batch), progress)
        return self.outputs(q, raw, by_name=isinstance(batch, Mapping))

    async def run_async(self, batch: NDArray[Any] | Arrays, raw: bool = False) -> Any:
        """`run` in a thread of its own, for asyncio. Cancelling does not stop a job that the hardware has begun."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "accelerator")
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(self.run, batch, raw))

    def run_integers(
        self, tensors: Mapping[str, NDArray[np.int64]], progress: Callable[[int, int], None] | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """Integers in tensor layout, by tensor name, in and out. Raises InputError: missing, shape, range."""
        checked = {}
        for port in self.bundle.inputs:
            if port.tensor not in tensors:
                raise InputError(f"tensor {port.tensor} is missing; given: {sorted(tensors)}")
            x = np.asarray(tensors[port.tensor])
            if x.shape[1:] != port.tensor_shape or x.ndim != len(port.tensor_shape) + 1:
                shape = ", ".join(map(str, ("N", *port.tensor_shape)))
                raise InputError(
                    f"tensor {port.tensor}: shape is {x.shape}, expected is ({shape}) of integers of type "
                    f"{port.integers}"
                )
            port.check_range(x, f"tensor {port.tensor}")
            checked[port.tensor] = x
        return {name: y.astype(np.int64) for name, y in self._run(checked, progress).items()}

    def stream(self, frames: Iterable[NDArray[Any] | Arrays], depth: int = 3, raw: bool = False) -> Stream:
        """Results of single frames (*model input shape, or images) in order, while the next are packed and computed.

        At most ``depth`` frames are taken from the source before their results are; each has buffers of its own. The
        source is iterated in a thread of ours. An exception of the source, or of a frame, is raised in its place, after
        the results of the frames before it. `close()`, a with statement or forgetting the stream end it.
        """

        def outputs(q: dict[str, NDArray[Any]], frame: Any) -> Any:
            if self.task is not None and ImageTask.takes(frame):
                return self._finished(q, frame, raw)
            y = self.outputs(q, raw, isinstance(frame, Mapping))
            return {name: v[0] for name, v in y.items()} if isinstance(y, dict) else y[0]

        stream = Stream(self.transport, frames, depth, self._frame, self.compute, outputs)
        self._streams.add(stream)
        return stream

    def self_test(self) -> None:
        """Run the golden inputs; DeviceError names the first integer that differs from the golden outputs."""
        inputs, outputs = self.bundle.golden()
        got = self.run_integers(inputs)
        for name, want in outputs.items():
            if not np.array_equal(got[name], want):
                at = tuple(int(i) for i in np.argwhere(got[name] != want)[0])
                with self.lock:
                    damage = self.transport.damage()
                raise DeviceError(
                    f"self test: {name}{list(at)} is {got[name][at]}, the golden value is {want[at]}: "
                    + (damage or "the bitstream does not match the bundle")
                )

    def benchmark(self, frames: int = 100, warm_up: int = 3) -> Benchmark:
        """Time every stage of single frames, and of a stream; see `Benchmark`."""
        return measure(self, frames, warm_up)

    def power(self) -> dict[str, float]:
        """Watts by rail. Raises DeviceError where the board has no sensors."""
        return dict(self.device.power())

    def reload(self) -> None:
        """Load the bitstream and the program again; afterwards everything is as after `load`."""
        with self.lock:
            self.device.reload()
            self.transport.begin()

    # What stream and benchmark are made of.

    def integers(self, batch: NDArray[Any] | Arrays) -> dict[str, NDArray[Any]]:
        """Model inputs (N, *shape) as integers by tensor, in tensor layout. Raises InputError."""
        ports = self.bundle.inputs
        if not isinstance(batch, Mapping):
            if len(ports) != 1:
                raise InputError(f"the model has {len(ports)} inputs: give a dictionary of {[p.name for p in ports]}")
            batch = {ports[0].name: batch}
        missing = [p.name for p in ports if p.name not in batch]
        unknown = sorted(set(batch) - {p.name for p in ports})
        if missing or unknown:
            raise InputError(
                f"inputs are {[p.name for p in ports]}; missing: {missing or 'none'}, unknown: {unknown or 'none'}"
            )
        found = {p.tensor: p.to_tensor(to_integers(p, np.asarray(batch[p.name]))) for p in ports}
        if len({len(x) for x in found.values()}) > 1:
            raise InputError("inputs have different numbers of frames: " + str({n: len(x) for n, x in found.items()}))
        return found

    def outputs(self, q: Mapping[str, NDArray[Any]], raw: bool, by_name: bool) -> Any:
        """Integers by tensor as `run` gives them."""
        y = {p.name: from_integers(p, q[p.tensor], raw) for p in self.bundle.outputs}
        return y if by_name or len(y) > 1 else next(iter(y.values()))

    def _frame(self, frame: Any) -> dict[str, NDArray[Any]]:
        if self.task is not None and ImageTask.takes(frame):
            return self.task.integers(frame)
        return self.integers(single(frame))

    def _finished(self, q: Mapping[str, NDArray[Any]], image: Any, raw: bool) -> Any:
        assert self.task is not None
        y = self.outputs(q, raw, True)
        return y if raw else self.task.result(y, image)

    def compute(self, slot: Slot) -> None:
        """Flush, run and invalidate one filled slot. Raises DeviceError."""
        with self.lock:
            slot.flush()
            self.transport.compute(slot)
            slot.drop()

    def _run(
        self, tensors: Mapping[str, NDArray[Any]], progress: Callable[[int, int], None] | None
    ) -> dict[str, NDArray[Any]]:
        count, most = len(next(iter(tensors.values()))), self.transport.frames
        parts: list[dict[str, NDArray[Any]]] = []
        for start in range(0, count, most):
            piece = {name: x[start : start + most] for name, x in tensors.items()}
            with self.lock:
                if self._slot is None:
                    self._slot = self.transport.slot()
                self.transport.fill(self._slot, piece)
                self.compute(self._slot)
                parts.append(self.transport.read(self._slot))
            if progress:
                progress(min(start + most, count), count)
        if not parts:
            return {p.tensor: np.zeros((0, *p.tensor_shape), np.int64) for p in self.bundle.outputs}
        return {name: np.concatenate([p[name] for p in parts]) if len(parts) > 1 else y for name, y in parts[0].items()}
