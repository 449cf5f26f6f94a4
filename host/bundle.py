# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads a bundle (docs/bundle.md) and checks that it is whole and fits."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError, InputError
from bitwright.host.packing_finn import FinnWord
from bitwright.host.tensors import MODES, Beat, Quantizer

SCHEMA = 1
MANIFEST = "manifest.json"
#: Most bytes that an archive may unpack to.
LARGEST = 2 << 30
_UNPACKED: list[tempfile.TemporaryDirectory[str]] = []  # they are removed when the process ends


@dataclass(frozen=True)
class InputPort:
    """A model input: shape per sample as in the model; tensor axis i is model axis perm[i].

    Attributes:
        itype: of the integers, as the manifest writes it ('uint4'). lo, hi: their bounds.
    """

    name: str
    shape: tuple[int, ...]
    tensor: str
    tensor_shape: tuple[int, ...]
    perm: tuple[int, ...]
    lo: int
    hi: int
    quantizer: Quantizer | None
    beat: Beat
    itype: str

    @property
    def integers(self) -> str:
        """Type, by its name in QONNX, and range, for messages."""
        name = "BINARY" if self.itype == "uint1" else self.itype.upper()
        return f"{name} ({self.lo}..{self.hi})"

    @property
    def expected(self) -> str:
        """What the model takes, for messages."""
        if self.quantizer is not None:
            return f"real numbers, which are quantized to {self.integers}"
        return f"integers of type {self.integers}"

    def to_tensor(self, q: NDArray[Any]) -> NDArray[Any]:
        """Model layout to tensor layout, batch first in both."""
        return q.transpose(0, *(p + 1 for p in self.perm))

    def from_tensor(self, q: NDArray[Any]) -> NDArray[Any]:
        """Tensor layout to model layout, batch first in both."""
        return q.transpose(0, *(self.perm.index(k) + 1 for k in range(len(self.perm))))

    def check_range(self, q: NDArray[Any], name: str) -> None:
        """Raises InputError: no integers, or out of the bounds that the compiler counted on."""
        if q.dtype.kind not in "iu":
            raise InputError(f"{name}: type is {q.dtype}, expected are integers of type {self.integers}")
        limits = np.iinfo(q.dtype)
        if q.size and (limits.min < self.lo or limits.max > self.hi):
            least, most = int(q.min()), int(q.max())
            if least < self.lo or most > self.hi:
                raise InputError(f"{name}: values {least}..{most} leave the range of {self.integers}")


@dataclass(frozen=True)
class OutputPort:
    """A model output: model axis i is tensor axis perm[i]; real = scale * q + offset, then the host operations."""

    name: str
    shape: tuple[int, ...]
    tensor: str
    tensor_shape: tuple[int, ...]
    perm: tuple[int, ...]
    scale: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
    host_ops: tuple[tuple[str, Mapping[str, Any]], ...]
    beat: Beat

    def to_model(self, q: NDArray[Any]) -> NDArray[Any]:
        """Tensor layout to model layout, batch first in both."""
        return q.transpose(0, *(p + 1 for p in self.perm))

    @property
    def channel_axis(self) -> int | None:
        """Model axis (batch counted) of per-channel scales: that of the tensor's last axis."""
        return self.perm.index(len(self.perm) - 1) + 1 if self.perm else None


@dataclass(frozen=True)
class FinnEnd:
    """An end of a FINN accelerator: the tensor, the words of its stream, the DMA core that carries it."""

    tensor: str
    word: FinnWord
    core: str


@dataclass(frozen=True)
class Bundle:
    """A checked bundle."""

    root: Path
    manifest: Mapping[str, Any]
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]

    @property
    def program(self) -> Path:
        """Folder of the integer program (graph.json, constants.npz)."""
        return self.root / str(self.manifest["program"])

    @property
    def project(self) -> Path | None:
        """Folder of the backend's project."""
        name = self.manifest.get("project")
        return self.root / str(name) if name else None

    def artifact(self, kind: str) -> Path | None:
        """'bitstream' or 'hwh', if built."""
        name = self.manifest["artifacts"].get(kind)
        return self.root / str(name) if name else None

    def finn_ends(self) -> tuple[tuple[FinnEnd, ...], tuple[FinnEnd, ...]]:
        """Inputs and outputs of a bundle for FINN. Raises BundleError."""
        path = (self.project or self.root) / "streams.json"
        cores = self.manifest.get("build", {}).get("finn", {}).get("cores", {})
        try:
            streams = json.loads(path.read_text(encoding="utf-8"))
            inputs, outputs = (
                tuple(
                    FinnEnd(
                        name, FinnWord(s["bits"], s["signed"], s["elements_per_word"], s.get("bipolar", False)),
                        cores.get(side, {}).get(name, f"{side[0]}dma{k}"),
                    )
                    for k, (name, s) in enumerate(streams[side].items())
                )
                for side in ("inputs", "outputs")
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: missing or damaged ({error}); compile the model again") from None
        for ends, ports in ((inputs, self.inputs), (outputs, self.outputs)):
            if {e.tensor for e in ends} != {p.tensor for p in ports}:
                raise BundleError(
                    f"{path}: streams of {sorted(e.tensor for e in ends)}, the manifest has "
                    f"{sorted({p.tensor for p in ports})}; compile the model again"
                )
        return inputs, outputs

    @property
    def identity(self) -> str:
        """A hash of what the network takes, gives and computes, as far as the golden vectors tell: not of the build."""
        golden = sorted(str(f) for files in self.manifest["golden"].values() if isinstance(files, dict)
                        for f in files.values())  # fmt: skip
        known = self.manifest.get("files", {})
        facts = [self.manifest["inputs"], self.manifest["outputs"], [known.get(f) for f in golden]]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def golden(self) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
        """Golden integers by tensor name: inputs, outputs; (frames, *tensor shape)."""
        both = self.manifest["golden"]
        return self._arrays(both["inputs"]), self._arrays(both["outputs"])

    def _arrays(self, files: Mapping[str, str]) -> dict[str, NDArray[np.int64]]:
        return {name: np.load(self.root / file, allow_pickle=False).astype(np.int64) for name, file in files.items()}


def load_bundle(folder: str | Path, check_hashes: bool = True) -> Bundle:
    """Read a bundle, a folder or a .zip of one (which is unpacked until the process ends).

    Raises BundleError: missing, another schema, a changed or missing file, a broken field.
    """
    root = Path(folder)
    if zipfile.is_zipfile(root):
        root = _unpacked(root)
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{root}: not a bundle (it has no {MANIFEST}); make one with `bitwright compile`") from None
    except NotADirectoryError:
        raise BundleError(f"{root}: a bundle is a folder or a .zip of one, this is another file") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON ({error}); compile the model again") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise BundleError(f"{path}: schema {found!r}, this runtime reads {SCHEMA}; compile the model again")
    if check_hashes:
        _check_files(root, manifest)
    try:
        inputs = tuple(_input(p) for p in manifest["inputs"])
        outputs = tuple(_output(p) for p in manifest["outputs"])
        _ = manifest["program"], manifest["artifacts"]["bitstream"], manifest["board"], manifest["part"]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BundleError(f"{path}: a field is missing or broken ({error}); compile the model again") from None
    return Bundle(root, manifest, inputs, outputs)


def _unpacked(archive: Path) -> Path:
    """The folder with the manifest in an unpacked archive."""
    held = tempfile.TemporaryDirectory(prefix="bitwright-")
    _UNPACKED.append(held)
    root = Path(held.name)
    try:
        with zipfile.ZipFile(archive) as opened:
            size = sum(entry.file_size for entry in opened.infolist())
            if size > LARGEST:
                raise BundleError(f"{archive}: {size:,} bytes unpacked, at most {LARGEST:,} are taken")
            opened.extractall(root)  # it keeps names inside of root
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise BundleError(f"{archive}: cannot be unpacked: {error}; copy it again") from None
    inner = list(root.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else root


def _check_files(root: Path, manifest: Mapping[str, Any]) -> None:
    for name, digest in manifest.get("files", {}).items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(f"{root / MANIFEST}: the file {name!r} lies outside the bundle; do not use this bundle")
        try:
            found = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except OSError as error:
            raise BundleError(f"{root / name}: cannot be read: {error.strerror}; compile the model again") from None
        if found != digest:
            raise BundleError(
                f"{root / name}: sha256 {found[:12]}… is not {digest[:12]}… of the manifest: "
                "changed or damaged; compile the model again"
            )


def _input(p: Mapping[str, Any]) -> InputPort:
    quantizer = None
    if p["quantize"] is not None:
        q = p["quantize"]
        if q["rounding"] not in MODES:
            raise ValueError(f"rounding {q['rounding']}")
        quantizer = Quantizer(
            Fraction(q["scale"]), q["zero_point"], q["lo"], q["hi"], q["rounding"], q["zero_point_inside"]
        )
    return InputPort(
        p["name"], tuple(p["shape"]), p["tensor"], tuple(p["tensor_shape"]), tuple(p["perm"]), p["lo"], p["hi"],
        quantizer, Beat(p["beat"]["bits"], p["beat"]["signed"]), str(p["itype"]),
    )  # fmt: skip


def _output(p: Mapping[str, Any]) -> OutputPort:
    scale = offset = None
    if p["affine"] is not None:
        shape = tuple(p["affine"]["shape"])
        scale, offset = (
            np.asarray([float(Fraction(v)) for v in p["affine"][k]]).reshape(shape) for k in ("scale", "offset")
        )
    ops = tuple((o["op"], dict(o["attributes"])) for o in p["host_ops"])
    return OutputPort(
        p["name"], tuple(p["shape"]), p["tensor"], tuple(p["tensor_shape"]), tuple(p["perm"]), scale, offset, ops,
        Beat(p["beat"]["bits"], p["beat"]["signed"]),
    )  # fmt: skip
