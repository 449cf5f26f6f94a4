# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Waiting for the end of a job: by interrupt where the device offers one, else by polling. Neither can hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitwright.host.devices.base import Device, Interrupt, gap, wait_until
from bitwright.host.errors import DeviceError

#: What a program may ask for.
WAITS = ("auto", "interrupt", "poll")
#: The register is read after so many seconds, or twice the expected time of the job if that is longer, even without an
#: interrupt.
SLICE = 0.02
#: After so many interrupts in a row that did not come, it is polled.
LOST = 3


class Waiter:
    """Waits for one block of the design.

    An interrupt only says when to look: the job has ended when its register says so. An interrupt that comes without
    need (`spurious`) is ignored; one that does not come (`lost`) costs a slice of time, and after `LOST` of them in a
    row the block is polled from then on.

    Attributes:
        why: there is no interrupt, when it is polled.
        woken, spurious, lost: interrupts so far; spurious ones are among the woken.
    """

    def __init__(self, device: Device, kind: str | None, wait: str = "auto", why: str = "") -> None:
        """Args: kind: of the block (`Device.registers`); None: it has no interrupt, because of ``why``. wait: of WAITS.

        Raises DeviceError: an interrupt was demanded, and there is none.
        """
        if wait not in WAITS:
            raise DeviceError(f"wait is {wait!r}; there are {', '.join(WAITS)}")
        self._device = device
        self._interrupt: Interrupt | None = None
        self.why = why
        self.woken = self.spurious = self.lost = 0
        self._in_a_row = 0
        if wait == "poll":
            self.why = "it was asked for"
        elif kind is not None:
            try:
                self._interrupt = device.interrupt(kind)
            except DeviceError as error:
                self.why = str(error)
        if wait == "interrupt" and self._interrupt is None:
            raise DeviceError(f"wait='interrupt': {self.why}; use wait='auto', which polls then")

    @property
    def interrupts(self) -> bool:
        """It waits for interrupts, so the block must be told to give them."""
        return self._interrupt is not None

    def facts(self) -> dict[str, Any]:
        """How it waits, and what came, for reports."""
        return {
            "how": "interrupt" if self.interrupts else "polling", "why": self.why,
            "woken": self.woken, "spurious": self.spurious, "lost": self.lost,
        }  # fmt: skip

    def arm(self) -> None:
        """Call this when the block's pin is low, before its job is started."""
        if self._interrupt is not None:
            self._interrupt.arm()

    def until(self, ready: Callable[[], bool], timeout: float, expected: float = 0.0) -> bool:
        """Wait until ``ready()`` (True), or for ``timeout`` seconds (False). What ``ready`` raises goes through.

        Args:
            expected: seconds that the job should take; 0: unknown.
        """
        if self._interrupt is None:
            return wait_until(self._device, ready, timeout, expected)
        device, interrupt = self._device, self._interrupt
        start, most = device.now(), max(SLICE, 2 * expected)
        while True:
            left = timeout - (device.now() - start)
            came = interrupt.wait(max(0.0, min(most, left)))
            if ready():
                # Without an interrupt, the job may have ended between the wait and the look.
                self._seen(came or interrupt.wait(0.0))
                return True
            if left <= 0:
                return False
            if came:
                self.woken += 1
                self.spurious += 1
                device.sleep(gap(device.now() - start))  # a line that never goes low makes this polling
                interrupt.arm()

    def _seen(self, came: bool) -> None:
        if came:
            self.woken, self._in_a_row = self.woken + 1, 0
            return
        self.lost, self._in_a_row = self.lost + 1, self._in_a_row + 1
        if self._in_a_row >= LOST:
            self._interrupt = None
            self.why = f"{LOST} interrupts in a row did not come"
