# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A compiled program: instructions and constants, and where the host puts inputs and finds outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Fold
from bitwright.errors import BackendError
from bitwright.hw.isa import INSTRUCTION_BYTES, encode, header

#: Version of program.json.
LAYOUT_VERSION = 1
BEAT = 16


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


@dataclass
class Step:
    """An instruction before it is encoded. ``layer`` is the number of the layer that it works for."""

    opcode: str
    fields: dict[str, int]
    layer: int


@dataclass
class Program:
    """What the engine runs.

    Attributes:
        steps: instructions, END left out. constants: bytes that follow them, addressed from their own start.
        inputs, outputs: places by IR tensor; an output has one place for each byte, lowest first.
        dumps: places of stored tensors that were asked to be kept, by name.
        work_beats, input_beats, output_beats: sizes of the regions.
        layers: (name, unit) of every layer, for reports. shapes: of the output tensors.
    """

    config: str
    config_hash: int
    steps: list[Step]
    constants: bytes
    inputs: dict[str, Place]
    outputs: dict[str, list[Place]]
    dumps: dict[str, Place] = field(default_factory=dict)
    work_beats: int = 0
    input_beats: int = 0
    output_beats: int = 0
    layers: list[tuple[str, str]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes of the PROGRAM region."""
        base = (len(self.steps) + 2) * INSTRUCTION_BYTES // BEAT
        parts = [header(self.config_hash, len(self.steps) + 1)]
        totals = {"LD": 0, "ST": 0, "PW": 0, "DW": 0}
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
        sizes = {"WORK": self.work_beats, "INPUT": self.input_beats, "OUTPUT": self.output_beats}
        regions = {name: np.zeros(BEAT * beats, np.uint8) for name, beats in sizes.items()}
        regions["PROGRAM"] = np.frombuffer(self.encode(), np.uint8).copy()
        for name, place in self.inputs.items():
            x = inputs[name][0]
            place.pack(x.reshape((1,) * (3 - x.ndim) + x.shape), regions[place.region])
        return regions

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
        """Write program.bin and program.json."""
        (folder / "program.bin").write_bytes(self.encode())
        layout = {
            "version": LAYOUT_VERSION,
            "config": self.config,
            "config_hash": self.config_hash,
            "inputs": {k: asdict(p) for k, p in self.inputs.items()},
            "outputs": {k: [asdict(p) for p in ps] for k, ps in self.outputs.items()},
            "regions": {"WORK": self.work_beats, "INPUT": self.input_beats, "OUTPUT": self.output_beats},
            "layers": self.layers,
            "instructions": [[s.opcode, s.layer] for s in self.steps],
        }
        (folder / "program.json").write_text(json.dumps(layout) + "\n")
