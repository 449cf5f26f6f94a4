# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Choices of PE and SIMD: what is possible for each part of a network, and the cheapest that reaches a rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.base import nearest
from bitwright.compile.backends.finn.layers import DepthwiseUnit, Folding, Layer, Pool, Resources, Window
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.backends.finn.options import LayerOptions
from bitwright.errors import BackendError


@dataclass(frozen=True)
class Option:
    """One way to fold a unit.

    Attributes:
        layers: of the unit. foldings: of these, in their order.
        cycles: of its slowest layer for one frame.
        resources: of all its layers.
    """

    layers: tuple[Layer, ...]
    foldings: tuple[Folding, ...]
    cycles: int

    @cached_property
    def resources(self) -> Resources:
        """FINN's estimate."""
        return reduce(add, (layer.resources(f) for layer, f in zip(self.layers, self.foldings, strict=True)))


def folding_options(layers: Sequence[Layer]) -> list[Option]:
    """All legal foldings of a unit (`Network.units`): one layer, or a sliding window and the layer that it feeds."""
    return [_option(layers, foldings) for foldings in _foldings(layers)]


def _foldings(layers: Sequence[Layer]) -> Iterator[tuple[Folding, ...]]:
    """The smallest first.

    A depthwise unit or a pooling takes PE channels in the order in which its window gives them, so the window's SIMD is
    that PE, and it gives whole windows when the unit takes several taps at a time.
    """
    if len(layers) == 1:
        yield from ((f,) for f in layers[0].foldings())
        return
    window, unit = layers
    assert isinstance(window, Window)
    for f in unit.foldings():
        yield Folding(1, f.pe, 0 if isinstance(unit, Pool) else f.parallel_window), f


def _option(layers: Sequence[Layer], foldings: tuple[Folding, ...]) -> Option:
    cycles = max(layer.cycles(f) for layer, f in zip(layers, foldings, strict=True))
    return Option(tuple(layers), foldings, cycles)


def _slowest(layers: Sequence[Layer]) -> Option:
    """The first of those that take longest: more PE or SIMD takes no longer, but whole windows at a time can."""
    every = _foldings(layers)
    found = [next(every)]
    if isinstance(layers[-1], (Window, DepthwiseUnit)):
        found += [next((f for f in every if f[-1].parallel_window), found[0])]
    return max((_option(layers, foldings) for foldings in found), key=lambda o: o.cycles)


def cost(resources: Resources, board: Board | None) -> float:
    """Share of a board's logic, block RAM and DSP slices that is taken, added up; of a ZU7EV without a board."""
    lut, bram18, dsp = (230400, 624, 1728) if board is None else (
        board.resources.lut, 2 * board.resources.bram36, board.resources.dsp
    )  # fmt: skip
    uram18 = 16 * resources.uram  # an UltraRAM holds as much as sixteen 18-kbit block RAMs
    return resources.lut / lut + (resources.bram18 + uram18) / bram18 + resources.dsp / dsp


def choose(net: Network, target: int | None, board: Board | None = None) -> dict[str, Folding]:
    """The cheapest folding in which no layer takes more than ``target`` cycles; None for the smallest.

    The units are independent (width converters, which FINN's estimates leave out too, are not counted), so the
    cheapest of each is the cheapest of all. Ties go to less parallelism. Raises BackendError when the target is out of
    reach, with the layer and the rate that it allows.
    """
    chosen: dict[str, Folding] = {}
    for unit in net.units():
        layers = [net.layers[k] for k in unit]
        best = _slowest(layers) if target is None else _cheapest(layers, target, net.names[unit[-1]], board)
        chosen |= {net.names[k]: f for k, f in zip(unit, best.foldings, strict=True)}
    return chosen


def _cheapest(layers: Sequence[Layer], target: int, name: str, board: Board | None) -> Option:
    options = folding_options(layers)
    fit = [o for o in options if o.cycles <= target]
    if not fit:
        least = min(o.cycles for o in options)
        raise BackendError(
            f"FINN cannot reach {target:,} cycles per frame: {name} ({layers[-1].source}) takes {least:,} when it is "
            "fully parallel; lower fps or raise clock_mhz"
        )
    return min(fit, key=lambda o: (cost(o.resources, board), sum(f.pe * f.simd for f in o.foldings)))


def override(net: Network, chosen: Mapping[str, Folding], by_hand: Mapping[str, LayerOptions]) -> dict[str, Folding]:
    """The foldings with those that the user gave. Raises BackendError: unknown layer, or an illegal folding."""
    result = dict(chosen)
    if not by_hand:
        return result
    for name, own in by_hand.items():
        if name not in net.names:
            hint = nearest(name, net.names) or f"; there are {', '.join(net.names[:20])}"
            raise BackendError(f"finn option layers.{name}: no such layer{hint}")
        old = result[name]
        parallel = old.parallel_window if own.parallel_window is None else own.parallel_window
        result[name] = Folding(own.PE or old.pe, own.SIMD or old.simd, parallel)
    for unit in net.units():
        members = [net.layers[k] for k in unit]
        given = tuple(result[net.names[k]] for k in unit)
        legal = [o.foldings for o in folding_options(members)]
        if given not in legal and any(net.names[k] in by_hand for k in unit):
            alike = next((o for o in legal if o[-1].pe == given[-1].pe and o[-1].simd == given[-1].simd), None)
            if alike is None or net.names[unit[-1]] not in by_hand:
                raise BackendError(
                    f"finn option layers.{net.names[unit[-1]]}: {given[-1]} is not legal; PE must divide "
                    f"{getattr(members[-1], 'outputs', members[-1].channels)} and SIMD "
                    f"{getattr(members[-1], 'taps', members[-1].channels)}"
                    + ("; a sliding window follows the layer behind it" if len(unit) > 1 else "")
                )
            result |= {net.names[k]: f for k, f in zip(unit, alike, strict=True)}
    return result


def figures(net: Network, chosen: Mapping[str, Folding], clock_mhz: float) -> dict[str, Any]:
    """FINN's estimates for a folding: cycles and resources by layer and in all, rate and latency."""
    foldings = [chosen[name] for name in net.names]
    cycles = [layer.cycles(f) for layer, f in zip(net.layers, foldings, strict=True)]
    each = [layer.resources(f) for layer, f in zip(net.layers, foldings, strict=True)]
    total = reduce(add, each, Resources())
    slowest = max(range(len(cycles)), key=lambda k: cycles[k])
    return {
        "cycles": cycles[slowest],
        "slowest_layer": net.names[slowest],
        "fps": clock_mhz * 1e6 / cycles[slowest],
        "latency_cycles": net.latency(cycles),
        "clock_mhz": clock_mhz,
        "lut_at_least": total.lut,
        "bram18": total.bram18,
        "uram": total.uram,
        "dsp_at_least": total.dsp,
        "layers": {
            name: {
                "source": layer.source, "cycles": c, "lut": None if "LUT" in r.unknown else r.lut, "bram18": r.bram18,
                "uram": r.uram, "dsp": r.dsp, **layer.attributes(f),
            }
            for name, layer, c, r, f in zip(net.names, net.layers, cycles, each, foldings, strict=True)
        },
    }  # fmt: skip
