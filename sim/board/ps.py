# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Registers that pynq touches beside an accelerator: clocks of the processing system, AMD's interrupt controller."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: After power-up, by processor: window -> (size, {offset: value}). The PLLs give 1300, 1050 and 1000 MHz from 50 MHz on
#: the 7 series, 1500, 750, 1200, 1067 and 1500 MHz from 33.33 MHz on UltraScale+, as on common boards; the clocks of
#: the programmable logic give 100.
WINDOWS: Mapping[str, Mapping[int, tuple[int, Mapping[int, int]]]] = {
    "armv7l": {
        0xF8000000: (0x1000, {
            0x100: 26 << 12, 0x104: 21 << 12, 0x108: 20 << 12, 0x120: 2 << 8,
            **dict.fromkeys((0x170, 0x180, 0x190, 0x1A0), 1 << 20 | 10 << 8),
        }),
    },
    "aarch64": {
        0xFF5E0000: (0x1000, {
            0x20: 1 << 16 | 90 << 8, 0x30: 1 << 16 | 45 << 8,
            **dict.fromkeys((0xC0, 0xC4, 0xC8, 0xCC), 1 << 24 | 1 << 16 | 15 << 8),
        }),
        0xFD1A0000: (0x1000, {0x20: 1 << 16 | 72 << 8, 0x2C: 1 << 16 | 64 << 8, 0x38: 1 << 16 | 90 << 8, 0x60: 1 << 8}),
    },
}  # fmt: skip


class PlainRegisters:
    """Registers that keep what is written."""

    def __init__(self, values: Mapping[int, int]) -> None:
        self._values = dict(values)

    def read(self, offset: int) -> int:
        """Read a register."""
        return self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self._values[offset] = value


class InterruptController:
    """AMD's AXI INTC (PG099) with level-sensitive inputs.

    Args:
        lines: gives the levels of the inputs, lowest first.
    """

    ISR, IPR, IER, IAR, SIE, CIE, MER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C

    def __init__(self, lines: Callable[[], list[bool]]) -> None:
        self._lines = lines
        self._latched = self._enabled = self._master = 0

    def _pending(self) -> int:
        levels = sum(1 << k for k, high in enumerate(self._lines()) if high)
        self._latched |= levels
        return self._latched

    @property
    def irq(self) -> bool:
        """Level of the output."""
        return bool(self._master & 1 and self._pending() & self._enabled)

    def read(self, offset: int) -> int:
        """Read a register."""
        pending = self._pending()
        values = {self.ISR: pending, self.IPR: pending & self._enabled, self.IER: self._enabled, self.MER: self._master}
        return values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset == self.IER:
            self._enabled = value
        elif offset == self.SIE:
            self._enabled |= value
        elif offset == self.CIE:
            self._enabled &= ~value
        elif offset == self.IAR:
            self._latched &= ~value
        elif offset == self.MER:
            self._master = value
