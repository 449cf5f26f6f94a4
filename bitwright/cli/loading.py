# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Loads modules quickly, for a command that is done in less than a second."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREADS = "OPENBLAS_NUM_THREADS"
#: Objects made, less those that went, between two collections; Python has 700.
SELDOM = 10_000


@contextmanager
def quick_loading() -> Iterator[None]:
    """Import numpy and the compiler within this, in a command that multiplies no large matrices of floats.

    Garbage collection would go through the modules again and again, though they stay to the end: it rests here, leaves
    them out afterwards, and comes less often. OpenBLAS, which comes with numpy, would start a thread for every core,
    and each waits busily for work, 0.1 s long: one thread is enough, unless the user sets another number.
    In a process that has numpy already, nothing is changed.
    """
    if "numpy" in sys.modules:
        yield
        return
    one_thread = THREADS not in os.environ
    if one_thread:
        os.environ[THREADS] = "1"
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(SELDOM)
        gc.enable()
        if one_thread:
            del os.environ[THREADS]  # it is read once; programs started from here choose for themselves
