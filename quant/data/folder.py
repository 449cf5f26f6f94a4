# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures in one folder for each class: root/split/class/picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bitwright.quant.data.detection import Complaints, DataError, check_readable, read_image
from bitwright.quant.data.labelled import LabelledSample, LabelledSet


def read_folder(root: Path, split: str, class_names: tuple[str, ...] = (), *, skip_bad: bool = False) -> LabelledSet:
    """Read one split. Samples come class by class, by file name; names that begin with a dot are passed over.

    Args:
        root: holds a folder for each split, which holds a folder for each class, which holds pictures and nothing else.
            What is a picture is decided by the content of the file, not by its ending.
        split: name of a folder in ``root``.
        class_names: in the order of the labels; empty takes the names of the folders, sorted.
        skip_bad: leave out, count and name what cannot be used instead of raising.

    Raises:
        DataError: folder or split missing; a bad sample, a class folder without samples, a folder that is no class,
            unless ``skip_bad``.
    """
    folder = root / split
    if not folder.is_dir():
        splits = subfolders(root)
        hint = f"its splits are {', '.join(splits)}" if splits else "is this a folder of split/class/picture?"
        raise DataError(f"{folder}: no such split; {hint}")
    complaints = Complaints(skip_bad)
    present = subfolders(folder)
    known = class_names or tuple(present)
    if not known:
        raise DataError(f"{folder}: holds no folders; every class has one, with its pictures in it")
    for name in present:
        if name not in known:
            complaints.add(f"{folder / name}: '{name}' is none of the classes {', '.join(known)}")
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            complaints.add(f"{path}: lies beside the folders of the classes, so it has no class")
    samples: list[LabelledSample] = []
    for label, name in enumerate(known):
        if name not in present:
            complaints.add(f"{folder / name}: no such folder, so the class '{name}' has no sample")
            continue
        files = readable_pictures(folder / name, complaints)
        samples += [LabelledSample(f"{name}/{file.name}", partial(read_image, file), label) for file in files]
    if not samples:
        raise DataError(f"{folder}: no usable sample ({len(complaints.said)} complaints)")
    return LabelledSet(known, tuple(samples), tuple(complaints.said))


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted; none when it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def readable_pictures(folder: Path, complaints: Complaints) -> list[Path]:
    """Whole pictures in the folder, by name; the rest, and a folder without any, is complained about."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            complaints.add(f"{path}: is a folder; pictures must lie in {folder} itself")
            continue
        try:
            check_readable(path)
        except DataError as error:
            complaints.add(str(error))
            continue
        found.append(path)
    if not found:
        complaints.add(f"{folder}: holds no usable picture")
    return found
