# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Files and options that the user names on the command line."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError


class UsageError(BitwrightError):
    """An option or a file of the command line is wrong."""


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """NAME=1,3,32,32 -> {NAME: (1, 3, 32, 32)}."""
    shapes = {}
    for text in texts:
        name, _, dims = text.rpartition("=")
        try:
            shapes[name] = tuple(int(d) for d in dims.split(","))
        except ValueError:
            name = ""
        if not name or min(shapes[name]) < 1:
            raise UsageError(f"--shape {text}: NAME=1,3,32,32 is expected, positive integers, batch first")
    return shapes


def load_arrays(texts: Sequence[str], names: Sequence[str], option: str) -> dict[str, NDArray[Any]]:
    """[NAME=]x.npy of every name; a single input needs no name."""
    arrays = {}
    for name, path in assign(texts, names, option).items():
        arrays[name] = load_npy(path)
    missing = [n for n in names if n not in arrays]
    if arrays and missing:
        raise UsageError(f"{option} is missing for {missing}; give {option} {missing[0]}=FILE.npy")
    return arrays


def assign(texts: Sequence[str], names: Sequence[str], option: str) -> dict[str, Path]:
    """[NAME=]FILE of every name."""
    result: dict[str, Path] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not separator:
            if len(names) != 1:
                raise UsageError(f"{option} {text}: the model has {list(names)}; write {option} NAME={text}")
            name, file = names[0], text
        if name not in names:
            raise UsageError(f"{option} {text}: {name!r} is not one of {list(names)}")
        if name in result:
            raise UsageError(f"{option}: {name} is given twice")
        result[name] = Path(file)
    return result


def load_npy(path: Path) -> NDArray[Any]:
    """One array; nothing is unpickled."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path}: not a readable .npy file: {error}") from None
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{path}: an .npz archive; give one .npy file per input")
    return array


def save_arrays(arrays: Mapping[str, NDArray[Any]], texts: Sequence[str], force: bool) -> dict[str, str]:
    """Write outputs to [NAME=]y.npy; nothing is overwritten without ``force``."""
    targets = assign(texts, list(arrays), "--output")
    for path in targets.values():
        if path.exists() and not force:
            raise UsageError(f"{path}: exists already; choose another name or give --force")
    for name, path in targets.items():
        save_npy(path, arrays[name])
    return {name: str(path) for name, path in targets.items()}


def save_npy(path: Path, array: NDArray[Any]) -> None:
    """Write beside the target and rename, so that a failure leaves nothing half-written."""
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npy")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, array, allow_pickle=False)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def backend_options(config: Path | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Options of a backend from a TOML file and from KEY=VALUE pairs (dots nest; values are TOML)."""
    options: dict[str, Any] = {}
    if config is not None:
        try:
            options = tomllib.loads(config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{config}: no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{config}: cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{config}: not valid TOML: {error}") from None
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"--option {pair}: KEY=VALUE is expected")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text  # a bare word is a string
        *parents, last = key.split(".")
        place = options
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return options
