# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN projects from integer graphs. FINN itself is never imported here; it runs in an environment of its own."""

from bitwright.compile.backends.finn.backend import FinnBackend

__all__ = ["FinnBackend"]
