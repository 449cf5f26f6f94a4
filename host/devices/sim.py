# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The simulated board as a device. The only file of host/ that needs the rest of bitwright."""

from __future__ import annotations

from bitwright.host.bundle import Bundle
from bitwright.host.devices.base import Device
from bitwright.host.errors import DeviceError


def open_simulated_board(bundle: Bundle) -> Device:
    """A simulated board whose programmable logic computes the bundle's program."""
    try:
        from bitwright.sim.board import SimulatedBoard
    except ImportError as error:
        raise DeviceError(
            f"the simulated board needs the full bitwright package: pip install bitwright ({error})"
        ) from None
    return SimulatedBoard.with_bundle(bundle)
