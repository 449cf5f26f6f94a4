# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Time series as in NAB: CSV of timestamp and value, and one JSON file with the windows that are anomalous.

Source of the format: A. Lavin, S. Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms - the Numenta Anomaly
Benchmark", ICMLA 2015; https://github.com/numenta/NAB.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import DataError

#: Clocks that are put back after summer time do so by one hour; a step back by more is a fault of the file.
_CLOCK_CHANGE = timedelta(hours=1)

_COLUMNS = ("timestamp", "value")
#: A time with an offset and one without cannot be compared.
_MIXED = "all times of a series and its windows must have an offset from UTC, or none"


@dataclass(frozen=True)
class Series:
    """One series, in the order of the file.

    Attributes:
        times: datetime64[us] (n,). With an offset from UTC in the file: in UTC; without one: as in the file.
            They can repeat, and go back by up to an hour: clocks are changed, and NAB has both.
        values: float64 (n,), finite.
        anomalous: bool (n,): true inside a window, its ends included; all false without a file of windows.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    anomalous: NDArray[np.bool_]


def read_series(csv_file: Path, windows_json: Path | None = None) -> Series:
    """Read one series and its anomalies.

    Args:
        csv_file: with a header that has the columns ``timestamp`` (ISO 8601) and ``value``; others are not looked at.
        windows_json: ``{"folder/file.csv": [[first, last], ...]}``, as NAB's combined_windows.json. The entry is
            the one whose key the path of ``csv_file`` ends with, or else the only one with its file name.

    Raises:
        DataError: a file cannot be read or breaks a rule (the message names the line or the window), or has no entry
            for the series.
    """
    times, values, offset = _rows(csv_file)
    stamps = np.asarray(times, "datetime64[us]")
    anomalous = np.zeros(len(values), bool)
    if windows_json is not None:
        for first, last in _windows_of(csv_file, windows_json, offset):
            inside = (stamps >= np.datetime64(first, "us")) & (stamps <= np.datetime64(last, "us"))
            if not inside.any():
                raise DataError(
                    f"{windows_json}: the window {first} to {last} holds no row of {csv_file}, "
                    f"which runs from {min(times)} to {max(times)}"
                )
            anomalous |= inside
    return Series(stamps, np.asarray(values, np.float64), anomalous)


def windows(series: Series, length: int, step: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cut a series into windows of ``length`` values that begin every ``step`` values; a shorter rest is left out.

    Returns:
        Values float64 (N, length), a copy, and anomalous bool (N,): true when any value of the window is anomalous.
        N = (n - length) // step + 1.

    Raises:
        DataError: ``length`` or ``step`` is below 1, or the series is shorter than one window.
    """
    for name, value in (("length", length), ("step", step)):
        if value < 1:
            raise DataError(f"{name} of the windows must be at least 1, got {value}")
    if len(series.values) < length:
        raise DataError(f"a window of {length} values does not fit into a series of {len(series.values)}")
    values = np.lib.stride_tricks.sliding_window_view(series.values, length)[::step].copy()
    marks = np.lib.stride_tricks.sliding_window_view(series.anomalous, length)[::step]
    return values, np.asarray(marks.any(axis=1))


def _rows(path: Path) -> tuple[list[datetime], list[float], bool]:
    """Times, values, and whether the times have an offset from UTC."""
    times: list[datetime] = []
    values: list[float] = []
    offset = False
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.reader(opened)
            header = [name.strip() for name in next(reader, [])]
            if any(header.count(name) != 1 for name in _COLUMNS):
                raise DataError(
                    f"{path}: line 1 must name the columns timestamp and value, once each, found {header[:8]}"
                )
            places = [header.index(name) for name in _COLUMNS]
            for row in reader:
                if not row:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(row) != len(header):
                    raise DataError(f"{where}: {len(row)} fields, but the header has {len(header)}")
                time, has_offset = _time(where, row[places[0]])
                if times and has_offset != offset:
                    raise DataError(f"{where}: {_MIXED}, found '{row[places[0]]}'")
                offset = has_offset
                if times and time < times[-1] - _CLOCK_CHANGE:
                    raise DataError(f"{where}: the time goes back by more than an hour, from {times[-1]} to {time}")
                times.append(time)
                values.append(_value(where, row[places[1]]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from None
    if not values:
        raise DataError(f"{path}: holds no rows below the header")
    return times, values, offset


def _value(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: the value must be a finite number, found '{text[:40]}'")
    return value


def _time(where: str, text: object) -> tuple[datetime, bool]:
    """The time, in UTC when it has an offset, and whether it has one."""
    try:
        time = datetime.fromisoformat(text.strip() if isinstance(text, str) else "")
        return (time, False) if time.tzinfo is None else (time.astimezone(UTC).replace(tzinfo=None), True)
    except (ValueError, OverflowError):
        raise DataError(
            f"{where}: the time must be ISO 8601 like 2014-04-01 00:05:00, found {str(text)[:40]!r}"
        ) from None


def _windows_of(csv_file: Path, path: Path, offset: bool) -> list[tuple[datetime, datetime]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f'{path}: must be an object {{"folder/file.csv": [[first, last], ...]}}')
    key = _key_of(csv_file, path, list(content))
    entry = content[key]
    if not isinstance(entry, list):
        raise DataError(f"{path}: '{key}' must be a list of windows, found {json.dumps(entry)[:40]}")
    found = []
    for k, window in enumerate(entry):
        where = f"{path}: window {k + 1} of '{key}'"
        if not isinstance(window, list) or len(window) != 2:
            raise DataError(f"{where} must be a pair of times, found {json.dumps(window)[:80]}")
        (first, first_offset), (last, last_offset) = (_time(where, text) for text in window)
        if {first_offset, last_offset} != {offset}:
            raise DataError(f"{where}: {_MIXED}, unlike {csv_file}; found {json.dumps(window)[:80]}")
        if first > last:
            raise DataError(f"{where} ends at {last}, before it begins at {first}")
        found.append((first, last))
    return found


def _key_of(csv_file: Path, path: Path, keys: list[str]) -> str:
    parts = csv_file.absolute().parts
    ending = [key for key in keys if key and parts[-len(Path(key).parts) :] == Path(key).parts]
    if ending:
        return max(ending, key=len)
    same_name = [key for key in keys if Path(key).name == csv_file.name]
    if len(same_name) == 1:
        return same_name[0]
    if same_name:
        raise DataError(f"{path}: {csv_file} could be any of {', '.join(same_name)}; keep it in a folder of that name")
    raise DataError(
        f'{path}: no entry for {csv_file}; a series without anomalies has an empty list: "{csv_file.name}": []'
    )
