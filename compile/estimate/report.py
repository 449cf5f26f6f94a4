# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The figures that every backend's estimate has in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Resources that are counted: DSP slices, halves of block RAMs (18 kbit), UltraRAMs, LUTs, flip-flops.
RESOURCES = ("dsp", "bram18", "uram", "lut", "ff")


@dataclass(frozen=True)
class Span:
    """A count that lies between two bounds, both included; equal bounds: exact under the model."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"Span: 0 <= low <= high is needed, got {self.low}, {self.high}")

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def times(self, n: int) -> Span:
        """n of them."""
        return Span(self.low * n, self.high * n)

    @property
    def middle(self) -> int:
        """Between the bounds."""
        return (self.low + self.high + 1) // 2

    @staticmethod
    def exact(value: int) -> Span:
        """A count without doubt."""
        return Span(value, value)

    @staticmethod
    def around(value: float, low: float, high: float) -> Span:
        """A figure and the factors of its error."""
        return Span(math.floor(value * low), math.ceil(value * high))


NONE = Span(0, 0)


@dataclass(frozen=True)
class Usage:
    """Resources of a layer or a design; fields as in RESOURCES, None: not known."""

    dsp: Span | None = NONE
    bram18: Span | None = NONE
    uram: Span | None = NONE
    lut: Span | None = NONE
    ff: Span | None = NONE

    def spans(self) -> tuple[Span | None, ...]:
        """In the order of RESOURCES."""
        return (self.dsp, self.bram18, self.uram, self.lut, self.ff)

    def __add__(self, other: Usage) -> Usage:
        pairs = zip(self.spans(), other.spans(), strict=True)
        return Usage(*(a + b if a is not None and b is not None else None for a, b in pairs))

    def times(self, n: int) -> Usage:
        """n of them."""
        return Usage(*(s.times(n) if s is not None else None for s in self.spans()))

    def vector(self, risk: str = "low") -> tuple[int, ...]:
        """Counts in the order of RESOURCES: the upper ends (risk 'low') or the middles ('even').

        What is not known cannot bind: it counts 0 here, and only here.
        """
        return tuple(0 if s is None else s.high if risk == "low" else s.middle for s in self.spans())

    def as_dict(self) -> dict[str, list[int] | None]:
        """[low, high] of every resource, None where it is not known."""
        return {r: [s.low, s.high] if s is not None else None for r, s in zip(RESOURCES, self.spans(), strict=True)}


def total(parts: Iterable[Usage]) -> Usage:
    """The sum."""
    return sum(parts, Usage())


@dataclass(frozen=True)
class LayerEstimate:
    """One layer.

    Attributes:
        folding: how it is laid out, for people.
        cycles: that it is busy for one frame. macs, dram_bytes: of one frame.
        usage: None where the backend's units serve all layers.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    folding: str
    macs: int
    cycles: int
    dram_bytes: int
    usage: Usage | None


@dataclass(frozen=True)
class Estimate:
    """A network on a board.

    Attributes:
        kind: how the figures were obtained.
        interval: cycles between two frames. latency: cycles of one frame.
        fps: frames per second at ``clock_mhz``.
        energy_nj: the proxy of energy.py for one frame.
        errors: what is known about the error of each figure, by its name.
        unknown: what the model says nothing about, with the reason; never a 0 instead.
        more: figures of this backend only.
    """

    backend: str
    kind: str
    clock_mhz: float
    interval: int
    latency: int
    fps: float
    macs: int
    dram_bytes: int
    energy_nj: float
    usage: Usage
    layers: tuple[LayerEstimate, ...]
    errors: Mapping[str, str]
    unknown: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        layers = [
            {"name": e.name, "kind": e.kind, "shape": list(e.shape), "folding": e.folding, "macs": e.macs,
             "cycles": e.cycles, "dram_bytes": e.dram_bytes, "usage": e.usage.as_dict() if e.usage else None}
            for e in self.layers
        ]  # fmt: skip
        return {
            "backend": self.backend, "kind": self.kind, "clock_mhz": self.clock_mhz, "interval_cycles": self.interval,
            "latency_cycles": self.latency, "latency_us": self.latency / self.clock_mhz, "fps": self.fps,
            "macs_per_frame": self.macs, "dram_bytes": self.dram_bytes, "energy_nj": self.energy_nj,
            "usage": self.usage.as_dict(), "errors": dict(self.errors), "unknown": dict(self.unknown),
            "layers": layers, **self.more,
        }  # fmt: skip
