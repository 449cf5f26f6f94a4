# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A compiled program: instructions and constants, and where the host puts inputs and finds outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Fold
from bitwright.errors import BackendError
from bitwright.hw.isa import INSTRUCTION_BYTES, UNITS, decode, encode, header

#: Version of program.json.
LAYOUT_VERSION = 1
CODE, LAYOUT = "program.bin", "program.json"
BEAT = 16

#: Makes bytes of the constants when they are asked for.
Piece = Callable[[], "NDArray[np.uint8] | bytes"]


@dataclass(frozen=True)
class Place:
    """A tensor in DRAM: planes one after the other, each H * W words of 16 channels.

    Attributes:
        region: of hw.isa.REGIONS. offset: in beats. shape: (H, W, C) of the image.
        plane, lane: where each channel lies. signed: how its bytes are read.
        fold: the host packs windows of a row (inputs only).
    """

    region: str
    offset: int
    shape: tuple[int, int, int]
    planes: int
    plane: tuple[int, ...]
    lane: tuple[int, ...]
    signed: bool
    fold: Fold | None = None

    @property
    def beats(self) -> int:
        """Size in beats of 16 bytes."""
        return self.planes * self.shape[0] * self.shape[1]

    def take(self, channels: Sequence[int]) -> Place:
        """The place of some of the channels."""
        plane, lane = (tuple(places[c] for c in channels) for places in (self.plane, self.lane))
        return replace(self, shape=(*self.shape[:2], len(channels)), plane=plane, lane=lane)

    def pack(self, x: NDArray[Any], memory: NDArray[np.uint8]) -> None:
        """Write integers (H, W, C), or the image before folding, into the region's bytes."""
        height, width, _ = self.shape
        if self.fold is not None:
            x = folded(x, self.fold, width)
        area = memory[self.offset * BEAT : (self.offset + self.beats) * BEAT].reshape(self.planes, height, width, BEAT)
        area[...] = 0
        area[list(self.plane), :, :, list(self.lane)] = np.moveaxis(x, 2, 0).astype(np.int64).astype(np.uint8)

    def unpack(self, memory: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Integers (H, W, C)."""
        height, width, _ = self.shape
        area = memory[self.offset * BEAT : (self.offset + self.beats) * BEAT].reshape(self.planes, height, width, BEAT)
        taken = np.moveaxis(area[list(self.plane), :, :, list(self.lane)], 0, 2)
        return (taken.view(np.int8) if self.signed else taken).astype(np.int64)


def folded(x: NDArray[Any], fold: Fold, width: int) -> NDArray[Any]:
    """Windows of every row as channels: (H, W, C) -> (H, width, kernel * C)."""
    need = (width - 1) * fold.stride + fold.kernel
    right = max(need - fold.left - fold.width, 0)
    wide = np.pad(x, ((0, 0), (fold.left, right), (0, 0)), constant_values=fold.fill)
    parts = [wide[:, j : j + (width - 1) * fold.stride + 1 : fold.stride] for j in range(fold.kernel)]
    return np.concatenate(parts, axis=2)


@dataclass(slots=True)
class Step:
    """An instruction before it is encoded. ``layer`` is the number of the layer that it works for."""

    opcode: str
    fields: dict[str, int]
    layer: int

    @property
    def beats(self) -> int:
        """Beats that an LD or ST moves."""
        return self.fields["BEATS"] * self.fields["ROWS"] if self.opcode in ("LD", "ST") else 0


@dataclass(frozen=True)
class LayerFacts:
    """What reports say of a layer. macs: that it does, without those of the padded array. nodes: of the graph."""

    name: str
    kind: str
    unit: str
    shape: tuple[int, int, int]
    macs: int
    nodes: tuple[str, ...]


@dataclass
class Program:
    """What the engine runs.

    Attributes:
        steps: instructions, END left out. pieces: of the constants that follow them, each from a new beat on.
        inputs, outputs: places by IR tensor; an output has one place for each byte, lowest first.
        dumps: places of stored tensors that were asked to be kept, by name.
        sizes: beats of the regions WORK, INPUT, OUTPUT.
        layers: of the network, in order. shapes: of the output tensors.
    """

    config: str
    config_hash: int
    steps: list[Step]
    pieces: list[Piece]
    inputs: dict[str, Place]
    outputs: dict[str, list[Place]]
    dumps: dict[str, Place]
    sizes: dict[str, int]
    layers: list[LayerFacts]
    shapes: dict[str, tuple[int, ...]]

    @cached_property
    def constants(self) -> bytes:
        """Bytes that follow the instructions, addressed from their own start; figures of a program need none."""
        made = [bytes(piece()) for piece in self.pieces]
        return b"".join(part + bytes(-len(part) % BEAT) for part in made)

    def encode(self) -> bytes:
        """The bytes of the PROGRAM region."""
        base = (len(self.steps) + 2) * INSTRUCTION_BYTES // BEAT
        parts = [header(self.config_hash, len(self.steps) + 1)]
        totals = dict.fromkeys(UNITS, 0)
        for step in self.steps:
            totals[step.opcode] += 1
            fields = dict(step.fields)
            if step.opcode == "LD" and fields["REGION"] == 0:
                fields["OFFSET"] += base
            parts.append(encode(step.opcode, **fields))
        for unit, count in totals.items():
            if count > 0xFFFF:
                raise BackendError(f"the program has {count} {unit} instructions; the engine counts to 65535")
        parts.append(encode("END", **{f"WAIT_{u}": n for u, n in totals.items()}))
        return b"".join(parts) + self.constants

    def regions(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """Fresh memory of every region for one frame; inputs by tensor, (1, *shape)."""
        regions = {name: np.zeros(BEAT * beats, np.uint8) for name, beats in self.sizes.items()}
        regions["PROGRAM"] = np.frombuffer(self.encode(), np.uint8).copy()
        self.pack(inputs, regions)
        return regions

    def pack(self, inputs: Mapping[str, NDArray[Any]], regions: Mapping[str, NDArray[np.uint8]]) -> None:
        """Write one frame of inputs, (1, *shape) by tensor, into the regions."""
        for name, place in self.inputs.items():
            x = inputs[name][0]
            place.pack(x.reshape((1,) * (3 - x.ndim) + x.shape), regions[place.region])

    def results(self, regions: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.int64]]:
        """Outputs of one frame by tensor, (1, *shape)."""
        found = {}
        for name, places in self.outputs.items():
            value = np.zeros(places[0].shape, np.int64)
            for byte, place in enumerate(places):
                value += place.unpack(regions[place.region]) << (8 * byte)
            if len(places) > 1:  # bytes of a two's complement number
                half = 1 << (8 * len(places) - 1)
                value = ((value + half) & (2 * half - 1)) - half
            found[name] = value.reshape(1, *self.shapes[name])
        return found

    def save(self, folder: Path) -> None:
        """Write program.bin (the PROGRAM region) and program.json (everything else)."""
        (folder / CODE).write_bytes(self.encode())
        layout = asdict(replace(self, steps=[], pieces=[]))
        del layout["steps"], layout["pieces"]
        layout |= {"version": LAYOUT_VERSION, "instruction_layers": [s.layer for s in self.steps]}
        (folder / LAYOUT).write_text(json.dumps(layout) + "\n", encoding="utf-8")


def load_program(folder: Path) -> Program:
    """What `Program.save` wrote. Raises BackendError naming the file and what is wrong with it."""
    try:
        layout = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
        code = (folder / CODE).read_bytes()
        if layout.get("version") != LAYOUT_VERSION:
            raise BackendError(
                f"{folder / LAYOUT}: version {layout.get('version')!r}, this bitwright reads {LAYOUT_VERSION}; "
                "compile again"
            )
        owners = layout["instruction_layers"]
        base = (len(owners) + 2) * INSTRUCTION_BYTES
        steps = []
        for k, owner in enumerate(owners):
            opcode, fields = decode(code[INSTRUCTION_BYTES * (k + 1) : INSTRUCTION_BYTES * (k + 2)])
            if opcode == "LD" and fields["REGION"] == 0:
                fields["OFFSET"] -= base // BEAT
            steps.append(Step(opcode, fields, owner))
        return Program(
            layout["config"], layout["config_hash"], steps, [lambda: code[base:]],
            {k: _read_place(p) for k, p in layout["inputs"].items()},
            {k: [_read_place(p) for p in ps] for k, ps in layout["outputs"].items()},
            {k: _read_place(p) for k, p in layout["dumps"].items()},
            layout["sizes"],
            [LayerFacts(**(f | {"shape": tuple(f["shape"]), "nodes": tuple(f["nodes"])})) for f in layout["layers"]],
            {k: tuple(v) for k, v in layout["shapes"].items()},
        )  # fmt: skip
    except OSError as error:
        raise BackendError(f"{error.filename}: cannot be read: {error.strerror}; compile the model again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"{folder}: the engine project is damaged ({error}); compile the model again") from None


def _read_place(values: dict[str, Any]) -> Place:
    fold = values.pop("fold")
    lists = {k: tuple(values[k]) for k in ("shape", "plane", "lane")}
    return Place(**(values | lists), fold=Fold(**fold) if fold else None)
