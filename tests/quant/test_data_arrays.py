# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reading files of numpy: exact values, every rule, damaged files."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitwright.quant.data.arrays import read_npz
from bitwright.quant.data.detection import DataError


def test_npz_gives_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    x = np.random.default_rng(0).random((4, 3, 2)).astype(">f4")
    np.savez_compressed(path, x=np.asfortranarray(x), y=np.asarray([3, 0, 1, 3], np.uint8))
    found = read_npz(path)
    assert list(found) == ["x", "y"] and found["x"].dtype == np.dtype("=f4") and found["y"].dtype == np.int64
    assert found["x"].flags.c_contiguous and found["y"].tolist() == [3, 0, 1, 3]
    np.testing.assert_array_equal(found["x"], x)
    np.savez(path, x=np.asarray([[255, 0]], np.uint8))
    found = read_npz(path)
    assert list(found) == ["x"] and found["x"].dtype == np.uint8 and found["x"].tolist() == [[255, 0]]


X = np.zeros((3, 2), np.float32)
NOT_FINITE = np.asarray([[0, 1], [0, np.nan], [np.inf, 0]], np.float32)
BAD_ARRAYS: dict[str, tuple[dict[str, object], str]] = {
    "x missing": ({"y": [0]}, r"no array 'x' with the samples; it has y"),
    "nothing": ({}, r"no array 'x' with the samples; it has none at all"),
    "unknown": ({"x": X, "labels": [0]}, r"an array 'labels'; known are x \(samples\) and y \(labels\)"),
    "float64": ({"x": X.astype(float)}, r"x must be float32 or uint8, found float64; convert it with"),
    "int8": ({"x": X.astype(np.int8)}, r"x must be float32 or uint8, found int8"),
    "one axis": ({"x": X[0]}, r"x must be \(N, \.\.\.\) .*, found \(2,\)"),
    "no sample": ({"x": X[:0]}, r"x must be \(N, \.\.\.\) with at least one sample .*, found \(0, 2\)"),
    "not finite": ({"x": NOT_FINITE}, r"x\[1, 1\] is nan; every value must be finite"),
    "pickled": ({"x": np.asarray([{}, {}], object)}, r"not a whole \.npz file of plain numbers \(Object arrays"),
    "labels float": ({"x": X, "y": [0.0, 1, 2]}, r"y must be labels of an integer type, found float64"),
    "labels bool": ({"x": X, "y": [True, False, True]}, r"y must be labels of an integer type, found bool"),
    "labels few": ({"x": X, "y": [0, 1]}, r"y must be one label for each of the 3 samples, shape \(3,\), found \(2,\)"),
    "labels in rows": ({"x": X, "y": [[0], [1], [2]]}, r"y must be one label .* shape \(3,\), found \(3, 1\)"),
    "labels negative": ({"x": X, "y": [0, -1, 2]}, r"y\[1\] is -1; labels count from 0"),
    "labels huge": ({"x": X, "y": np.asarray([0, 2**63, 1], np.uint64)}, r"y\[1\] is 9223372036854775808; labels"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays(kind: str, tmp_path: Path) -> None:
    arrays, message = BAD_ARRAYS[kind]
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"/a\.npz: " + message):
        read_npz(tmp_path / "a.npz")


def zipped(content: str | bytes, name: str = "x.npy", method: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr(name, content)

    return write


def npy(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(16)


def encrypted(path: Path) -> None:
    np.savez(path, x=X)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, r"cannot be read \(No such file"),
    "a folder": (lambda p: p.mkdir(), r"cannot be read \(Is a directory"),
    "empty": (lambda p: p.write_bytes(b""), r"not a whole \.npz file"),
    "text": (lambda p: p.write_text("1 2 3"), r"not a whole \.npz file"),
    "a single array": (lambda p: np.save(p.open("wb"), X), r"a single array, .* write it with numpy\.savez"),
    "no array in it": (zipped("hello"), r"'x' is no array; write the file with numpy\.savez"),
    "no .npy in it": (zipped("hello", "x"), r"'x' is no array"),
    "negative shape": (zipped(npy("(-1, 2)")), r"not a whole \.npz file"),
    "shape beyond 64 bits": (zipped(npy(f"({10**30}, 2)")), r"not a whole \.npz file"),
    "shape beyond memory": (zipped(npy("(1099511627776, 2)")), r"not a whole \.npz file"),
    "shape of truths": (zipped(npy("(True, 2)")), r"not a whole \.npz file"),
    "fewer values": (zipped(npy("(3, 2)")), r"not a whole \.npz file"),
    "encrypted": (encrypted, r"not a whole \.npz file .*encrypted"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_of_numpy(kind: str, tmp_path: Path) -> None:
    damage, message = BAD_FILES[kind]
    damage(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"/a\.npz: " + message) as caught:
        read_npz(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


@settings(
    deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    where=st.integers(0, 2000),
    value=st.integers(0, 255),
    kept=st.integers(20, 2000),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]),
)
def test_damaged_files_of_numpy_are_read_or_named(
    where: int, value: int, kept: int, method: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    zipped(npy("(2, 2)"), method=method)(path)
    content = bytearray(path.read_bytes())
    content[where % len(content)] = value
    path.write_bytes(content[:kept])
    try:
        found = read_npz(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert found["x"].dtype in (np.float32, np.uint8) and found["x"].ndim >= 2
