# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Backends: from the integer graph to hardware projects."""

from bitwright.compile.backends.base import Backend, Project, Report, Transport, backend_names, load_backend

__all__ = ["Backend", "Project", "Report", "Transport", "backend_names", "load_backend"]
