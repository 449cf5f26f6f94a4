# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A board that runs `bitwright serve`: integers to it over HTTP, and back (host/server.py, POST /integers)."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.devices.base import DeviceBuffer, Interrupt, Mmio
from bitwright.host.errors import DeviceError
from bitwright.host.slot import Slot, Tensors
from bitwright.host.waiting import Waiter

#: Seconds beyond the timeout of a job that the network and other clients' requests may take.
PATIENCE = 30.0
#: Seconds between two tries when the server is busy.
AGAIN = 0.05


class ServedDevice:
    """The server's answers; what lies behind registers is its own concern.

    Args:
        address: URL of the server.
    """

    name = "served"

    def __init__(self, bundle: Bundle, address: str = "") -> None:
        """Raises DeviceError: nobody answers there, or the server has another network."""
        self._url = address.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise DeviceError(f"device served: the address is {address!r}, expected is http://BOARD:PORT")
        facts = self._json("/")
        if facts.get("identity") != bundle.identity:
            raise DeviceError(
                f"device served: {self._url} has {facts.get('name')} for {facts.get('board')}, not the network of "
                f"{bundle.root}; copy the bundle to the board and start `bitwright serve` there again"
            )

    def integers(self, tensors: Tensors, timeout: float) -> dict[str, NDArray[Any]]:
        """What the accelerator makes of integers by tensor. Raises DeviceError."""
        body, arrays = io.BytesIO(), dict[str, Any](tensors)
        np.savez(body, **arrays)
        end = time.monotonic() + timeout + PATIENCE
        while True:
            answer = self._ask("/integers", body.getvalue(), timeout + PATIENCE, time.monotonic() < end)
            if answer is not None:
                with np.load(io.BytesIO(answer), allow_pickle=False) as found:
                    return {name: found[name] for name in found.files}
            time.sleep(AGAIN)

    def counters(self) -> dict[str, int]:
        """Those of the hardware."""
        return dict(self._json("/stats")["counters"])

    def _json(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self._ask(path, None, PATIENCE) or b"")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DeviceError(f"device served: {self._url}{path} is no frame server of bitwright")
        return found

    def _ask(self, path: str, body: bytes | None, timeout: float, again: bool = False) -> bytes | None:
        """The answer; None when the server is busy and ``again`` is set."""
        try:
            with urlopen(Request(self._url + path, data=body), timeout=timeout) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            with error:
                text = error.read()
            if error.code == 503 and again:
                return None
            try:
                message = json.loads(text)["error"]
            except (ValueError, TypeError, KeyError):
                message = f"{error.code} {error.reason}"
            raise DeviceError(f"device served: {self._url}: {message}") from None
        except (URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise DeviceError(
                f"device served: {self._url} does not answer: {why}; is `bitwright serve` running there, with --host "
                "0.0.0.0?"
            ) from None

    # What there is of other devices.

    def now(self) -> float:
        """Seconds of this processor."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def memory_left(self) -> None:
        """Not known."""

    def close(self) -> None:
        """Nothing is held."""

    def _refuse(self, what: str) -> NoReturn:
        raise DeviceError(f"device served: {self._url} gives no {what}; use the board itself, or device='remote'")

    def registers(self, kind: str) -> Mmio:
        """None."""
        self._refuse("registers")

    def parameters(self, kind: str) -> Mapping[str, str]:
        """None."""
        self._refuse("parameters")

    def interrupt(self, kind: str) -> Interrupt:
        """None."""
        self._refuse("interrupts")

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """None."""
        self._refuse("memory")

    def power(self) -> Mapping[str, float]:
        """None."""
        self._refuse("sensors")

    def reload(self) -> None:
        """Not from here."""
        self._refuse("way to load the bitstream")


class _Job(Slot):
    """Integers of a job, and of its answer, in the memory of this machine."""

    def __init__(self) -> None:
        self.frames = 0
        self.tensors: dict[str, NDArray[Any]] = {}
        self.answer: dict[str, NDArray[Any]] = {}

    def flush(self) -> None:
        """There is no cache in between."""

    def drop(self) -> None:
        """There is no cache in between."""

    def free(self) -> None:
        """Forget them."""
        self.tensors, self.answer = {}, {}


class ServedTransport:
    """One request for a job."""

    #: Most frames of a request.
    frames = 64

    def __init__(self, device: ServedDevice, timeout: float, wait: str) -> None:
        self._device, self._timeout = device, timeout
        self.waiter = Waiter(device, None, wait, "the server waits")

    def slot(self) -> Slot:
        """Nothing is held."""
        return _Job()

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """A copy: the caller's arrays may change before they are sent."""
        assert isinstance(slot, _Job)
        slot.tensors = {name: x.copy() for name, x in tensors.items()}
        slot.frames = len(next(iter(tensors.values())))

    def compute(self, slot: Slot) -> None:
        """Ask the server. Raises DeviceError, also for what went wrong there."""
        assert isinstance(slot, _Job)
        slot.answer = self._device.integers(slot.tensors, self._timeout)

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """The answer."""
        assert isinstance(slot, _Job)
        return slot.answer

    def begin(self) -> None:
        """The server sees to it."""

    def damage(self) -> str | None:
        """Only the server could tell."""
        return None

    def counters(self) -> dict[str, int]:
        """Those of the hardware, after the last job of any client."""
        return self._device.counters()

    def close(self) -> None:
        """Nothing is held."""
