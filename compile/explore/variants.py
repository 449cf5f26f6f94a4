# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Search over the engine's parameters on an ECP5, whose boards name one configuration: columns, units, memories.

For every number of columns, with the depthwise unit and without: the largest memories that fit, compiled and timed
unless the work alone takes longer than the best so far. Then the memories of what is left are halved one by one as
long as that costs nothing that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from bitwright.hw.config import CONFIGS, EngineConfig
from bitwright.hw.resources import ECP5_MEMORIES
from bitwright.hw.variants import variant

#: Columns of the array, and the depthwise unit.
UNITS = tuple({"pairs": pairs, "dw": dw} for pairs, dw in product((2, 4, 8, 16), (1, 0)))


def _memories(units: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Depths to choose from; without its unit the depthwise weights have no memory."""
    return {k: v if units["dw"] or k != "dw_weight_depth" else v[:1] for k, v in ECP5_MEMORIES.items()}


def least(base: str) -> list[EngineConfig]:
    """Every choice of units with the smallest memories, and the other named configurations for the device."""
    named = [c for c in CONFIGS.values() if c.device == CONFIGS[base].device and c.name != base]
    return [variant(base, {**u, **{k: v[0] for k, v in _memories(u).items()}}) for u in UNITS] + named


def largest(config: EngineConfig, fits: Callable[[EngineConfig], bool]) -> EngineConfig:
    """The memories of a configuration that fits, grown in turn until none can grow; of other builds they stay."""
    if not _searched(config):
        return config
    base, values = _values(config)
    memories = _memories(values)
    growing = list(memories)
    while growing:
        for name in list(growing):
            steps = memories[name]
            at = steps.index(values[name])
            tried = variant(base, {**values, name: steps[at + 1]}) if at + 1 < len(steps) else None
            if tried is None or not fits(tried):
                growing.remove(name)
            else:
                values = _values(tried)[1]
    return variant(base, values)


def smaller(config: EngineConfig) -> list[EngineConfig]:
    """The configurations with one memory a step smaller; none of another kind of build."""
    if not _searched(config):
        return []
    base, values = _values(config)
    found = []
    for name, steps in _memories(values).items():
        at = steps.index(values[name])
        if at:
            found.append(variant(base, {**values, name: steps[at - 1]}))
    return found


def _searched(config: EngineConfig) -> bool:
    return config.am_blocks == 1 and not config.small


def _values(config: EngineConfig) -> tuple[str, dict[str, int]]:
    base = config.name.partition(":")[0]
    assert base in CONFIGS
    return base, {k: int(getattr(config, k)) for k in ("pairs", "dw", *ECP5_MEMORIES)}
