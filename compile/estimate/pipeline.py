# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Latency of one frame in a dataflow design, row by row: every layer makes its rows as soon as their inputs are there.

Streams between the layers are taken as deep enough (hls4ml makes them as deep as a frame): nothing waits for a reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """A layer in time.

    Attributes:
        inputs: tensors that it reads; those that no step writes are there from the start. output: that it writes.
        rows: of the output. cycles: that all rows take.
        reach: (stride, offset): row r needs input rows up to r * stride + offset; None: the whole input.
    """

    inputs: tuple[str, ...]
    output: str
    rows: int
    cycles: int
    reach: tuple[int, int] | None


def latency(steps: Sequence[Step], arrival: Mapping[str, int] | None = None) -> int:
    """Cycles from the first input to the last output of one frame.

    Args:
        arrival: cycles that a graph input takes to arrive, evenly over its rows as far as a reader can tell.
    """
    done: dict[str, NDArray[np.float64]] = {}
    end = 0.0
    for step in steps:
        ready = np.zeros(step.rows)
        for name in step.inputs:
            times = done.get(name)
            if times is None:
                times = np.asarray([float((arrival or {}).get(name, 0))])
            if step.reach is None:
                ready = np.maximum(ready, times[-1])
            else:
                need = np.arange(step.rows) * step.reach[0] + step.reach[1]
                ready = np.maximum(ready, times[np.clip(need, 0, len(times) - 1)])
        each = step.cycles / step.rows
        # finish[r] = max(finish[r - 1], ready[r]) + each, unrolled: the largest of ready[k] + (r - k + 1) * each
        index = np.arange(step.rows)
        finish = np.maximum.accumulate(ready - index * each) + (index + 1) * each
        done[step.output] = finish
        end = max(end, float(finish[-1]))
    return round(end)
