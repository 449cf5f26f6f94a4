# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The buffers of one job, and the integers that go into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bitwright.host.devices.base import Device, DeviceBuffer, allocate
from bitwright.host.errors import DeviceError

#: Integers (frames, *tensor shape) by tensor.
Tensors = Mapping[str, NDArray[Any]]


@dataclass
class Slot:
    """Buffers of one job: filled by the host, computed by the accelerator, read by the host.

    Attributes:
        frames: how many the job has.
    """

    send: DeviceBuffer
    receive: DeviceBuffer
    frames: int = 0

    @classmethod
    def of(cls, device: Device, send: int, receive: int) -> Slot:
        """Buffers of so many bytes. Raises DeviceError: no memory."""
        first = allocate(device, send, "inputs")
        try:
            return cls(first, allocate(device, receive, "outputs"))
        except DeviceError:
            first.free()
            raise

    def flush(self) -> None:
        """To memory, before the job; outputs too: no dirty line of the processor may overwrite them later."""
        self.send.flush()
        self.receive.flush()

    def drop(self) -> None:
        """Forget what the processor has of the outputs, after the job."""
        self.receive.invalidate()

    def free(self) -> None:
        """Give the memory back."""
        self.send.free()
        self.receive.free()
