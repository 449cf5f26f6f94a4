# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Time on the simulated board: it passes with register accesses and sleeps, whatever this machine is doing."""

from __future__ import annotations

from collections.abc import Callable

#: Seconds that a register access from Python takes on a board (pynq's MMIO: one to a few microseconds).
ACCESS = 1e-6


class Clock:
    """Simulated seconds since the board was made; listeners are told of every step."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._listeners: list[Callable[[float], None]] = []

    def listen(self, listener: Callable[[float], None]) -> None:
        """Call ``listener(seconds)`` with every step of time."""
        self._listeners.append(listener)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        for listener in self._listeners:
            listener(seconds)
