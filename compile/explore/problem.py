# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A folding problem: one option for every layer, within a budget of resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Vector = tuple[int, ...]


@dataclass(frozen=True)
class Option:
    """One way to build a layer. cycles: for one frame. usage: of every resource. label: for whoever made it."""

    cycles: int
    usage: Vector
    label: Any = None


@dataclass(frozen=True)
class Slot:
    """A layer and its options (at least one)."""

    name: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Link:
    """What two layers cost together, through one property of each: the widths of a stream between them.

    Attributes:
        first, second: numbers of the slots.
        out, into: the property of every option of first and of second, such as the width that it writes or reads.
        usage: more resources for (out, into); None: the two do not go together. What is not listed costs nothing.
    """

    first: int
    second: int
    out: tuple[int, ...]
    into: tuple[int, ...]
    usage: Mapping[tuple[int, int], Vector | None]

    def of(self, chosen: Sequence[int]) -> tuple[int, int]:
        """The properties that a choice has."""
        return self.out[chosen[self.first]], self.into[chosen[self.second]]


@dataclass(frozen=True)
class Problem:
    """Choose an option for every slot.

    Attributes:
        names: of the resources. budget: of each. base: used whatever is chosen.
        floor: cycles below which nothing can go (a DMA port, DRAM).
    """

    slots: tuple[Slot, ...]
    names: tuple[str, ...]
    budget: Vector
    base: Vector
    floor: int = 1
    links: tuple[Link, ...] = ()

    def usage(self, chosen: Sequence[int]) -> Vector | None:
        """Resources of a choice, None when two linked layers do not go together."""
        total = list(self.base)
        parts = [slot.options[k].usage for slot, k in zip(self.slots, chosen, strict=True)]
        for link in self.links:
            more = link.usage.get(link.of(chosen), (0,) * len(self.names))
            if more is None:
                return None
            parts.append(more)
        for part in parts:
            total = [a + b for a, b in zip(total, part, strict=True)]
        return tuple(total)

    def cycles(self, chosen: Sequence[int]) -> int:
        """Cycles between two frames."""
        return max([self.floor, *(s.options[k].cycles for s, k in zip(self.slots, chosen, strict=True))])

    def fits(self, chosen: Sequence[int]) -> bool:
        """Within the budget, and linked layers go together."""
        used = self.usage(chosen)
        return used is not None and all(u <= b for u, b in zip(used, self.budget, strict=True))

    def share(self, usage: Vector) -> float:
        """What a design costs: the sum of its shares of the budget. Of a resource that is not there each counts 1."""
        return sum(u / b if b else float(u) for u, b in zip(usage, self.budget, strict=True))

    def cost(self, chosen: Sequence[int]) -> float:
        """`share` of a choice whose layers go together."""
        used = self.usage(chosen)
        assert used is not None
        return self.share(used)


@dataclass(frozen=True)
class Solution:
    """What was found.

    Attributes:
        chosen: option of every slot; None when nothing fits.
        cycles: between two frames.
        bound: no choice within the budget has fewer cycles (fastest), or a lower cost (cheapest).
        optimal: proven. proof: why, in words. method: that decided.
    """

    chosen: tuple[int, ...] | None
    cycles: int
    cost: float
    bound: float
    optimal: bool
    proof: str
    method: str


def pareto(slot: Slot, group: Sequence[Any] = ()) -> tuple[int, ...]:
    """Numbers of the options that no other one beats in cycles and every resource; of equal ones the first.

    Args:
        group: of every option; only options of the same group are compared.
    """
    kept: dict[Any, list[int]] = {}
    order = sorted(range(len(slot.options)), key=lambda k: (slot.options[k].cycles, slot.options[k].usage, k))
    for k in order:
        o = slot.options[k]
        same = kept.setdefault(group[k] if group else None, [])
        if not any(all(a <= b for a, b in zip(slot.options[j].usage, o.usage, strict=True)) for j in same):
            same.append(k)
    return tuple(sorted((k for same in kept.values() for k in same), key=order.index))
