# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pascal VOC: Annotations/*.xml, ImageSets/Main/*.txt, JPEGImages/*."""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from functools import partial
from pathlib import Path

import numpy as np

from bitwright.quant.data.detection import (
    BoxSample,
    BoxSet,
    Complaints,
    DataError,
    check_readable,
    read_image,
    usable_boxes,
)


def read_voc(folder: Path, split: str, class_names: tuple[str, ...] = (), *, skip_bad: bool = False) -> BoxSet:
    """Read one split.

    Args:
        folder: holds the three folders.
        split: name of a file in ImageSets/Main, without its ending.
        class_names: in the order of the labels; empty takes all names in the annotations, sorted.
        skip_bad: leave out, count and name what cannot be used instead of raising.

    Raises:
        DataError: folder or split missing; a bad sample, unless ``skip_bad``.
    """
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not listing.is_file():
        known = sorted(p.stem for p in listing.parent.glob("*.txt"))
        hint = f"its splits are {', '.join(known)}" if known else "is this a folder in the layout of Pascal VOC?"
        raise DataError(f"{listing}: no such split; {hint}")
    try:
        names = [line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{listing}: not a text file ({error}); it holds one image name on each line") from None
    complaints = Complaints(skip_bad)
    known_names = class_names or tuple(sorted(_names_in(folder)))
    samples = []
    for name in names:
        sample = _sample(folder, name, known_names, complaints)
        if sample is not None:
            samples.append(sample)
    if not samples:
        raise DataError(f"{listing}: no usable sample in the split")
    return BoxSet(known_names, tuple(samples), tuple(complaints.said))


def _names_in(folder: Path) -> set[str]:
    found = set()
    for path in sorted((folder / "Annotations").glob("*.xml")):
        try:
            found |= {name for o in Xml.parse(path).iterfind("object") if (name := o.findtext("name"))}
        except (OSError, Xml.ParseError, LookupError, ValueError):
            continue  # complained about when its sample is read
    return found


def _sample(folder: Path, name: str, known: tuple[str, ...], complaints: Complaints) -> BoxSample | None:
    xml = folder / "Annotations" / f"{name}.xml"
    try:
        root = Xml.parse(xml).getroot()
    except OSError as error:
        complaints.add(f"{xml}: cannot be read ({error.strerror})")
        return None
    except (Xml.ParseError, LookupError, ValueError) as error:  # the last two for encodings it cannot use
        complaints.add(f"{xml}: not XML ({error})")
        return None
    picture = folder / "JPEGImages" / Path(root.findtext("filename") or f"{name}.jpg").name
    if not picture.is_file():
        picture = folder / "JPEGImages" / f"{name}.jpg"
    try:
        check_readable(picture)
        width, height = _size(root, picture)
    except DataError as error:
        complaints.add(str(error))
        return None
    boxes, labels, difficult = [], [], []
    for k, found in enumerate(root.iterfind("object")):
        label = found.findtext("name") or ""
        if label not in known:
            complaints.add(f"{xml}: object {k + 1} is a '{label}', which is none of the classes {', '.join(known)}")
            continue
        try:
            # Pixels count from 1 and the last one belongs to the box.
            left, top = (float(found.findtext(f"bndbox/{n}") or "nan") - 1 for n in ("xmin", "ymin"))
            right, bottom = (float(found.findtext(f"bndbox/{n}") or "nan") for n in ("xmax", "ymax"))
        except ValueError as error:
            complaints.add(f"{xml}: object {k + 1} has a bndbox that is no number ({error})")
            continue
        boxes.append((left, top, right, bottom))
        labels.append(known.index(label))
        difficult.append(found.findtext("difficult") == "1")
    good = usable_boxes(str(xml), boxes, width, height, complaints)
    inside = np.clip(np.reshape(boxes, (-1, 4)), 0, (width, height, width, height)).astype(np.float32)
    # What lies within the tolerance can be wholly outside.
    beyond = good & (inside[:, :2] >= inside[:, 2:]).any(1)
    for place in np.flatnonzero(beyond):
        corners = ", ".join(f"{v:g}" for v in boxes[place])
        complaints.add(f"{xml}: box {place + 1} ({corners}) lies outside the image of {width} x {height} pixels")
    good &= ~beyond
    if not good.any():
        complaints.add(f"{xml}: the annotation has no usable object")
        return None
    return BoxSample(
        name,
        partial(read_image, picture),
        inside[good],
        np.asarray(labels, np.int64)[good],
        np.asarray(difficult, bool)[good],
    )


def _size(root: Xml.Element, picture: Path) -> tuple[int, int]:
    """Of the picture itself: annotations may be wrong about it."""
    from PIL import Image

    with Image.open(picture) as opened:
        return opened.size
