# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The command line. Only this file is imported for `--help`; every command imports what it needs when it runs."""

from bitwright.cli.app import main

__all__ = ["main"]
