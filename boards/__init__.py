# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The boards: one TOML file each, and the typed loader."""

from bitwright.boards.loader import Board, BoardError, Clocks, Memory, Resources, Source, board_names, load_board

__all__ = ["Board", "BoardError", "Clocks", "Memory", "Resources", "Source", "board_names", "load_board"]
