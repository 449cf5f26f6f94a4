# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Segments in stripes against a plain walk through their layers: rows, memory, cost, and what is refused early."""

from __future__ import annotations

from itertools import product

import pytest

from bitwright.compile.backends.engine.compiler import lower
from bitwright.compile.backends.engine.plan import Planner
from bitwright.compile.backends.engine.stripes import CHANNEL_SHARE, ENDLESS, MOVE_SHARE, START, Cutter, Span, Stripe
from bitwright.hw.config import CONFIGS
from tests.engine.nets import random_graph

TINY = CONFIGS["tiny"]
#: More than all.
BOUNDLESS = 1 << 40


class Walk:
    """A segment, stripe by stripe and name by name."""

    def __init__(self, planner: Planner, first: int, stop: int, count: int, keep: frozenset[str]) -> None:
        self.network, self.cutter, self.keep = planner.network, planner.cutter, keep
        self.layers = range(first, stop)
        self.made = {self.network.layers[k].output for k in self.layers}
        self.local = planner._range(first, stop).local
        done: dict[str, int] = {}
        self.stripes = [self.stripe(s, count, done) for s in range(count)]

    def stripe(self, s: int, count: int, done: dict[str, int]) -> Stripe:
        need: dict[str, Span] = {}
        rows: dict[int, Span] = {}
        for k in reversed(self.layers):
            layer = self.network.layers[k]
            name, height = layer.output, self.network.stored[layer.output].shape[0]
            want = need.get(name)
            if name not in self.local:
                share = (s * height // count, (s + 1) * height // count)
                want = share if want is None else (min(want[0], share[0]), max(want[1], share[1]))
            rows[k] = (0, 0)
            if want is None or want[0] >= want[1]:
                continue
            if name in self.keep:
                want = (done.get(name, 0), max(want[1], done.get(name, 0)))
                done[name] = want[1]
            rows[k] = want
            for view in layer.reads() if want[0] < want[1] else ():
                lo, hi = layer.rows(view, *want)
                for n in view.names:
                    old = need.get(n, (lo, hi))
                    need[n] = (min(old[0], lo), max(old[1], hi))
        return Stripe(rows, {n: x for n, x in need.items() if n not in self.made and n not in self.keep})

    def peak(self, stripe: Stripe) -> int:
        """Words at the fullest moment."""
        stored, running = self.network.stored, [k for k in self.layers if stripe.rows[k][0] < stripe.rows[k][1]]
        rows = {n: hi - lo for n, (lo, hi) in stripe.loads.items()}
        for k in self.layers:
            name = self.network.layers[k].output
            rows[name] = stored[name].shape[0] if name in self.keep else stripe.rows[k][1] - stripe.rows[k][0]
        if any(n * stored[name].shape[1] > TINY.block_words for name, n in rows.items()):
            return ENDLESS
        uses: dict[str, list[int]] = {}
        for k in running:
            layer = self.network.layers[k]
            for n in {layer.output, *(n for view in layer.reads() for n in view.names)}:
                uses.setdefault(n, []).append(k)
        taken = {n: at for n, at in uses.items() if n in rows and n not in self.keep}
        full = [
            sum(rows[n] * stored[n].planes * stored[n].shape[1] for n, at in taken.items() if at[0] <= k <= at[-1])
            for k in running
        ]
        return max(full, default=0)

    def cost(self) -> float:
        """Cycles, as of a plan."""
        array = channels = moved = beats = starts = 0
        for k in self.layers:
            fact, name = self.cutter.facts[k], self.network.layers[k].output
            lengths = [stripe.rows[k][1] - stripe.rows[k][0] for stripe in self.stripes]
            array += sum(lengths) * fact.work * fact.on_array
            channels += sum(lengths) * fact.work * (not fact.on_array)
            starts += sum(n > 0 for n in lengths)
            beats += fact.beats
            later = any(
                name in view.names for layer in self.network.layers[self.layers.stop :] for view in layer.reads()
            )
            outside = name in self.cutter.outputs or (name not in self.keep and later)
            moved += self.cutter.words[name] * outside
        moved += beats * (len(self.stripes) if self.cutter.reloads(beats) else 1)
        moved += sum((hi - lo) * self.cutter.row_words[n] for x in self.stripes for n, (lo, hi) in x.loads.items())
        return array + CHANNEL_SHARE * channels + MOVE_SHARE * moved + START * starts


@pytest.mark.parametrize("seed", [0, 4, 11, 15, 19, 23])
def test_cuts_are_those_of_a_plain_walk(seed: int) -> None:
    network, packed, _ = lower(random_graph(seed, 12, 60), TINY)
    planner = Planner(network, TINY, packed, 1.0)
    made = sorted(set(planner.made) - planner.outputs)
    fits = refused = 0
    for resident in (frozenset(made), frozenset(made[::2]), frozenset[str]()):
        for first in range(len(network.layers)):
            for stop in range(first + 1, min(first + 6, len(network.layers)) + 1):
                layers = planner._range(first, stop)
                near = (layers.touched & resident) - layers.local
                for count in (1, 2, 3, 5, 8, 16):
                    where = (first, stop, count, near, layers.local)
                    walk = Walk(planner, first, stop, count, near)
                    peak = max(walk.peak(stripe) for stripe in walk.stripes)
                    found = planner.cutter.cut(*where, BOUNDLESS)
                    assert found.cost == walk.cost()
                    assert found.segment().stripes == tuple(walk.stripes)
                    assert found.peak == peak if found.exact else found.peak >= peak
                    fresh = Cutter(network, TINY, packed)  # it shares nothing with other segments
                    for cutter, room in product((planner.cutter, fresh), (peak - 1, peak, peak // 2, 2 * peak)):
                        some = cutter.cut(*where, room)
                        assert (some.peak <= room) == (peak <= room) == (some.cost < float("inf"))
                        assert some.peak <= peak if peak > room else some.cost == found.cost
                        fits += peak <= room
                        refused += peak > room
    assert min(fits, refused) > 100
