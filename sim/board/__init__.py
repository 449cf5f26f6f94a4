# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Simulated boards: the host runtime, or a plain pynq program, on this machine."""

from bitwright.sim.board.board import FAULTS, SimulatedBoard

__all__ = ["FAULTS", "SimulatedBoard"]
