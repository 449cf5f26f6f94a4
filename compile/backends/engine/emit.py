# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes the program: allocates the activation memory, loads constants, makes instructions wait for what they need."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, Network, Stored, View
from bitwright.compile.backends.engine.memory import Allocator, Buffer, Ring, Span, Tracker
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.compile.backends.engine.place import Word, words_of
from bitwright.compile.backends.engine.plan import Plan, Segment, Stripe
from bitwright.compile.backends.engine.program import BEAT, LayerFacts, Place, Program, Step
from bitwright.compile.backends.engine.timing import time_steps
from bitwright.compile.backends.engine.upsample import is_wide, runs, tap_words
from bitwright.errors import BackendError
from bitwright.hw.config import BLOCKS, EngineConfig
from bitwright.hw.isa import ARGMAX_PIXELS, DESTINATIONS, DW_MODES, REGIONS, UNITS

#: Table entry of a word that is not written.
NOWHERE = 0xFFFF
#: Blocks of the activation memory for what the array reads, and for what the depthwise unit reads.
ARRAY_BLOCKS, CHANNEL_BLOCKS = frozenset((0, 1)), frozenset((2, 3))
#: Aim of the length of an instruction of the array, in cycles: long against its start, short against the layer.
CHUNK_CYCLES = 1200
#: Layers are cut into at most so many bands of at least so many rows and about so many cycles.
MOST_BANDS, LEAST_ROWS, BAND_CYCLES = 8, 2, 600
_MODES = {"conv": "CONV", "up": "CONV", "max": "MAX", "add": "ADD", "square": "DEFORM_SQUARE", "free": "DEFORM_FREE"}


@dataclass
class _Live:
    """A stored tensor while it is in the activation memory.

    Attributes:
        buffers: one for each plane.
        ready: rows first .. stop - 1 hold values.
    """

    buffers: list[Buffer]
    ready: Span


@dataclass(frozen=True)
class _Part:
    """Instructions of the depthwise unit that differ in their planes only.

    Attributes:
        first, stop: rows of the output. key: of the weights, where they depend on nothing else; None: on the layer.
        weights: uint8 (planes, words, 3 taps, 16 lanes).
        fields: of the instruction.
    """

    first: int
    stop: int
    key: Hashable
    weights: NDArray[np.uint8] | None
    fields: dict[str, int]


@dataclass
class _Home:
    """A tensor that lives in DRAM: its place, and the ST that wrote each row last."""

    place: Place
    stored: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


def in_time(steps: list[Step], config: EngineConfig) -> list[Step]:
    """The instructions in the order in which they could start.

    The decoder works in order and stops at a full queue; so nothing that can start early may stand behind what starts
    late. Units keep their own order, and what an instruction waits for stands before it.
    """
    start = time_steps(steps, config, in_order=False).start
    return [steps[k] for k in sorted(range(len(steps)), key=lambda k: (start[k], k))]


class Emitter:
    """One program."""

    def __init__(
        self,
        network: Network,
        config: EngineConfig,
        plan: Plan,
        packed: dict[int, ArrayLayer | ChannelLayer],
        *,
        dump: bool = False,
        mode: str = "rotate",
    ) -> None:
        self.network, self.config, self.plan, self.dump = network, config, plan, dump
        self.memory = Allocator(config, mode)
        self.activations = Tracker(BLOCKS << (config.index_bits + 2))
        self.rings = {
            "PW_WEIGHT": Ring(config.weight_depth),
            "PW_CONST": Ring(config.const_depth),
            "PW_TABLE": Ring(config.table_depth, 8),
            "DW_WEIGHT": Ring(config.dw_weight_depth),
            "DW_CONST": Ring(config.const_depth),
            "DW_TABLE": Ring(config.table_depth, 8),
        }
        self.steps: list[Step] = []
        self.count = [0] * len(UNITS)
        self.constants = bytearray()
        self.placed: dict[Hashable, int] = {}
        self.live: dict[str, _Live] = {}
        self.homes: dict[str, _Home] = {}
        self.sizes = {"WORK": 0, "INPUT": 0, "OUTPUT": 0}
        self.layer = 0
        self.packed = packed
        self.last_use = {n: number for number, reads in enumerate(plan.reads) for names in reads for n in names}
        self.for_channels = {
            n for x, reads in zip(network.layers, plan.reads, strict=True) if not x.on_array for ns in reads for n in ns
        }

    # --- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> Program:
        """The program. Raises OutOfMemory when the plan does not fit, BackendError for what no plan can do."""
        network = self.network
        Rehearsal(network, self.config, self.plan, self.packed, dump=self.dump, mode=self.memory.mode).walk()
        inputs, dumps = self.walk()
        found = {t: [self._view_place(v) for v in vs] for t, vs in network.outputs.items()}
        return Program(
            self.config.name, self.config.hash, in_time(self.steps, self.config), bytes(self.constants), inputs, found,
            dumps, self.sizes, [self._facts(layer) for layer in network.layers], {},
        )  # fmt: skip

    def walk(self) -> tuple[dict[str, Place], dict[str, Place]]:
        """Give everything its place and write the instructions. Returns the places of inputs and dumps."""
        network = self.network
        inputs = {t: self._place(s, "INPUT") for t, s in network.inputs.items()}
        for views in network.outputs.values():
            for name in self._names(views):
                self._output(name)
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

    def _facts(self, layer: Layer) -> LayerFacts:
        shape = self.network.stored[layer.output].shape
        macs = 0 if layer.weight is None else int(np.prod(shape[:2])) * layer.weight.size
        return LayerFacts(layer.name, layer.kind, "PW" if layer.on_array else "DW", shape, macs, layer.nodes)

    def _names(self, views: Iterable[View]) -> list[str]:
        return list(dict.fromkeys(name for v in views for name, _ in v.refs))

    def _output(self, name: str) -> Place:
        return self.homes[name].place if name in self.homes else self._place(name, "OUTPUT")

    def _place(self, name: str, region: str) -> Place:
        s = self.network.stored[name]
        place = Place(
            region, self.sizes[region], s.shape, s.planes, tuple(s.plane.tolist()), tuple(s.lane.tolist()), s.signed,
            s.fold,
        )  # fmt: skip
        self.sizes[region] += place.beats
        self.homes[name] = _Home(place, np.zeros(s.shape[0], np.int32))
        return place

    def _view_place(self, view: View) -> Place:
        """An output that is made of parts of one stored tensor."""
        refs = view.refs
        place = self.homes[refs[0][0]].place
        assert {n for n, _ in refs} == {refs[0][0]}
        channels = [c for _, c in refs]
        return Place(
            place.region, place.offset, (*place.shape[:2], len(channels)), place.planes,
            tuple(place.plane[c] for c in channels), tuple(place.lane[c] for c in channels), place.signed, place.fold,
        )  # fmt: skip

    def _segment(self, segment: Segment) -> None:
        network = self.network
        layers = range(segment.first, segment.stop)
        for stripe in segment.stripes:
            rows = stripe.rows
            for number in layers:
                self.layer = number
                layer = network.layers[number]
                first, stop = rows[number]
                if first >= stop:
                    continue
                for view, names in zip(layer.reads(), self.plan.reads[number], strict=True):
                    self._provide(names, layer.rows(view, first, stop), stripe)
                out = self._target(layer, first, stop, segment)
                self._run_layer(number, layer, out, first, stop)
                out.ready = (min(out.ready[0], first) if out.ready[1] else first, stop)
                if layer.output in self.homes:
                    self._store(layer.output, first, stop)
                self._release(segment, number, rows)
            for name in [n for n in self.live if self._temporary(n, segment)]:
                self._drop(name)
        for name in [n for n, last in self.last_use.items() if n in self.live and last < segment.stop]:
            self._drop(name)
        for number in layers:  # outputs that nothing reads
            name = network.layers[number].output
            if name in self.live and name not in self.last_use:
                self._drop(name)

    def _temporary(self, name: str, segment: Segment) -> bool:
        """It is kept for one stripe only."""
        return name in segment.local or (name in self.homes and name not in self.plan.resident)

    def _release(self, segment: Segment, number: int, rows: dict[int, Span]) -> None:
        """Free what no later layer of this stripe, and no later stripe or segment, reads."""
        for name in list(self.live):
            if not self._temporary(name, segment) and (
                len(segment.stripes) > 1 or self.last_use.get(name, -1) > number
            ):
                continue
            later = any(
                any(name in names for names in self.plan.reads[k])
                for k in range(number + 1, segment.stop)
                if rows[k][0] < rows[k][1]
            )
            made_later = any(
                self.network.layers[k].output == name and rows[k][0] < rows[k][1]
                for k in range(number + 1, segment.stop)
            )
            if not later and not made_later:
                self._drop(name)

    def _drop(self, name: str) -> None:
        for buffer in self.live.pop(name).buffers:
            self.memory.give(buffer.address, buffer.rows * buffer.pitch)

    # --- tensors -----------------------------------------------------------------------------------------------------

    def _buffers(self, name: str, first: int, stop: int) -> _Live:
        s: Stored = self.network.stored[name]
        # What the depthwise unit reads lies apart from the rest, so that the units seldom want one bank at once.
        prefer = CHANNEL_BLOCKS if name in self.for_channels else ARRAY_BLOCKS
        made: list[Buffer] = []
        try:
            for _ in range(s.planes):
                address = self.memory.take((stop - first) * s.shape[1], prefer)
                made.append(Buffer(address, first, stop - first, s.shape[1]))
        except Exception:
            for b in made:
                self.memory.give(b.address, b.rows * b.pitch)
            raise
        self.live[name] = _Live(made, (0, 0))
        return self.live[name]

    def _provide(self, names: tuple[str, ...], rows: Span, stripe: Stripe) -> None:
        """The rows are in the activation memory afterwards; those of tensors in DRAM are loaded."""
        for name in names:
            live = self.live.get(name)
            if live is not None and live.ready[0] <= rows[0] and rows[1] <= live.ready[1]:
                continue
            home = self.homes[name]
            s = self.network.stored[name]
            first, stop = stripe.loads.get(name, rows)
            if live is not None:
                self._drop(name)
            live = self._buffers(name, first, stop)
            width, height = s.shape[1], s.shape[0]
            for plane, buffer in enumerate(live.buffers):
                beats = (stop - first) * width
                span = (buffer.address, buffer.address + beats)
                waits = self.activations.on_write(UNITS.index("LD"), self.count[UNITS.index("LD")] + 1, [span])
                store = UNITS.index("ST")
                waits[store] = max(waits[store], int(home.stored[first:stop].max(initial=0)))
                offset = home.place.offset + (plane * height + first) * width
                self._load("AM", waits, REGIONS.index(home.place.region), offset, buffer.address, beats)
            live.ready = (first, stop)

    def _target(self, layer: Layer, first: int, stop: int, segment: Segment) -> _Live:
        name = layer.output
        if name in self.live:
            return self.live[name]
        if name in segment.local or name not in self.plan.resident:
            return self._buffers(name, first, stop)
        return self._buffers(name, 0, self.network.stored[name].shape[0])

    def _store(self, name: str, first: int, stop: int) -> None:
        home, live = self.homes[name], self.live[name]
        height, width, _ = self.network.stored[name].shape
        for plane, buffer in enumerate(live.buffers):
            span = buffer.span(first, stop)
            waits = self.activations.on_read(UNITS.index("ST"), self.count[UNITS.index("ST")] + 1, [span])
            offset = home.place.offset + (plane * height + first) * width
            at = 0
            while at < span[1] - span[0]:  # BEATS has 16 bits
                beats = min(span[1] - span[0] - at, 0xFFFF)
                self._emit(
                    "ST", waits, REGION=REGIONS.index(home.place.region), OFFSET=offset + at, ADDRESS=span[0] + at,
                    BEATS=beats, ROWS=1,
                )  # fmt: skip
                at += beats
        home.stored[first:stop] = self.count[UNITS.index("ST")]

    # --- instructions ------------------------------------------------------------------------------------------------

    def _emit(self, opcode: str, waits: list[int], **fields: int) -> int:
        """Append an instruction; its number within its unit."""
        unit = UNITS.index(opcode)
        self.count[unit] += 1
        named = {f"WAIT_{u}": w for u, w in zip(UNITS, waits, strict=True)}
        self.steps.append(Step(opcode, named | fields, self.layer))
        return self.count[unit]

    def _load(
        self, dest: str, waits: list[int], region: int, offset: int, address: int, beats: int, **rows: int
    ) -> None:
        """One LD of ``beats`` consecutive beats, or of ``rows`` of them (ROWS, DRAM_STRIDE, LOCAL_STRIDE)."""
        self._emit(
            "LD", waits, DEST=DESTINATIONS.index(dest), REGION=region, OFFSET=offset, ADDRESS=address, BEATS=beats,
            **({"ROWS": 1} | rows),
        )  # fmt: skip

    def _constant(self, key: Hashable, data: NDArray[np.uint8] | bytes) -> int:
        """Offset in beats of bytes among the program's constants; equal keys share them."""
        if key not in self.placed:
            raw = bytes(data) if isinstance(data, bytes) else data.tobytes()
            self.placed[key] = len(self.constants) // BEAT
            self.constants += raw + bytes(-len(raw) % BEAT)
        return self.placed[key]

    def _hold(
        self, memory: str, key: Hashable, entries: int, data: NDArray[np.uint8] | bytes, beats: int, **shape: int
    ) -> tuple[int, Span]:
        """Entry where the data lie in a unit's memory, loaded when they are not there."""
        ring = self.rings[memory]
        at = ring.find(key)
        if at is None:
            at = ring.take(key, entries)
            number = self.count[UNITS.index("LD")] + 1
            waits = ring.tracker.on_write(UNITS.index("LD"), number, [(at, at + entries)])
            offset = self._constant((memory, key), data)
            scale = {"PW_WEIGHT": self.config.weight_beats, "PW_CONST": self.config.requant_lanes, "DW_WEIGHT": 4,
                     "DW_CONST": 8}.get(memory)  # fmt: skip
            address = at * scale if scale else at // 8
            self._load(memory, waits, REGIONS.index("PROGRAM"), offset, address, beats, **shape)
        return at, (at, at + entries)

    def _tables(self, unit: str, *tables: list[int]) -> tuple[list[int], list[tuple[str, Span]]]:
        """Entries of the tables of one instruction, and what of the memory they take."""
        memory = f"{unit}_TABLE"
        for _ in range(3):  # loading one may push another out
            found = []
            for bases in tables:
                beats, key = -(-len(bases) // 8), tuple(bases)
                data = b"" if key in self.rings[memory].held else np.array(bases, "<u2").tobytes()
                found.append(self._hold(memory, key, 8 * beats, data, beats))
            if all(self.rings[memory].find(tuple(b)) == at for b, (at, _) in zip(tables, found, strict=True)):
                return [at for at, _ in found], [(memory, span) for _, span in found]
        raise BackendError(
            f"layer {self.network.layers[self.layer].name} needs tables of {[len(t) for t in tables]} planes at once; "
            f"configuration {self.config.name} has room for {self.config.table_depth}"
        )

    def _buffer(self, word: Word) -> Buffer:
        return self.live[word[0]].buffers[word[1]]

    def _finish(
        self,
        unit: str,
        reads: list[Span],
        writes: list[Span],
        held: list[tuple[str, Span]],
        fields: dict[str, int],
    ) -> None:
        """Emit a compute instruction that waits for its operands, its constants and the room for its results."""
        index = UNITS.index(unit)
        number = self.count[index] + 1
        all_waits = [self.activations.on_read(index, number, reads), self.activations.on_write(index, number, writes)]
        all_waits += [self.rings[m].tracker.on_read(index, number, [span]) for m, span in held]
        waits = [max(w) for w in zip(*all_waits, strict=True)]
        self._emit(unit, waits, **fields)

    def _run_layer(self, number: int, layer: Layer, out: _Live, first: int, stop: int) -> None:
        packed = self.packed[number]
        pixels = (stop - first) * self.network.stored[layer.output].shape[1]
        entries = packed.constants.size // 16
        if isinstance(packed, ArrayLayer):
            cached = packed.subs * packed.weights.shape[1] <= self.config.weight_depth // 2
            cached &= entries <= self.config.const_depth * self.config.requant_lanes // 2
            for band in self._bands(first, stop, pixels * packed.subs * packed.weights.shape[1], cached):
                self._array(number, layer, packed, out, *band)
        else:
            cached = packed.weights.shape[0] * packed.weights.shape[1] <= self.config.dw_weight_depth // 2
            cached &= entries <= self.config.const_depth * 8 // 2
            for band in self._bands(first, stop, pixels * len(packed.words) * packed.weights.shape[1], cached):
                for part in self._parts(layer, packed, *band):
                    self._channels(number, layer, packed, out, part)

    def _bands(self, first: int, stop: int, cycles: int, cached: bool) -> list[Span]:
        """Rows in parts, so that the other unit can start on the first while this one makes the next."""
        rows = stop - first
        count = min(MOST_BANDS, rows // LEAST_ROWS, cycles // BAND_CYCLES) if cached else 1
        count = max(count, 1)
        return [(first + k * rows // count, first + (k + 1) * rows // count) for k in range(count)]

    def _geometry(self, layer: Layer, first: int, stop: int) -> dict[str, int]:
        view, out = layer.inputs[0], self.network.stored[layer.output]
        r = layer.requant
        return {
            "OH": stop - first, "OW": out.shape[1], "H": view.shape[0], "W": view.shape[1],
            "STRIDE_Y": layer.strides[0], "STRIDE_X": layer.strides[1],
            "DILATION_Y": layer.dilations[0], "DILATION_X": layer.dilations[1],
            "UP_Y": view.up[0], "UP_X": view.up[1], "ACT_SIGNED": int(layer.signed), "ZERO_POINT": layer.zero_point,
            "IY0": first * layer.strides[0] - layer.pads[0], "IX0": -layer.pads[1],
            "IN_PITCH": view.shape[1] >> view.up[1], "OUT_PITCH": out.shape[1],
            "OUT_OFFSET": (first * out.shape[1]) & 0xFFFF,
            "SHIFT": r.shift, "HALF_EVEN": int(r.half_even), "WRAP": int(r.wrap), "LO": r.lo, "HI": r.hi,
        }  # fmt: skip

    def _spans(self, words: Iterable[Word], rows: Span) -> list[Span]:
        return [self._buffer(w).span(*rows) for w in words]

    def _array(self, number: int, layer: Layer, p: ArrayLayer, out: _Live, first: int, stop: int) -> None:
        config = self.config
        steps = p.weights.shape[1]
        width = p.outputs
        pixels = (stop - first) * self.network.stored[layer.output].shape[1]
        whole = p.whole
        chunk = max(whole, min(CHUNK_CYCLES // max(1, pixels * steps), p.subs))
        room = config.const_depth * config.requant_lanes
        chunk = min(chunk, max(config.weight_depth // 4 // steps, 1), room // 4 // p.entries)
        chunk = max(chunk // whole * whole, whole)
        rows = layer.rows(layer.inputs[0], first, stop)
        reads, sources = self._spans(p.words, rows), [self._buffer(w).base for w in p.words]
        geometry = self._geometry(layer, first, stop)
        for sub in range(0, p.subs, chunk):
            count = min(chunk, p.subs - sub)
            key = (number, sub, count)  # stripes of other heights are cut into other chunks
            weights, w_span = self._hold("PW_WEIGHT", key, count * steps, p.weights[sub : sub + count],
                                         count * steps * config.weight_beats)  # fmt: skip
            entries = count * p.entries // config.requant_lanes
            constants = p.constants[sub * p.entries : (sub + count) * p.entries]
            consts, c_span = self._hold("PW_CONST", key, entries, constants, entries * config.requant_lanes)
            planes = range(sub * width // 16, -(-(sub + count) * width // 16))
            places = [out.buffers[k].base for k in planes if k < p.planes]
            # A base, a number modulo 2^16, may happen to be NOWHERE: then all are moved, and OUT_OFFSET moves back.
            move = next(d for d in range(len(places) + 1) if NOWHERE not in {(b + d) & 0xFFFF for b in places})
            bases = [(b + move) & 0xFFFF for b in places] + [NOWHERE] * (len(planes) - len(places))
            (table, out_table), spans = self._tables("PW", sources, bases)
            self._finish(
                "PW",
                reads,
                [out.buffers[k].span(first, stop) for k in planes if k < p.planes],
                [*spans, ("PW_WEIGHT", w_span), ("PW_CONST", c_span)],
                geometry
                | {
                    "PLANES": len(p.words), "SUBS": count, "KH": layer.kernel[0], "KW": layer.kernel[1],
                    "W8": int(p.w8), "SUM": int(p.sums), "SECOND_SIGNED": int(p.sums and layer.operand_signed),
                    "IN_TABLE": table, "OUT_TABLE": out_table, "WEIGHT_BASE": weights,
                    "CONST_BASE": consts, "OUT_OFFSET": (geometry["OUT_OFFSET"] - move) & 0xFFFF,
                },
            )  # fmt: skip

    def _parts(self, layer: Layer, p: ChannelLayer, first: int, stop: int) -> list[_Part]:
        """The instructions of a band of rows, but for its planes."""
        width = self.network.stored[layer.output].shape[1]
        most = max(1, ARGMAX_PIXELS // width) if layer.argmax else stop - first
        if layer.taps is None:
            fields = {"MODE": DW_MODES.index(_MODES[layer.kind]), "KH": layer.kernel[0], "KW": layer.kernel[1],
                      "KT": p.triples, "OUT_STEP_Y": 1, "OUT_STEP_X": 1, "ARGMAX": int(layer.argmax)}  # fmt: skip
            weights = None if layer.weight is None else p.weights
            bands = [(r, min(r + most, stop)) for r in range(first, stop, most)]
            return [_Part(r, end, None, weights, self._geometry(layer, r, end) | fields) for r, end in bands]
        wide = is_wide(layer.taps)
        rows = [found for run in runs(layer.taps[0]) if (found := run.within(first, stop)) is not None]
        columns, geometry = runs(layer.taps[1]), self._geometry(layer, first, stop)
        parts = []
        for row in (part for run in rows for part in run.parts(most)):
            for column in columns:
                fields = {
                    "OH": row.count, "OW": column.count, "IY0": row.source, "IX0": column.source,
                    "STRIDE_Y": row.stride, "STRIDE_X": column.stride, "KH": len(row.taps), "KW": len(column.taps),
                    "KT": 1 + wide, "WIDE": int(wide), "OUT_STEP_Y": row.step, "OUT_STEP_X": column.step,
                    "OUT_OFFSET": (row.first * width + column.first) & 0xFFFF, "MODE": DW_MODES.index("CONV"),
                    "ARGMAX": int(layer.argmax),
                }  # fmt: skip
                weights = np.repeat(tap_words(row.taps, column.taps, wide)[None], len(p.words), 0)
                key = (row.taps, column.taps, wide)
                last = row.first + (row.count - 1) * row.step + 1
                parts.append(_Part(row.first, last, key, weights, geometry | fields))
        return parts

    def _channels(self, number: int, layer: Layer, p: ChannelLayer, out: _Live, part: _Part) -> None:
        config = self.config
        first, stop = part.first, part.stop
        steps, entries = p.weights.shape[1], p.constants.shape[1]
        pixels = part.fields["OH"] * part.fields["OW"]
        chunk = max(1, min(CHUNK_CYCLES // max(1, pixels * max(steps, entries)), len(p.words)))
        chunk = min(chunk, max(config.dw_weight_depth // 4 // steps, 1), config.const_depth // 4 // entries)
        if layer.argmax:  # all planes are compared in one instruction
            chunk = len(p.words)
        rows = layer.rows(layer.inputs[0], first, stop)
        for at in range(0, len(p.words), chunk):
            words = p.words[at : at + chunk]
            held: list[tuple[str, Span]] = []
            fields = {"PLANES": len(words)}
            if part.weights is not None:
                n = len(words) * part.weights.shape[1]
                fields["WEIGHT_BASE"], span = self._hold(
                    "DW_WEIGHT",
                    (part.key, len(words)) if part.key else (number, at, len(words)),
                    n,
                    part.weights[at : at + chunk],
                    3,
                    ROWS=n,
                    DRAM_STRIDE=3,
                    LOCAL_STRIDE=4,
                )
                held.append(("DW_WEIGHT", span))
            n = len(words) * entries
            fields["CONST_BASE"], span = self._hold(
                "DW_CONST", (number, at, len(words)), n, p.constants[at : at + chunk], 8 * n
            )
            held.append(("DW_CONST", span))
            reads = self._spans(words, rows)
            targets = [out.buffers[0 if layer.argmax else k] for k in range(at, at + len(words))]
            tables = [[self._buffer(w).base for w in words], [b.base for b in targets]]
            if layer.kind == "add":
                operands = p.operands[at : at + chunk]
                other = layer.rows(layer.inputs[1], first, stop)
                reads += self._spans(operands, other)
                tables.append([self._buffer(w).base for w in operands])
                pitch = self._buffer(operands[0]).pitch
                fields |= {"OPERAND_PITCH": pitch, "OPERAND_OFFSET": (first * pitch) & 0xFFFF,
                           "OPERAND_SIGNED": int(layer.operand_signed)}  # fmt: skip
            elif layer.offsets is not None:
                planes = words_of(self.network, layer.offsets)
                reads += self._spans(planes, layer.rows(layer.offsets, first, stop))
                pitch = self._buffer(planes[0]).pitch
                at_row = [(self._buffer(w).base + first * pitch) & 0xFFFF for w in planes]
                fields |= {
                    "OPERAND_OFFSET": at_row[0],
                    "OPERAND_PITCH": pitch,
                    "OPERAND_SIGNED": int(layer.operand_signed),
                }
                name, channel = layer.offsets.refs[0]
                if layer.kind == "square":
                    fields["OFFSET_LANE"] = int(self.network.stored[name].lane[channel])
                else:
                    fields["OPERAND_TABLE"] = at_row[1]
            entries_at, spans = self._tables("DW", *tables)
            fields |= dict(zip(("IN_TABLE", "OUT_TABLE", "OPERAND_TABLE"), entries_at, strict=False))
            held += spans
            self._finish("DW", reads, [b.span(first, stop) for b in targets], held, part.fields | fields)


class Rehearsal(Emitter):
    """Gives places without a word of the program: so plans that do not fit are found out in no time."""

    def _run_layer(self, number: int, layer: Layer, out: _Live, first: int, stop: int) -> None:
        pass

    def _load(
        self, dest: str, waits: list[int], region: int, offset: int, address: int, beats: int, **rows: int
    ) -> None:
        pass

    def _store(self, name: str, first: int, stop: int) -> None:
        pass
