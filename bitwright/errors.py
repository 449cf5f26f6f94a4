# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Errors that bitwright raises on bad input.

Every message names the thing (file, node or field), the rule, the offending value and what to do.
The command line prints the message on one line and exits with code 2.
"""

from __future__ import annotations


class BitwrightError(Exception):
    """Base class: the input, the environment or the request is at fault, not bitwright."""


class ModelError(BitwrightError):
    """The model file cannot be read, or breaks a rule of the format it claims to be."""


class BackendError(BitwrightError):
    """A backend cannot take this graph, or its tool failed."""


class ToolMissingError(BitwrightError):
    """A tool or an optional package that the request needs is not installed."""


class VerificationError(BitwrightError):
    """Two engines that must agree on every integer do not."""


class SimulationError(BitwrightError):
    """A simulated engine refused its program or ended with an error."""


class UnsupportedModelError(ModelError):
    """The model holds parts that have no integer meaning or no operator here.

    Attributes:
        problems: one ``(node, operator, reason)`` for every offending node, not only the first one.
    """

    def __init__(self, file: str, problems: list[tuple[str, str, str]]) -> None:
        self.file = file
        self.problems = problems
        if len(problems) == 1:
            node, op, reason = problems[0]
            super().__init__(f"{file}: {node} ({op}) cannot be compiled to integers: {reason}")
            return
        lines = "".join(f"\n  {node} ({op}): {reason}" for node, op, reason in problems)
        super().__init__(f"{file}: {len(problems)} nodes cannot be compiled to integers:{lines}")
