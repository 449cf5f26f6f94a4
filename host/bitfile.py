# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads and writes .bit files: a header that names design and part, then the configuration data.

The header is a list of fields: two of fixed content, then design name, part, date and time, each a letter, a length of
two bytes and a text that ends with zero, then 'e', a length of four bytes and the data. Lengths are big endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitwright.host.errors import BundleError

_MAGIC = bytes.fromhex("0009 0ff00ff00ff00ff000 0001")
#: First word of a configuration after the bus width detection; the .bin of the processor has its bytes turned around.
SYNC = bytes.fromhex("aa995566")


@dataclass(frozen=True)
class BitFile:
    """A bitstream with its header. part: as the tool wrote it, such as 7z020clg400 or xczu3eg-sbva484-1-i."""

    design: str
    part: str
    date: str
    time: str
    data: bytes

    def encode(self) -> bytes:
        """The bytes of the .bit file."""
        fields = b""
        for letter, text in zip(b"abcd", (self.design, self.part, self.date, self.time), strict=True):
            raw = text.encode("ascii") + b"\0"
            fields += bytes([letter]) + struct.pack(">H", len(raw)) + raw
        return _MAGIC + fields + b"e" + struct.pack(">I", len(self.data)) + self.data

    def to_bin(self) -> bytes:
        """The .bin file that a Zynq's configuration port takes: the bytes of every 32-bit word turned around."""
        return swap_words(self.data)


def swap_words(data: bytes) -> bytes:
    """Turn the bytes of every 32-bit word around. Raises BundleError: no whole words."""
    if len(data) % 4:
        raise BundleError(f"a configuration of {len(data)} bytes is not made of 32-bit words: the file is damaged")
    return np.frombuffer(data, ">u4").astype("<u4").tobytes()


def read_bit(path: str | Path) -> BitFile:
    """Read a .bit file. Raises BundleError: not readable, no header (a .bin has none), cut short."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw.startswith(_MAGIC):
        kind = "a .bin, whose bytes are turned around" if SYNC[::-1] in raw[:256] else "another kind of file"
        hint = "a .bin without header" if SYNC in raw[:256] else kind
        raise BundleError(f"{path}: no .bit file (it has no header; perhaps {hint}); use the .bit of the build")
    at, texts = len(_MAGIC), []
    try:
        for letter in b"abcd":
            (size,) = struct.unpack_from(">H", raw, at + 1)
            text = raw[at + 3 : at + 3 + size]
            if raw[at] != letter or len(text) != size or text[-1:] != b"\0":
                raise BundleError(f"{path}: field {chr(letter)!r} of the header is damaged; build the bitstream again")
            texts.append(text[:-1].decode("ascii", "replace"))
            at += 3 + size
        (size,) = struct.unpack_from(">I", raw, at + 1)
        if raw[at : at + 1] != b"e":
            raise BundleError(f"{path}: field 'e' of the header is damaged; build the bitstream again")
    except (struct.error, IndexError):
        raise BundleError(f"{path}: the header is cut short; build or copy the bitstream again") from None
    data = raw[at + 5 :]
    if len(data) != size:
        raise BundleError(
            f"{path}: {len(data)} bytes of configuration, the header says {size}: cut short; copy the file again"
        )
    design, part, date, time = texts
    return BitFile(design, part, date, time, data)


def same_device(header: str, part: str) -> bool:
    """Whether the part of a header is the device and package of a full part name; the header may lack prefix and speed.

    Example: 7z020clg400 and xc7z020clg400-1.
    """

    def short(name: str) -> str:
        # The 7 series writes device and package as one word: xc7z020clg400-1, but xczu3eg-sbva484-1-i.
        words = name.lower().removeprefix("xc").split("-")
        return words[0] if words[0].startswith("7") else "-".join(words[:2])

    return short(header) == short(part)


def check_part(bit: BitFile, part: str, where: str | Path) -> None:
    """Refuse a bitstream for another device. Raises BundleError with both parts."""
    if not same_device(bit.part, part):
        raise BundleError(f"{where}: the bitstream is for {bit.part}, this is {part}; use the one built for this board")
