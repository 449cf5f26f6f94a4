# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes the program: loads constants, makes instructions wait for what they need."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, View
from bitwright.compile.backends.engine.memory import Buffer, Held, Ring, Span, Tracker
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.compile.backends.engine.place import Word, words_of
from bitwright.compile.backends.engine.program import LayerFacts, Piece, Place, Program, Step
from bitwright.compile.backends.engine.rehearse import Live, Rehearsal
from bitwright.compile.backends.engine.timing import time_steps
from bitwright.compile.backends.engine.upsample import tap_words
from bitwright.errors import BackendError
from bitwright.hw.config import BLOCKS, EngineConfig
from bitwright.hw.isa import ARGMAX_PIXELS, DESTINATIONS, DW_MODES, REGIONS, UNITS

#: Table entry of a word that is not written.
NOWHERE = 0xFFFF
#: Aim of the length of an instruction of the array, in cycles: long against its start, short against the layer.
CHUNK_CYCLES = 1200
#: Layers are cut into at most so many bands of at least so many rows and about so many cycles.
MOST_BANDS, LEAST_ROWS, BAND_CYCLES = 8, 2, 600
#: Beats of one ST, at most: BEATS has 16 bits.
MOST_BEATS = 0xFFFF
_MODES = {"conv": "CONV", "up": "CONV", "max": "MAX", "add": "ADD", "square": "DEFORM_SQUARE", "free": "DEFORM_FREE"}
_LD, _ST, _PW, _DW = range(len(UNITS))
Table = tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """Instructions of the depthwise unit that differ in their planes only.

    Attributes:
        first, stop: rows of the output. fields: of the instruction.
        taps: weights of rows and of columns, where they depend on nothing else; None: on the layer.
    """

    first: int
    stop: int
    fields: dict[str, int]
    taps: tuple[Table, Table, bool] | None = None


class _Use:
    """Rows of some planes that a layer reads or writes.

    Attributes:
        spans: of every plane. waits: for the units, before the plane is touched.
        numbers: of the last instruction that touches it.
    """

    def __init__(self, spans: list[Span], waits: NDArray[np.int32]) -> None:
        self.spans, self.waits, self.numbers = spans, waits.tolist(), [0] * len(spans)

    def take(self, planes: slice, number: int) -> list[int]:
        """What instruction ``number`` waits for, which touches these planes."""
        waits = self.waits[planes]
        self.numbers[planes] = [number] * len(waits)
        return list(map(max, *waits)) if len(waits) > 1 else waits[0]


def in_time(steps: list[Step], config: EngineConfig) -> list[Step]:
    """The instructions in the order in which they could start.

    The decoder works in order and stops at a full queue; so nothing that can start early may stand behind what starts
    late. Units keep their own order, and what an instruction waits for stands before it.
    """
    start = time_steps(steps, config, in_order=False).start
    return [steps[k] for k in sorted(range(len(steps)), key=start.__getitem__)]


def _table_piece(table: Table) -> bytes:
    return np.array(table, "<u2").tobytes()


def _tap_piece(rows: Table, columns: Table, wide: bool, planes: int) -> NDArray[np.uint8]:
    return np.repeat(tap_words(rows, columns, wide)[None], planes, 0)


class Emitter(Rehearsal):
    """One program."""

    def __post_init__(self) -> None:
        super().__post_init__()
        config = self.config
        self.activations = Tracker(BLOCKS << (config.index_bits + 2))
        # Beats of an entry; of tables an entry is an eighth of a beat.
        self.rings = {
            "PW_WEIGHT": Ring(config.weight_depth, config.weight_beats),
            "PW_CONST": Ring(config.const_depth, config.requant_lanes),
            "PW_TABLE": Ring(config.table_depth, align=8),
            "DW_WEIGHT": Ring(config.dw_weight_depth, 4),
            "DW_CONST": Ring(config.const_depth, 8),
            "DW_TABLE": Ring(config.table_depth, align=8),
        }
        self.steps: list[Step] = []
        self.count = [0] * len(UNITS)
        self.pieces: list[Piece] = []
        self.beats = 0  # of all pieces
        self.placed: dict[Hashable, int] = {}
        self.uses: dict[tuple[bool, int, Span], _Use] = {}

    # --- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> Program:
        """The program. Raises OutOfMemory when the plan does not fit, BackendError for what no plan can do."""
        network = self.network
        Rehearsal(network, self.config, self.plan, self.packed, dump=self.dump, mode=self.mode).walk()
        inputs, dumps = self.walk()
        found = {t: [self._view_place(v) for v in vs] for t, vs in network.outputs.items()}
        return Program(
            self.config.name, self.config.hash, in_time(self.steps, self.config), self.pieces, inputs, found, dumps,
            self.sizes, [self._facts(layer) for layer in network.layers], {},
        )  # fmt: skip

    def _view_place(self, view: View) -> Place:
        """An output that is made of parts of one stored tensor."""
        (name,) = view.names
        return self.homes[name].place.take(view.channel.tolist())

    def _facts(self, layer: Layer) -> LayerFacts:
        shape = self.network.stored[layer.output].shape
        macs = 0 if layer.weight is None else shape[0] * shape[1] * layer.weight.size
        return LayerFacts(layer.name, layer.kind, "PW" if layer.on_array else "DW", shape, macs, layer.nodes)

    # --- tensors -----------------------------------------------------------------------------------------------------

    def _fetch(self, name: str, live: Live, first: int, stop: int) -> None:
        home, (height, width, _) = self.homes[name], self.network.stored[name].shape
        stored = int(home.stored[first:stop].max(initial=0))
        spans = [b.span(first, stop) for b in live.buffers]
        before = self.activations.before_write(_LD, spans)
        before[:, _ST] = np.maximum(before[:, _ST], stored)
        self.activations.on_write(_LD, self._next(_LD, len(spans)), spans)
        for plane, (waits, (lo, hi)) in enumerate(zip(before.tolist(), spans, strict=True)):
            offset = home.place.offset + (plane * height + first) * width
            self._move("LD", waits, home.place.region, offset, lo, hi - lo, DEST=DESTINATIONS.index("AM"))

    def _store(self, name: str, first: int, stop: int) -> None:
        home, (height, width, _) = self.homes[name], self.network.stored[name].shape
        spans = [b.span(first, stop) for b in self.live[name].buffers]
        before = self.activations.before_read(spans)
        self.activations.on_read(_ST, self._next(_ST, len(spans)), spans)
        for plane, (waits, (lo, hi)) in enumerate(zip(before.tolist(), spans, strict=True)):
            offset = home.place.offset + (plane * height + first) * width
            self._move("ST", waits, home.place.region, offset, lo, hi - lo)
        home.stored[first:stop] = self.count[_ST]

    def _next(self, unit: int, instructions: int) -> range:
        """Numbers of the unit's next instructions."""
        return range(self.count[unit] + 1, self.count[unit] + 1 + instructions)

    # --- instructions ------------------------------------------------------------------------------------------------

    def _emit(self, opcode: str, waits: list[int], fields: dict[str, int]) -> None:
        self.count[UNITS.index(opcode)] += 1
        fields["WAIT_LD"], fields["WAIT_ST"], fields["WAIT_PW"], fields["WAIT_DW"] = waits
        self.steps.append(Step(opcode, fields, self.layer))

    def _move(
        self, opcode: str, waits: list[int], region: str, offset: int, address: int, beats: int, **more: int
    ) -> None:
        """An LD or ST of consecutive beats, or of ROWS of them (DRAM_STRIDE, LOCAL_STRIDE); of an LD also DEST."""
        fields = {"REGION": REGIONS.index(region), "OFFSET": offset, "ADDRESS": address, "BEATS": beats, "ROWS": 1}
        fields.update(more)
        self._emit(opcode, waits, fields)

    def _hold(self, memory: str, key: Hashable, entries: int, piece: Piece, beats: int, **shape: int) -> Held:
        """Entries that hold a piece of the constants in a unit's memory; it is loaded when it is not there."""
        ring = self.rings[memory]
        held = ring.held.get(key)
        if held is None:
            held, last = ring.take(key, entries, self.count[_LD] + 1)
            waits = [0] * len(UNITS)
            waits[UNITS.index(memory[:2])] = last
            offset = self.placed.get((memory, key))
            if offset is None:  # equal keys share the bytes
                offset = self.placed[memory, key] = self.beats
                self.pieces.append(piece)
                self.beats += beats * shape.get("ROWS", 1)
            address = held.start * ring.beats if ring.beats else held.start // 8
            self._move("LD", waits, "PROGRAM", offset, address, beats, DEST=DESTINATIONS.index(memory), **shape)
        return held

    def _tables(self, memory: str, *tables: Table) -> list[Held]:
        """The tables of one instruction."""
        held = self.rings[memory].held
        for _ in range(4):  # loading one may push another out
            found = [held[table] for table in tables if table in held]
            if len(found) == len(tables):
                return found
            for table in tables:
                beats = -(-len(table) // 8)
                self._hold(memory, table, 8 * beats, partial(_table_piece, table), beats)
        raise BackendError(
            f"layer {self.network.layers[self.layer].name} needs tables of {[len(t) for t in tables]} planes at once; "
            f"configuration {self.config.name} has room for {self.config.table_depth}"
        )

    def _buffer(self, word: Word) -> Buffer:
        return self.live[word[0]].buffers[word[1]]

    def _bases(self, words: Iterable[Word]) -> Table:
        return tuple([self._buffer(w).base for w in words])

    def _use(self, unit: int, writes: bool, which: int, rows: Span, buffers: Iterable[Buffer]) -> _Use:
        """Rows of the planes of an operand (by its number ``which``) or of the result.

        Nothing but the layer's instructions touches them while it runs, and these run in order: so the same rows are
        looked up once for a layer, and noted when it is done (`_note`).
        """
        use = self.uses.get((writes, which, rows))
        if use is None:
            spans = [b.span(*rows) for b in buffers]
            tracker = self.activations
            waits = tracker.before_write(unit, spans) if writes else tracker.before_read(spans)
            use = self.uses[writes, which, rows] = _Use(spans, waits)
        return use

    def _note(self, unit: int) -> None:
        for (writes, _, _), use in sorted(self.uses.items(), key=lambda item: item[1].numbers[-1]):
            assert 0 not in use.numbers, "every plane is touched"
            note = self.activations.on_write if writes else self.activations.on_read
            note(unit, use.numbers, use.spans)
        self.uses.clear()

    def _finish(
        self, opcode: str, waits: Sequence[list[int]], held: list[tuple[Ring, Held]], fields: dict[str, int]
    ) -> None:
        """Emit a compute instruction that waits for its operands, the room for its results and its constants."""
        number = self.count[UNITS.index(opcode)] + 1
        most = list(map(max, *waits))
        for ring, entries in held:
            ring.read[entries.start : entries.stop] = [number] * (entries.stop - entries.start)
        most[_LD] = max(most[_LD], *[entries.load for _, entries in held])
        self._emit(opcode, most, fields)

    def _run_layer(self, number: int, layer: Layer, out: Live, first: int, stop: int) -> None:
        packed = self.packed[number]
        pixels = (stop - first) * self.network.stored[layer.output].shape[1]
        if isinstance(packed, ArrayLayer):
            cached = packed.subs * packed.steps <= self.config.weight_depth // 2
            cached &= packed.subs * packed.entries <= self.config.const_depth * self.config.requant_lanes // 2
            bases = [b.base for b in out.buffers]
            for band in self._bands(first, stop, pixels * packed.subs * packed.steps, cached):
                self._array(number, layer, packed, out, bases, *band)
            self._note(_PW)
        else:
            words = len(packed.words)
            cached = words * packed.steps <= self.config.dw_weight_depth // 2
            cached &= words * packed.entries * 8 <= self.config.const_depth * 8 // 2
            for band in self._bands(first, stop, pixels * words * packed.steps, cached):
                for part in self._parts(layer, packed, *band):
                    self._channels(number, layer, packed, out, part)
            self._note(_DW)

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

    def _array(
        self, number: int, layer: Layer, p: ArrayLayer, out: Live, out_bases: list[int], first: int, stop: int
    ) -> None:
        config, width, whole = self.config, p.outputs, p.whole
        pixels = (stop - first) * self.network.stored[layer.output].shape[1]
        chunk = max(whole, min(CHUNK_CYCLES // max(1, pixels * p.steps), p.subs))
        room = config.const_depth * config.requant_lanes
        chunk = min(chunk, max(config.weight_depth // 4 // p.steps, 1), room // 4 // p.entries)
        chunk = max(chunk // whole * whole, whole)
        rows = layer.rows(layer.inputs[0], first, stop)
        reads = self._use(_PW, False, 0, rows, map(self._buffer, p.words))
        writes = self._use(_PW, True, 0, (first, stop), out.buffers)
        before = reads.take(slice(None), 0)
        sources = self._bases(p.words)
        common = self._geometry(layer, first, stop) | {
            "PLANES": len(p.words), "KH": layer.kernel[0], "KW": layer.kernel[1], "W8": int(p.w8), "SUM": int(p.sums),
            "SECOND_SIGNED": int(p.sums and layer.operand_signed),
        }  # fmt: skip
        rings = [self.rings[memory] for memory in ("PW_WEIGHT", "PW_CONST", "PW_TABLE", "PW_TABLE")]
        for sub in range(0, p.subs, chunk):
            subs = min(chunk, p.subs - sub)
            key = (number, sub, subs)  # stripes of other heights are cut into other chunks
            weights = self._hold("PW_WEIGHT", key, subs * p.steps, partial(p.weight_piece, sub, sub + subs),
                                 subs * p.steps * config.weight_beats)  # fmt: skip
            entries = subs * p.entries // config.requant_lanes
            constants = self._hold("PW_CONST", key, entries, partial(p.constant_piece, sub, sub + subs),
                                   entries * config.requant_lanes)  # fmt: skip
            planes = slice(sub * width // 16, -(-(sub + subs) * width // 16))
            bases = out_bases[planes]
            # A base, a number modulo 2^16, may happen to be NOWHERE: then all are moved, and OUT_OFFSET moves back.
            move = next(d for d in range(len(bases) + 1) if NOWHERE - d not in bases)
            padding = [NOWHERE] * (planes.stop - planes.start - len(bases))
            table = tuple([(b + move) & 0xFFFF for b in bases] + padding)
            in_table, out_table = self._tables("PW_TABLE", sources, table)
            self._finish(
                "PW",
                (before, writes.take(planes, self.count[_PW] + 1)),
                list(zip(rings, (weights, constants, in_table, out_table), strict=True)),
                common
                | {
                    "SUBS": subs, "IN_TABLE": in_table.start, "OUT_TABLE": out_table.start,
                    "WEIGHT_BASE": weights.start, "CONST_BASE": constants.start,
                    "OUT_OFFSET": (common["OUT_OFFSET"] - move) & 0xFFFF,
                },
            )  # fmt: skip
        reads.take(slice(None), self.count[_PW])

    def _parts(self, layer: Layer, p: ChannelLayer, first: int, stop: int) -> list[_Part]:
        """The instructions of a band of rows, but for its planes."""
        width = self.network.stored[layer.output].shape[1]
        most = max(1, ARGMAX_PIXELS // width) if layer.argmax else stop - first
        if layer.taps is None:
            fields = {"MODE": DW_MODES.index(_MODES[layer.kind]), "KH": layer.kernel[0], "KW": layer.kernel[1],
                      "KT": p.triples, "OUT_STEP_Y": 1, "OUT_STEP_X": 1, "ARGMAX": int(layer.argmax)}  # fmt: skip
            bands = [(r, min(r + most, stop)) for r in range(first, stop, most)]
            return [_Part(r, end, self._geometry(layer, r, end) | fields) for r, end in bands]
        even, columns = p.runs
        wide, geometry = p.triples > 1, self._geometry(layer, first, stop)
        rows = [found for run in even if (found := run.within(first, stop)) is not None]
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
                last = row.first + (row.count - 1) * row.step + 1
                parts.append(_Part(row.first, last, geometry | fields, (row.taps, column.taps, wide)))
        return parts

    def _channels(self, number: int, layer: Layer, p: ChannelLayer, out: Live, part: _Part) -> None:
        config = self.config
        band = first, stop = part.first, part.stop
        pixels = part.fields["OH"] * part.fields["OW"]
        chunk = max(1, min(CHUNK_CYCLES // max(1, pixels * max(p.steps, p.entries)), len(p.words)))
        chunk = min(chunk, max(config.dw_weight_depth // 4 // p.steps, 1), config.const_depth // 4 // p.entries)
        if layer.argmax:  # all planes are compared in one instruction
            chunk = len(p.words)
        reads = [layer.rows(view, first, stop) for view in layer.reads()]
        uses = [self._use(_DW, False, 0, reads[0], map(self._buffer, p.words))]
        if layer.kind == "add":
            uses.append(self._use(_DW, False, 1, reads[1], map(self._buffer, p.operands)))
        uses.append(self._use(_DW, True, 0, band, out.buffers))
        offsets: list[int] = []
        if layer.offsets is not None:
            planes = words_of(self.network, layer.offsets)
            moved = self._use(_DW, False, 2, reads[-1], map(self._buffer, planes))
            pitch = self._buffer(planes[0]).pitch
            offsets = [(self._buffer(w).base + first * pitch) & 0xFFFF for w in planes]
        for at in range(0, len(p.words), chunk):
            words = p.words[at : at + chunk]
            n = len(words)
            here, mine = slice(at, at + n), self.count[_DW] + 1
            key = (number, at, n)
            held: list[tuple[Ring, Held]] = []
            fields = part.fields | {"PLANES": n}
            if part.taps is not None or layer.weight is not None:
                steps = n * part.fields["KH"] * part.fields["KT"]
                piece = partial(_tap_piece, *part.taps, n) if part.taps else partial(p.weight_piece, at, at + n)
                entries = self._hold("DW_WEIGHT", (part.taps, n) if part.taps else key, steps, piece, 3, ROWS=steps,
                                     DRAM_STRIDE=3, LOCAL_STRIDE=4)  # fmt: skip
                fields["WEIGHT_BASE"] = entries.start
                held.append((self.rings["DW_WEIGHT"], entries))
            entries = self._hold(
                "DW_CONST", key, n * p.entries, partial(p.constant_piece, at, at + n), 8 * n * p.entries
            )
            fields["CONST_BASE"] = entries.start
            held.append((self.rings["DW_CONST"], entries))
            targets = [out.buffers[0].base] * n if layer.argmax else [b.base for b in out.buffers[here]]
            tables = [self._bases(words), tuple(targets)]
            # The labels are one plane, and all others are one chunk then.
            waits = [use.take(slice(None) if layer.argmax else here, mine) for use in uses]
            if layer.kind == "add":
                operands = p.operands[here]
                tables.append(self._bases(operands))
                pitch = self._buffer(operands[0]).pitch
                fields |= {"OPERAND_PITCH": pitch, "OPERAND_OFFSET": (first * pitch) & 0xFFFF,
                           "OPERAND_SIGNED": int(layer.operand_signed)}  # fmt: skip
            elif layer.offsets is not None:
                waits.append(moved.take(slice(None), mine))
                fields |= {"OPERAND_OFFSET": offsets[0], "OPERAND_PITCH": pitch,
                           "OPERAND_SIGNED": int(layer.operand_signed)}  # fmt: skip
                name, channel = layer.offsets.refs[0]
                if layer.kind == "square":
                    fields["OFFSET_LANE"] = int(self.network.stored[name].lane[channel])
                else:
                    fields["OPERAND_TABLE"] = offsets[1]
            for field, entries in zip(
                ("IN_TABLE", "OUT_TABLE", "OPERAND_TABLE"), self._tables("DW_TABLE", *tables), strict=False
            ):
                fields[field] = entries.start
                held.append((self.rings["DW_TABLE"], entries))
            self._finish("DW", waits, held, fields)
