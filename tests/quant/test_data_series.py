# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Time series as in NAB: values, anomalous rows, windows, and every kind of fault of the two files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.series import Series, read_series, windows


def write(path: Path, *rows: str, header: str = "timestamp,value") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def hours(count: int, first: int = 0) -> list[str]:
    return [f"2026-01-01 {k:02d}:00:00,{k}.5" for k in range(first, first + count)]


def marks(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_values_and_times(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv", "x,2026-01-01 00:00:00,-1.5e3", '"a,b",2026-01-01T00:05:00.25, 7 ', "", ",2026-01-02, 0.1",
        header="note, timestamp ,value",
    )  # fmt: skip
    found = read_series(path)
    assert found.values.tolist() == [-1500, 7, 0.1] and found.values.dtype == np.float64
    expected = ["2026-01-01T00:00:00", "2026-01-01T00:05:00.25", "2026-01-02"]
    np.testing.assert_array_equal(found.times, np.asarray(expected, "datetime64[us]"))
    assert found.times.dtype == "datetime64[us]" and found.anomalous.tolist() == [False] * 3


def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"\xef\xbb\xbftimestamp,value\r\n2026-01-01,1\r\n2026-01-02,2\r\n")
    assert read_series(path).values.tolist() == [1, 2]


def test_offsets_from_utc_are_taken_into_account(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv", "2026-01-01 02:00:00+02:00,1", "2026-01-01T00:30:00Z,2", "2025-12-31 20:00-05:00,3"
    )
    found = read_series(path, marks(tmp_path / "w.json", {"s.csv": [["2026-01-01 01:30+01:00", "2026-01-01 01:00Z"]]}))
    expected = ["2026-01-01T00:00", "2026-01-01T00:30", "2026-01-01T01:00"]
    np.testing.assert_array_equal(found.times, np.asarray(expected, "datetime64[us]"))
    assert found.anomalous.tolist() == [False, True, True]


def test_clocks_may_be_put_back_by_an_hour(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "2026-10-25 02:59:00,1", "2026-10-25 01:59:00,2", "2026-10-25 01:59:00,3")
    assert read_series(path).values.tolist() == [1, 2, 3]
    write(path, "2026-10-25 02:59:00,1", "2026-10-25 01:58:59,2")
    with pytest.raises(
        DataError, match=r"line 3: the time goes back by more than an hour, from 2026-10-25 02:59:00 to"
    ):
        read_series(path)


def test_windows_mark_their_ends_too(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", *hours(8))
    entry = [["2026-01-01 01:00:00.000000", "2026-01-01 02:00:00"], ["2026-01-01 04:30", "2026-01-01 05:30"]]
    found = read_series(path, marks(tmp_path / "w.json", {"other.csv": [], "s.csv": entry}))
    assert np.flatnonzero(found.anomalous).tolist() == [1, 2, 5]
    assert not read_series(path, marks(tmp_path / "w.json", {"s.csv": []})).anomalous.any()


def test_the_entry_is_found_by_its_path(tmp_path: Path) -> None:
    one = [["2026-01-01 00:00:00", "2026-01-01 00:00:00"]]
    content = {"a/s.csv": [], "deep/a/s.csv": one, "b/s.csv": [], "c/t.csv": one}
    where = marks(tmp_path / "w.json", content)
    for folder, marked in (("deep/a", 1), ("a", 0), ("b", 0)):
        path = write(tmp_path / folder / "s.csv", *hours(2))
        assert read_series(path, where).anomalous.sum() == marked
    assert read_series(write(tmp_path / "elsewhere" / "t.csv", *hours(2)), where).anomalous.sum() == 1
    with pytest.raises(DataError, match=r"w\.json: .*x/s\.csv could be any of a/s\.csv, deep/a/s\.csv, b/s\.csv; keep"):
        read_series(write(tmp_path / "x" / "s.csv", *hours(2)), where)
    with pytest.raises(DataError, match=r'w\.json: no entry for .*u\.csv; .* an empty list: "u\.csv": \[\]'):
        read_series(write(tmp_path / "u.csv", *hours(2)), where)


ROW = "2026-01-01 00:00:00,1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"line 1 must name the columns timestamp and value, once each, found \[\]"),
        (b"time,value\n", r"line 1 must name .* found \['time', 'value'\]"),
        (b"timestamp,value,value\n2026-01-01,1,2\n", r"line 1 must name .* found \['timestamp', 'value', 'value'\]"),
        (b"timestamp,value\n\n", r"holds no rows below the header"),
        (f"timestamp,value\n{ROW},2\n".encode(), r"line 2: 3 fields, but the header has 2"),
        (f"timestamp,value\n{ROW}\n2026-01-02\n".encode(), r"line 3: 1 fields, but the header has 2"),
        (b"timestamp,value\n2026-01-01,one\n", r"line 2: the value must be a finite number, found 'one'"),
        (b"timestamp,value\n2026-01-01,\n", r"line 2: the value must be a finite number, found ''"),
        (f"timestamp,value\n{ROW}\n2026-01-01,nan\n".encode(), r"line 3: the value must be .* found 'nan'"),
        (b"timestamp,value\n2026-01-01,1e999\n", r"line 2: the value must be a finite number, found '1e999'"),
        (b"timestamp,value\nyesterday,1\n", r"line 2: the time must be ISO 8601 like .*, found 'yesterday'"),
        (b"timestamp,value\n2026-02-30,1\n", r"line 2: the time must be ISO 8601 like .*, found '2026-02-30'"),
        (b"timestamp,value\n0001-01-01 00:00+05:00,1\n", r"line 2: the time must be ISO 8601 .*, found '0001-01-01"),
        (f"timestamp,value\n{ROW}\n2026-01-01 01:00Z,1\n".encode(), r"line 3: all times .* found '2026-01-01 01"),
        (b"timestamp,value\n\xff\xfe,1\n", r"not a CSV file \("),
        (b"timestamp,value\n" + b"1" * 140_000 + b",1\n", r"not a CSV file \(field larger"),
    ],
)  # fmt: skip
def test_bad_series(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"/s\.csv: " + message) as caught:
        read_series(path)
    assert "\n" not in str(caught.value)


WINDOW = ["2026-01-01 01:00", "2026-01-01 02:00"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"not JSON \("),
        ("[" * 100_000, r"not JSON \("),
        ([], r"must be an object \{"),
        ({"s.csv": "none"}, r"'s\.csv' must be a list of windows, found \"none\""),
        ({"s.csv": WINDOW}, r"window 1 of 's\.csv' must be a pair of times, found \"2026-01-01 01:00\""),
        ({"s.csv": [WINDOW, [*WINDOW, 3]]}, r"window 2 of 's\.csv' must be a pair of times, found \["),
        ({"s.csv": [[1, 2]]}, r"window 1 of 's\.csv': the time must be ISO 8601 .*, found '1'"),
        (
            {"s.csv": [WINDOW[::-1]]},
            r"window 1 of 's\.csv' ends at 2026-01-01 01:00:00, before it begins at .* 02:00:00",
        ),
        (
            {"s.csv": [["2027-01-01", "2027-01-02"]]},
            r"the window 2027-01-01 00:00:00 to 2027-01-02 00:00:00 holds no row of .*s\.csv, which runs from "
            r"2026-01-01 00:00:00 to 2026-01-01 03:00:00",
        ),
        ({"s.csv": [["2026-01-01 01:30", "2026-01-01 01:40"]]}, r"the window .* holds no row of"),
        ({"s.csv": [[f"{t}+02:00" for t in WINDOW]]}, r"window 1 of 's\.csv': all times .* offset .*unlike .*s\.csv"),
        ({"s.csv": [[WINDOW[0], f"{WINDOW[1]}Z"]]}, r"window 1 of 's\.csv': all times .* offset from UTC, or none"),
    ],
)
def test_bad_windows(content: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", *hours(4))
    with pytest.raises(DataError, match=r"/w\.json: " + message):
        read_series(path, marks(tmp_path / "w.json", content))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/s\.csv: cannot be read \(No such file"):
        read_series(tmp_path / "s.csv")
    with pytest.raises(DataError, match=r": cannot be read \(Is a directory"):
        read_series(tmp_path)
    with pytest.raises(DataError, match=r"/w\.json: cannot be read \(No such file"):
        read_series(write(tmp_path / "s.csv", *hours(2)), tmp_path / "w.json")


def series(values: np.ndarray, anomalous: np.ndarray) -> Series:
    return Series(np.arange(len(values)).astype("datetime64[us]"), values, anomalous)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(count=st.integers(1, 30), length=st.integers(1, 30), step=st.integers(1, 12), seed=st.integers(0, 99))
def test_windows_are_slices(count: int, length: int, step: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = series(rng.random(count), rng.random(count) < 0.2)
    if length > count:
        with pytest.raises(DataError, match=rf"a window of {length} values does not fit into a series of {count}"):
            windows(whole, length, step)
        return
    values, anomalous = windows(whole, length, step)
    starts = range(0, count - length + 1, step)
    assert values.tolist() == [whole.values[k : k + length].tolist() for k in starts]
    assert anomalous.tolist() == [bool(whole.anomalous[k : k + length].any()) for k in starts]
    values[:] = -1  # a copy
    assert (whole.values >= 0).all()


@pytest.mark.parametrize(("length", "step", "name"), [(0, 1, "length"), (-3, 1, "length"), (2, 0, "step")])
def test_windows_check_their_arguments(length: int, step: int, name: str) -> None:
    with pytest.raises(DataError, match=rf"^{name} of the windows must be at least 1, got {min(length, step)}$"):
        windows(series(np.zeros(5), np.zeros(5, bool)), length, step)
