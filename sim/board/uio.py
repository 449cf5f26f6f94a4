# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A file that behaves like Linux' /dev/uioN: programs open it, write to let an interrupt through, and poll for it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import tty
from collections.abc import Callable

from bitwright.sim.board.interrupts import step

LOG = logging.getLogger(__name__)
WORD = 4
#: Longest wait in simulated seconds.
LIMIT = 10.0


class UioFile:
    """One interrupt as a file, a terminal in raw mode, with a thread of ours on its other end.

    Simulated time passes while the program waits for the interrupt.

    Attributes:
        path: what programs open.
    """

    def __init__(self, advance: Callable[[float], bool], state: Callable[[], str]) -> None:
        """Args: advance: lets time pass and tells whether the interrupt is there. state: of the design, in words."""
        self._advance, self._state = advance, state
        self._here, self._there = os.openpty()
        tty.setraw(self._there)
        os.set_blocking(self._here, False)
        self.path = os.ttyname(self._there)
        self._wake, self._end = os.pipe()
        self._count = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        os.close(self._end)
        self._thread.join()
        for file in (self._here, self._there, self._wake):
            os.close(file)

    def _asked(self, patience: float | None) -> bool | None:
        """The program has let the interrupt through; None: the end. Waits for so many seconds."""
        ready, _, _ = select.select([self._here, self._wake], [], [], patience)
        if self._wake in ready:
            return None
        if self._here not in ready:
            return False
        with contextlib.suppress(BlockingIOError):
            return any(os.read(self._here, 64)[-WORD:])
        return False

    def _serve(self) -> None:
        passed = LIMIT
        while True:
            asked = self._asked(None if passed >= LIMIT else 0)
            if asked is None:
                return
            if asked:
                passed = 0.0
            elif passed < LIMIT:
                part = step(passed)
                passed += part
                if self._advance(part):
                    passed = LIMIT  # masked until the program lets the next one through
                    self._count += 1
                    os.write(self._here, self._count.to_bytes(WORD, "little"))
                elif passed >= LIMIT:
                    LOG.warning("no interrupt in %g simulated seconds. %s", LIMIT, self._state())
