# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's tensors in memory (docs/engine.md, 2.1): where the compiler put every channel, packing and unpacking.

A tensor is planes of H * W words of 16 channels. A word whose 16 lanes are consecutive channels is copied as one
element, other lanes one by one, each for the whole plane: numpy is slow where its innermost loop is a few bytes long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError

LAYOUT_VERSION = 1
CODE, LAYOUT = "program.bin", "program.json"
WORD = 16  # bytes


@dataclass(frozen=True)
class Run:
    """Channels first .. first + count - 1 lie in lanes lane .. lane + count - 1 of a plane."""

    plane: int
    lane: int
    first: int
    count: int

    @property
    def whole(self) -> bool:
        """All lanes of the word."""
        return self.count == WORD


def runs_of(plane: tuple[int, ...], lane: tuple[int, ...]) -> tuple[Run, ...]:
    """Channels as few runs as possible, in channel order."""
    found: list[Run] = []
    for c, (p, k) in enumerate(zip(plane, lane, strict=True)):
        last = found[-1] if found else None
        if last is not None and last.plane == p and last.lane + last.count == k:
            found[-1] = Run(p, last.lane, last.first, last.count + 1)
        else:
            found.append(Run(p, k, c, 1))
    return tuple(found)


@dataclass(frozen=True)
class Fold:
    """The host packs windows of every row into channels (compile/backends/engine/layers.py):

    channel j * channels + c at (y, x) is image[y, x * stride + j - left, c], or ``fill`` outside the image.
    """

    width: int
    channels: int
    kernel: int
    stride: int
    left: int
    fill: int


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Attributes:
        region: of the engine. offset: in words. shape: (H, W, C), after folding. planes: how many.
        runs: of channels. signed: how bytes are read. fold: of an input image.
    """

    region: str
    offset: int
    shape: tuple[int, int, int]
    planes: int
    runs: tuple[Run, ...]
    signed: bool
    fold: Fold | None = None
    _wide: list[NDArray[np.uint8]] = field(default_factory=list, repr=False, compare=False)

    def area(self, region: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The tensor's bytes of a region as (planes, H, W, 16)."""
        height, width, _ = self.shape
        size = self.planes * height * width * WORD
        return region[self.offset * WORD : self.offset * WORD + size].reshape(self.planes, height, width, WORD)

    def pack(self, x: NDArray[Any], area: NDArray[np.uint8]) -> None:
        """Write 8-bit integers (H, W, C), of an image before folding, into an area whose unused lanes are zero."""
        image = self._folded(x) if self.fold is not None else x
        if any(r.whole for r in self.runs):
            image = np.ascontiguousarray(image).astype(np.uint8, copy=False)
        for r in self.runs:
            if r.whole:
                _words(area[r.plane])[...] = _words(image, r.first)
                continue
            for k in range(r.count):
                np.copyto(area[r.plane, :, :, r.lane + k], image[:, :, r.first + k], casting="unsafe")

    def unpack(self, area: NDArray[np.uint8], out: NDArray[Any]) -> None:
        """Read the bytes of every channel into out (H, W, C)."""
        for r in self.runs:
            if r.whole and out.flags.c_contiguous:
                _words(out, r.first)[...] = _words(area[r.plane])
                continue
            for k in range(r.count):
                out[:, :, r.first + k] = area[r.plane, :, :, r.lane + k]

    def _folded(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Windows as a view of the padded image: consecutive columns already lie as (tap, channel)."""
        f = self.fold
        assert f is not None
        height, width, channels = self.shape
        columns = max((width - 1) * f.stride + f.kernel, f.left + f.width)
        if not self._wide:
            self._wide.append(np.full((height, columns, f.channels), f.fill & 0xFF, np.uint8))
        wide = self._wide[0]
        for c in range(f.channels):
            np.copyto(wide[:, f.left : f.left + f.width, c], x[:, :, c], casting="unsafe")
        strides = (wide.strides[0], f.stride * f.channels, 1)
        return np.lib.stride_tricks.as_strided(wide, (height, width, channels), strides, writeable=False)


@dataclass(frozen=True)
class EngineLayout:
    """What the host needs of an engine program.

    Attributes:
        config: name of the engine's configuration. version, config_hash: that the engine's registers must show.
        code: bytes of the PROGRAM region. sizes: bytes of the other regions.
        inputs, outputs: places by tensor; an output has one for each byte of its values, lowest first.
        shapes: of the output tensors.
    """

    config: str
    version: int
    config_hash: int
    code: NDArray[np.uint8]
    sizes: Mapping[str, int]
    inputs: Mapping[str, Place]
    outputs: Mapping[str, tuple[Place, ...]]
    shapes: Mapping[str, tuple[int, ...]]

    def pack(self, tensors: Mapping[str, NDArray[Any]], region: NDArray[np.uint8]) -> None:
        """One frame of inputs, by tensor, into the INPUT region."""
        for name, place in self.inputs.items():
            x = tensors[name]
            place.pack(x.reshape((1,) * (3 - x.ndim) + x.shape), place.area(region))

    def unpack(self, region: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Outputs of one frame by tensor, from the OUTPUT region, in the narrowest integer type that holds them."""
        found = {}
        for name, places in self.outputs.items():
            count = len(places)
            if count == 1:
                value: NDArray[Any] = np.empty(places[0].shape, np.int8 if places[0].signed else np.uint8)
                places[0].unpack(places[0].area(region), value.view(np.uint8))
            else:
                wide = 1 << (count - 1).bit_length()  # bytes of a numpy integer
                value = np.empty(places[0].shape, f"<i{wide}")
                parts = value.view(np.uint8).reshape(*places[0].shape, wide)
                for k, place in enumerate(places):
                    place.unpack(place.area(region), parts[..., k])
                parts[..., count:] = np.where(parts[..., count - 1 : count] > 127, 255, 0)  # two's complement
            found[name] = value.reshape(self.shapes[name])
        return found


def _words(x: NDArray[np.uint8], first: int = 0) -> NDArray[Any]:
    """The 16 channels from ``first`` of every pixel of contiguous x (H, W, C) as one element each: (H, W)."""
    return np.ndarray(x.shape[:2], "V16", x, first, x.strides[:2])


def load_layout(project: Path) -> EngineLayout:
    """Read program.bin and program.json of a bundle of the engine. Raises BundleError."""
    try:
        layout = json.loads((project / LAYOUT).read_text(encoding="utf-8"))
        code = np.fromfile(project / CODE, np.uint8)
        if layout.get("version") != LAYOUT_VERSION:
            raise BundleError(
                f"{project / LAYOUT}: version {layout.get('version')!r}, this runtime reads {LAYOUT_VERSION}; "
                "compile the model again"
            )
        version, config_hash = code[4:12].view("<u4").tolist()
        return EngineLayout(
            layout["config"], version, config_hash, code, {k: WORD * n for k, n in layout["sizes"].items()},
            {k: _place(p) for k, p in layout["inputs"].items()},
            {k: tuple(_place(p) for p in ps) for k, ps in layout["outputs"].items()},
            {k: tuple(v) for k, v in layout["shapes"].items()},
        )  # fmt: skip
    except OSError as error:
        raise BundleError(f"{error.filename}: cannot be read: {error.strerror}; compile the model again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{project}: the engine project is damaged ({error}); compile the model again") from None


def _place(p: Mapping[str, Any]) -> Place:
    height, width, channels = p["shape"]
    return Place(
        p["region"], p["offset"], (height, width, channels), p["planes"],
        runs_of(tuple(p["plane"]), tuple(p["lane"])), p["signed"], Fold(**p["fold"]) if p["fold"] else None,
    )  # fmt: skip
