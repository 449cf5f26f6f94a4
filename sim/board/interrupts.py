# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Interrupts of a simulated board as a program sees them that sleeps until one comes."""

from __future__ import annotations

from collections.abc import Callable, Set

from bitwright.sim.board.clock import Clock

#: Names of faults, for tests: interrupts that never come, and one that comes whenever anybody waits.
INTERRUPT_FAULTS = ("irq-lost", "irq-spurious")
#: Seconds from the pin to the program, through the interrupt controller and the kernel. Assumed, not measured.
LATENCY = 30e-6


def step(passed: float) -> float:
    """How much simulated time to let pass at once when ``passed`` seconds have been waited for an interrupt."""
    return min(max(passed / 64, 1e-6), 1e-4)


class InterruptLine:
    """The pins of the design behind an interrupt controller with a latch, and the kernel's wake-up.

    Args:
        level: of the pins, any of them.
        faults: names of INTERRUPT_FAULTS that are there now.
    """

    def __init__(self, clock: Clock, level: Callable[[], bool], faults: Set[str]) -> None:
        self._clock, self._level, self._faults = clock, level, faults
        self._latched = False

    def arm(self) -> None:
        """Clear the latch; a pin that is still high sets it again."""
        self._latched = False

    def wait(self, seconds: float) -> bool:
        """Let time pass until an interrupt comes (True), or for so many seconds (False)."""
        passed = 0.0
        while not self.pending():
            if passed >= seconds:
                return False
            part = min(step(passed), seconds - passed)
            self._clock.advance(part)
            passed += part
        self._clock.advance(LATENCY)
        return True

    def pending(self) -> bool:
        """An interrupt came since `arm`."""
        if "irq-lost" not in self._faults:
            self._latched = self._latched or self._level() or "irq-spurious" in self._faults
        return self._latched
