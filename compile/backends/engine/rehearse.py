# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Gives every tensor of a plan its place, in DRAM and in the activation memory, and says when it is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, Network
from bitwright.compile.backends.engine.memory import Allocator, Buffer, Span
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.compile.backends.engine.plan import Plan
from bitwright.compile.backends.engine.program import Place
from bitwright.compile.backends.engine.stripes import Segment, Stripe
from bitwright.hw.config import EngineConfig

#: Blocks of the activation memory for what the array reads, and for what the depthwise unit reads.
ARRAY_BLOCKS, CHANNEL_BLOCKS = frozenset((0, 1)), frozenset((2, 3))


@dataclass
class Live:
    """A stored tensor while it is in the activation memory.

    Attributes:
        buffers: one for each plane.
        ready: rows first .. stop - 1 hold values.
    """

    buffers: list[Buffer]
    ready: Span


@dataclass
class Home:
    """A tensor that lives in DRAM: its place, and the ST that wrote each row last."""

    place: Place
    stored: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(eq=False, repr=False)
class Rehearsal:
    """Walks through a plan without a word of the program: so plans that do not fit are found out in no time.

    `Emitter` does the same walk and writes the instructions on the way.

    Attributes:
        dump: keep every tensor in DRAM, too.
        mode: of the `Allocator`.
    """

    network: Network
    config: EngineConfig
    plan: Plan
    packed: dict[int, ArrayLayer | ChannelLayer]
    dump: bool = field(default=False, kw_only=True)
    mode: str = field(default="rotate", kw_only=True)

    def __post_init__(self) -> None:
        network, plan = self.network, self.plan
        self.memory = Allocator(self.config, self.mode)
        self.live: dict[str, Live] = {}
        self.homes: dict[str, Home] = {}
        self.sizes = {"WORK": 0, "INPUT": 0, "OUTPUT": 0}
        self.layer = 0
        self.last_use = {n: number for number, reads in enumerate(plan.reads) for names in reads for n in names}
        self.for_channels = {
            n for x, reads in zip(network.layers, plan.reads, strict=True) if not x.on_array for ns in reads for n in ns
        }
        self.touched = [
            tuple(dict.fromkeys((layer.output, *(n for names in reads for n in names))))
            for layer, reads in zip(network.layers, plan.reads, strict=True)
        ]

    def walk(self) -> tuple[dict[str, Place], dict[str, Place]]:
        """Give everything its place. Returns the places of inputs and dumps. Raises OutOfMemory."""
        network = self.network
        inputs = {t: self._place(s, "INPUT") for t, s in network.inputs.items()}
        for views in network.outputs.values():
            for name in dict.fromkeys(n for v in views for n in v.names):
                if name not in self.homes:
                    self._place(name, "OUTPUT")
        dumps = {}
        if self.dump:
            for layer in network.layers:
                if layer.output not in self.homes:
                    dumps[layer.output] = self._place(layer.output, "WORK")
        for layer in network.layers:  # a set has another order in every process
            if layer.output in self.plan.spilled and layer.output not in self.homes:
                self._place(layer.output, "WORK")
        for segment in self.plan.segments:
            self._segment(segment)
        assert all(name in self.homes for name in self.live), self.live.keys()
        return inputs, dumps

    # --- what an instruction does ------------------------------------------------------------------------------------

    def _run_layer(self, number: int, layer: Layer, out: Live, first: int, stop: int) -> None:
        """Make rows first .. stop - 1 of the layer."""

    def _fetch(self, name: str, live: Live, first: int, stop: int) -> None:
        """Load rows from DRAM."""

    def _store(self, name: str, first: int, stop: int) -> None:
        """Write rows to DRAM."""

    # --- the walk ----------------------------------------------------------------------------------------------------

    def _place(self, name: str, region: str) -> Place:
        s = self.network.stored[name]
        place = Place(
            region, self.sizes[region], s.shape, s.planes, tuple(s.plane.tolist()), tuple(s.lane.tolist()), s.signed,
            s.fold,
        )  # fmt: skip
        self.sizes[region] += place.beats
        self.homes[name] = Home(place, np.zeros(s.shape[0], np.int32))
        return place

    def _segment(self, segment: Segment) -> None:
        network = self.network
        for stripe in segment.stripes:
            running = [k for k in range(segment.first, segment.stop) if stripe.rows[k][0] < stripe.rows[k][1]]
            final = {name: k for k in running for name in self.touched[k]}
            for number in running:
                self.layer = number
                layer = network.layers[number]
                first, stop = stripe.rows[number]
                for view, names in zip(layer.reads(), self.plan.reads[number], strict=True):
                    self._provide(names, layer.rows(view, first, stop), stripe)
                out = self._target(layer, first, stop, segment)
                self._run_layer(number, layer, out, first, stop)
                out.ready = (min(out.ready[0], first) if out.ready[1] else first, stop)
                if layer.output in self.homes:
                    self._store(layer.output, first, stop)
                self._release(segment, number, final)
            for name in [n for n in self.live if self._temporary(n, segment)]:
                self._drop(name)
        made = {network.layers[number].output for number in range(segment.first, segment.stop)}
        for name in list(self.live):  # also outputs that nothing reads
            if self.last_use[name] < segment.stop if name in self.last_use else name in made:
                self._drop(name)

    def _temporary(self, name: str, segment: Segment) -> bool:
        """It is kept for one stripe only."""
        return name in segment.local or (name in self.homes and name not in self.plan.resident)

    def _release(self, segment: Segment, number: int, final: dict[str, int]) -> None:
        """Free what no later layer of this stripe, and no later stripe or segment, reads.

        Args:
            final: the last layer of the stripe that reads or makes a tensor.
        """
        for name in self.touched[number]:
            if final[name] == number and (
                self._temporary(name, segment) or (len(segment.stripes) == 1 and self.last_use.get(name, -1) <= number)
            ):
                self._drop(name)

    def _drop(self, name: str) -> None:
        for buffer in self.live.pop(name).buffers:
            self.memory.give(buffer.address, buffer.rows * buffer.pitch)

    def _buffers(self, name: str, first: int, stop: int) -> Live:
        s = self.network.stored[name]
        # What the depthwise unit reads lies apart from the rest, so that the units seldom want one bank at once.
        prefer = CHANNEL_BLOCKS if name in self.for_channels else ARRAY_BLOCKS
        rows, pitch = stop - first, s.shape[1]
        buffers = [Buffer(self.memory.take(rows * pitch, prefer), first, rows, pitch) for _ in range(s.planes)]
        live = self.live[name] = Live(buffers, (0, 0))
        return live

    def _provide(self, names: Iterable[str], rows: Span, stripe: Stripe) -> None:
        """The rows are in the activation memory afterwards; those of tensors in DRAM are loaded."""
        for name in names:
            live = self.live.get(name)
            if live is not None:
                if live.ready[0] <= rows[0] and rows[1] <= live.ready[1]:
                    continue
                self._drop(name)
            first, stop = stripe.loads.get(name, rows)
            live = self._buffers(name, first, stop)
            self._fetch(name, live, first, stop)
            live.ready = (first, stop)

    def _target(self, layer: Layer, first: int, stop: int, segment: Segment) -> Live:
        name = layer.output
        if name in self.live:
            return self.live[name]
        if name in segment.local or name not in self.plan.resident:
            return self._buffers(name, first, stop)
        return self._buffers(name, 0, self.network.stored[name].shape[0])
