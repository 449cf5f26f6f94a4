# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From a bundle to a bitstream: routes, their named steps, and the runner (docs/build.md)."""

from bitwright.compile.build.install import reuse
from bitwright.compile.build.job import Artifact, Job, Route, Step, require_backend
from bitwright.compile.build.runner import ROUTES, Result, build, load_route
from bitwright.compile.build.tools import BuildError, find_tool, first_error

__all__ = [
    "ROUTES",
    "Artifact",
    "BuildError",
    "Job",
    "Result",
    "Route",
    "Step",
    "build",
    "find_tool",
    "first_error",
    "load_route",
    "require_backend",
    "reuse",
]
