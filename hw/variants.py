# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Configurations of the engine that have no name of their own: a named one with other parameters.

Their names say everything, so that a program, a bundle and a build find them again: ``ecp5:dw=0,pairs=8``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS, EngineConfig

#: What may differ from the named configuration; everything else says which device it is for.
PARAMETERS = ("am_depth", "const_depth", "dw", "dw_weight_depth", "pairs", "table_depth", "weight_depth")


def variant(base: str, values: Mapping[str, int]) -> EngineConfig:
    """A named configuration with other parameters, under the one name that such a configuration has.

    Raises BackendError: unknown configuration or parameter, or a value that the hardware does not have.
    """
    if base not in CONFIGS:
        raise BackendError(f"engine configuration {base!r} is unknown; there are {sorted(CONFIGS)}")
    unknown = sorted(set(values) - set(PARAMETERS))
    if unknown:
        raise BackendError(f"engine configuration {base}: {unknown[0]!r} is none of {', '.join(PARAMETERS)}")
    differ = {k: v for k, v in sorted(values.items()) if v != getattr(CONFIGS[base], k)}
    name = f"{base}:{','.join(f'{k}={v}' for k, v in differ.items())}" if differ else base
    return replace(CONFIGS[base], name=name, **differ)  # type: ignore[arg-type]


def configuration(name: str) -> EngineConfig:
    """A configuration by its name, ``NAME`` or ``NAME:parameter=value,...``. Raises BackendError as `variant`."""
    base, _, rest = name.partition(":")
    values: dict[str, int] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        if not value.isdigit() or key in values:
            raise BackendError(f"engine configuration {name!r}: {part!r} is not PARAMETER=NUMBER, each once")
        values[key] = int(value)
    return variant(base, values)
