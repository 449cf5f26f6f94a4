# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Frames through an accelerator back to back: one thread packs, one drives the hardware, the caller unpacks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import InputError
from bitwright.host.slot import Slot
from bitwright.host.transport import Transport

#: How long `close` waits for a source that does not give its next frame; its thread is left alone then.
PATIENCE = 1.0
Frame = NDArray[Any] | Mapping[str, NDArray[Any]]


class _Pipe:
    """What the two threads share. A slot goes round: free -> packed -> computed -> free."""

    def __init__(
        self,
        transport: Transport,
        source: Iterator[Frame],
        integers: Callable[[Frame], dict[str, NDArray[Any]]],
        compute: Callable[[Slot], None],
        depth: int,
    ) -> None:
        self.transport, self.source, self.integers, self.compute = transport, source, integers, compute
        self.guard = threading.Lock()
        self.stopped = False
        self.free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self.packed: queue.SimpleQueue[tuple[Slot, Frame] | BaseException | None] = queue.SimpleQueue()
        self.computed: queue.SimpleQueue[tuple[Slot, Frame] | BaseException | None] = queue.SimpleQueue()
        self.slots: list[Slot] = []
        try:
            for _ in range(depth):
                self.slots.append(transport.slot())
                self.free.put(self.slots[-1])
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Free all buffers."""
        while self.slots:
            self.slots.pop().free()

    def stop(self) -> None:
        """Tell both threads to end."""
        with self.guard:
            self.stopped = True
        self.free.put(None)
        self.packed.put(None)

    def pack(self) -> None:
        """First thread: a frame is taken from the source only when a slot is free."""
        try:
            while (slot := self.free.get()) is not None:
                try:
                    frame = next(self.source)
                except StopIteration:
                    break
                tensors = self.integers(frame)
                with self.guard:
                    if self.stopped:
                        return
                    self.transport.fill(slot, tensors)
                self.packed.put((slot, frame))
            self.packed.put(None)
        except BaseException as error:  # the consumer gets it, in its place
            self.packed.put(error)

    def drive(self) -> None:
        """Second thread: one job after the other onto the hardware."""
        while True:
            item = self.packed.get()
            if isinstance(item, tuple) and not self.stopped:
                try:
                    self.compute(item[0])
                except BaseException as error:  # the consumer gets it, in its place
                    self.computed.put(error)
                    return
                self.computed.put(item)
            else:
                self.computed.put(None if isinstance(item, tuple) else item)
                return


class Stream(Iterator[Any]):
    """Results in the order of the frames; made by `Accelerator.stream`."""

    def __init__(
        self,
        transport: Transport,
        frames: Iterable[Frame],
        depth: int,
        integers: Callable[[Frame], dict[str, NDArray[Any]]],
        compute: Callable[[Slot], None],
        outputs: Callable[[dict[str, NDArray[Any]], Frame], Any],
    ) -> None:
        """Args: integers, compute, outputs: the stages; outputs is given the frame again."""
        self._over = True
        if depth < 1:
            raise InputError(f"stream: depth is {depth}, at least 1 is needed")
        self._outputs = outputs
        self._pipe = _Pipe(transport, iter(frames), integers, compute, depth)
        self._over = False
        # Daemons: a source that never gives its next frame must not keep the process alive. They know the pipe and not
        # the stream, so a stream that nobody holds any more is collected, and closes.
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._pipe.pack, self._pipe.drive)]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        item = self._pipe.computed.get()
        if not isinstance(item, tuple):
            self.close()
            raise StopIteration if item is None else item
        slot, frame = item
        with self._pipe.guard:
            if self._pipe.stopped:  # closed by another thread
                raise StopIteration
            q = self._pipe.transport.read(slot)
        self._pipe.free.put(slot)
        return self._outputs(q, frame)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the stream: the frame on the hardware is finished, later ones are dropped, buffers are freed."""
        if self._over:
            return
        self._over = True
        self._pipe.stop()
        packer, driver = self._threads
        driver.join()
        packer.join(PATIENCE)
        self._pipe.release()


def single(frame: Frame) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """A frame as a batch of one."""
    if isinstance(frame, Mapping):
        return {name: np.asarray(x)[None] for name, x in frame.items()}
    return np.asarray(frame)[None]
