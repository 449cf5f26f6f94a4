# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Finds the best folding of a network on a board, with a certificate (docs/explore.md)."""
