# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host program's view of a bundle: numbers in, numbers out, on a board or on the simulated board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle, InputPort, OutputPort, load_bundle
from bitwright.host.devices.base import Device, DeviceBuffer, open_device
from bitwright.host.dma import AxiDma
from bitwright.host.errors import DeviceError, InputError
from bitwright.host.postprocess import apply_all, dequantize

Arrays = Mapping[str, NDArray[Any]]
#: Most frames in one DMA transfer.
CHUNK = 64


class Accelerator:
    """A loaded bundle.

    Example:
        with Accelerator.load("out") as net:
            y = net.run(batch)          # (N, *model shape) real numbers in, model outputs out
    """

    def __init__(self, bundle: Bundle, device: Device, timeout: float = 5.0) -> None:
        if len(bundle.inputs) != 1 or len(bundle.outputs) != 1:
            raise DeviceError(
                f"{bundle.root}: {len(bundle.inputs)} inputs and {len(bundle.outputs)} outputs; the AXI DMA transport "
                "has one stream each way"
            )
        self.bundle = bundle
        self.device = device
        self._dma = AxiDma(device.dma_registers(), timeout)
        self._buffers: tuple[DeviceBuffer, DeviceBuffer] | None = None

    @classmethod
    def load(cls, bundle: str | Path | Bundle, device: str = "auto", timeout: float = 5.0) -> Accelerator:
        """Open a bundle on a device: 'auto', 'sim' or 'pynq'. Raises HostError."""
        loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        kind = loaded.manifest.get("transport", {}).get("kind", "axi_dma")
        if kind != "axi_dma":
            raise DeviceError(
                f"{loaded.root}: the bundle's transport is {kind}; this runtime drives axi_dma only. Simulate it with "
                "`bitwright simulate --engine rtl`, or compile the model with the backend hls4ml"
            )
        return cls(loaded, open_device(loaded, device), timeout)

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free buffers and device."""
        for buffer in self._buffers or ():
            buffer.free()
        self._buffers = None
        self.device.close()

    def run(
        self, batch: NDArray[Any] | Arrays, raw: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Any:
        """Run a batch of any length.

        Args:
            batch: (N, *model input shape), or a dictionary by input name. Real numbers where the model quantizes its
                input, integers where it takes integers.
            raw: give the integers of the output (int64, model layout) instead of the model's numbers.
            progress: called with (frames done, frames in all).

        Returns:
            (N, *model output shape), or a dictionary by output name when a dictionary was given.
        """
        port = self.bundle.inputs[0]
        given = batch[port.name] if isinstance(batch, Mapping) and port.name in batch else batch
        if isinstance(given, Mapping):
            raise InputError(f"input {port.name} is missing; given: {sorted(given)}")
        q = self.run_integers({port.tensor: port.to_tensor(to_integers(port, np.asarray(given)))}, progress)
        out = self.bundle.outputs[0]
        y = from_integers(out, q[out.tensor], raw)
        return {out.name: y} if isinstance(batch, Mapping) else y

    def run_integers(
        self, tensors: Mapping[str, NDArray[np.int64]], progress: Callable[[int, int], None] | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """Integers in tensor layout, by tensor name, in and out."""
        port, out = self.bundle.inputs[0], self.bundle.outputs[0]
        x = tensors[port.tensor]
        into, back = self._frame_bytes(port), self._frame_bytes(out)
        send, receive = self._allocated(into * CHUNK, back * CHUNK)
        parts = []
        for start in range(0, len(x), CHUNK):
            piece = x[start : start + CHUNK]
            data = np.frombuffer(port.beat.pack(piece), np.uint8)
            send.view[: data.size] = data
            self._dma.transfer(send, receive, data.size, back * len(piece))
            answer = receive.view[: back * len(piece)]
            parts.append(out.beat.unpack(answer.tobytes(), (len(piece), *out.tensor_shape)))
            if progress:
                progress(start + len(piece), len(x))
        empty = np.zeros((0, *out.tensor_shape), np.int64)
        return {out.tensor: np.concatenate([empty, *parts])}

    def self_test(self) -> None:
        """Run the golden inputs; DeviceError names the first integer that differs from the golden outputs."""
        inputs, outputs = self.bundle.golden()
        got = self.run_integers(inputs)
        for name, want in outputs.items():
            if not np.array_equal(got[name], want):
                at = tuple(int(i) for i in np.argwhere(got[name] != want)[0])
                raise DeviceError(
                    f"self test: {name}{list(at)} is {got[name][at]}, the golden value is {want[at]}: "
                    "the bitstream does not match the bundle"
                )

    def _frame_bytes(self, port: InputPort | OutputPort) -> int:
        return int(np.prod(port.tensor_shape, dtype=np.int64)) * port.beat.bits // 8

    def _allocated(self, send: int, receive: int) -> tuple[DeviceBuffer, DeviceBuffer]:
        if self._buffers is None:
            self._buffers = (self.device.allocate(send), self.device.allocate(receive))
        return self._buffers


def to_integers(port: InputPort, x: NDArray[Any]) -> NDArray[np.int64]:
    """Model input (N, *shape) to integers of the same layout. Raises InputError."""
    if x.ndim != len(port.shape) + 1 or x.shape[1:] != port.shape:
        raise InputError(f"input {port.name}: shape is {x.shape}, (N, {', '.join(map(str, port.shape))}) is expected")
    if port.quantizer is not None:
        if x.dtype.kind not in "fiu":
            raise InputError(f"input {port.name}: type is {x.dtype}, real numbers are expected")
        return port.quantizer(x.astype(np.float64), f"input {port.name}")
    if x.dtype.kind not in "iu":
        raise InputError(f"input {port.name}: type is {x.dtype}, integers from {port.lo} to {port.hi} are expected")
    if x.size and (int(x.min()) < port.lo or int(x.max()) > port.hi):
        raise InputError(f"input {port.name}: values {x.min()}..{x.max()} leave the range {port.lo}..{port.hi}")
    return x.astype(np.int64)


def from_integers(port: OutputPort, q: NDArray[np.int64], raw: bool) -> NDArray[Any]:
    """Integers in tensor layout to model output."""
    y = port.to_model(q)
    if raw or (port.scale is None and not port.host_ops):
        return y
    real: NDArray[Any] = y
    if port.scale is not None and port.offset is not None:
        real = dequantize(y, port.scale, port.offset, port.channel_axis)
    return apply_all(real, port.host_ops)
