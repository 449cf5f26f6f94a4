# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Headers of .bit files and the conversion for the processor's configuration port."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from bitwright.host.bitfile import SYNC, BitFile, check_part, read_bit, same_device, swap_words
from bitwright.host.errors import BundleError
from tests.build.tools import bit


def test_a_header_byte_by_byte(tmp_path: Path) -> None:
    made = BitFile("top", "7z020clg400", "2026/11/21", "14:00:00", SYNC).encode()
    assert made == bytes.fromhex(
        "0009" "0ff00ff00ff00ff000" "0001" "61" "0004" "746f7000" "62" "000c" "377a303230636c6734303000"
        "63" "000b" "323032362f31312f323100" "64" "0009" "31343a30303a303000" "65" "00000004" "aa995566"
    )  # fmt: skip
    path = tmp_path / "x.bit"
    path.write_bytes(made)
    found = read_bit(path)
    assert (found.design, found.part, found.date, found.time) == ("top", "7z020clg400", "2026/11/21", "14:00:00")
    assert found.to_bin() == bytes.fromhex("665599aa") and found.encode() == made


def test_words_are_turned_around() -> None:
    data = bytes(range(64))
    assert swap_words(data) == np.frombuffer(data, "i4").byteswap().tobytes() and swap_words(swap_words(data)) == data
    with pytest.raises(BundleError, match="63 bytes is not made of 32-bit words"):
        swap_words(data[:63])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:-5], r"x\.bit: 115 bytes of configuration, the header says 120: cut short"),
        (lambda raw: raw[:40], r"x\.bit: .*(cut short|damaged)"),
        (lambda raw: raw[:13] + b"z" + raw[14:], "field 'a' of the header is damaged"),
        (lambda raw: b"PK" + raw, r"no \.bit file \(it has no header"),
        (lambda raw: raw[-80:], r"no \.bit file .*perhaps a \.bin without header"),
        (lambda raw: swap_words(raw[-120:]), r"no \.bit file .*bytes are turned around"),
        (lambda raw: b"", r"no \.bit file"),
    ],
)
def test_damaged_files(tmp_path: Path, change, message: str) -> None:
    raw = bit("7z020clg400")
    assert len(read_bit_bytes(tmp_path, raw).data) == 120
    (tmp_path / "x.bit").write_bytes(change(raw))
    with pytest.raises(BundleError, match=message):
        read_bit(tmp_path / "x.bit")


def read_bit_bytes(folder: Path, raw: bytes) -> BitFile:
    (folder / "x.bit").write_bytes(raw)
    return read_bit(folder / "x.bit")


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    raw = bit("xczu3eg-sbva484-1-i")
    for n in range(len(raw)):
        with pytest.raises(BundleError):
            read_bit_bytes(tmp_path, raw[:n])


@pytest.mark.parametrize(
    ("header", "part", "same"),
    [
        ("7z020clg400", "xc7z020clg400-1", True),
        ("xc7z020clg400-1", "xc7z020clg400-1", True),
        ("7z010clg400", "xc7z020clg400-1", False),
        ("7z020clg484", "xc7z020clg400-1", False),
        ("xczu3eg-sbva484-1-i", "xczu3eg-sbva484-1-e", True),
        ("xczu3eg-sfvc784-2-e", "xczu3eg-sbva484-1-e", False),
        ("xck26-sfvc784-2LV-c", "xck26-sfvc784-2LV-c", True),
        ("xck26-sfvc784", "xck26-sfvc784-2LV-c", True),
        ("xczu48dr-ffvg1517-2-e", "xczu28dr-ffvg1517-2-e", False),
    ],
)
def test_parts(header: str, part: str, same: bool) -> None:
    assert same_device(header, part) is same
    made = BitFile("top", header, "", "", struct.pack(">I", 0))
    if same:
        check_part(made, part, "x.bit")
    else:
        with pytest.raises(BundleError, match=f"x.bit: the bitstream is for {header}, this is {part}"):
            check_part(made, part, "x.bit")
