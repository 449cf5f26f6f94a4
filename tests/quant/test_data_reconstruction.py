# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Data of networks that rebuild their input: scaling, the cut between training and test, layouts, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.reconstruction import ReconstructionData, load_reconstruction
from bitwright.quant.recipe import Reconstruction


def npz(folder: Path, shape: tuple[int, ...]) -> ReconstructionData:
    return load_reconstruction(Reconstruction(name="reconstruction", format="npz"), folder, shape)


def save(folder: Path, x: np.ndarray, y: object = (0, 5, 0, 1)) -> None:
    np.savez(folder / "train.npz", x=x[:3])
    np.savez(folder / "test.npz", x=x, y=y)


def test_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 3), dtype=np.uint8)
    save(tmp_path, x)
    found = npz(tmp_path, (6,))
    assert found.train.dtype == found.test.dtype == np.float32
    np.testing.assert_array_equal(found.test, x.reshape(4, 6).astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(found.train, found.test[:3])
    assert found.anomalous.tolist() == [False, True, False, True]  # any label but 0
    assert found.facts == {"train_samples": 3, "test_samples": 4, "anomalous_test_samples": 2, "skipped": []}
    real = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    save(tmp_path, real)
    np.testing.assert_array_equal(npz(tmp_path, (1, 2, 3)).test, real.reshape(4, 1, 2, 3))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((4, 5, 3), (3, 4, 5)), ((5, 4), (1, 4, 5)), ((6, 10), (5, 12)), ((60,), (59,)), ((1, 4, 5), (20, 3))],
)
def test_axes_are_not_mixed_up(given: tuple[int, ...], wanted: tuple[int, ...], tmp_path: Path) -> None:
    save(tmp_path, np.zeros((4, *given), np.float32))
    with pytest.raises(DataError) as caught:
        npz(tmp_path, wanted)
    assert str(caught.value) == f"{tmp_path / 'train.npz'}: samples have shape {given}, the network takes {wanted}"


@pytest.mark.parametrize(("given", "wanted"), [((4, 5), (1, 4, 5)), ((4, 5, 1), (1, 4, 5)), ((20,), (1, 4, 5))])
def test_an_axis_of_one_may_be_missing(given: tuple[int, ...], wanted: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((4, *given), np.float32)
    save(tmp_path, x)
    np.testing.assert_array_equal(npz(tmp_path, wanted).test, x.reshape(4, *wanted))


def test_bad_arrays(tmp_path: Path) -> None:
    x = np.full((4, 6), 0.5, np.float32)
    with pytest.raises(DataError, match=r"train\.npz: cannot be read \(No such file"):
        npz(tmp_path, (6,))
    save(tmp_path, x)
    np.savez(tmp_path / "test.npz", x=x)
    with pytest.raises(DataError, match=r"test\.npz: holds no 'y'; the test needs 0 for normal and 1 for anomalous"):
        npz(tmp_path, (6,))
    for labels, counts in (((0, 0, 0, 0), "4 normal and 0"), ((1, 2, 3, 1), "0 normal and 4")):
        save(tmp_path, x, labels)
        with pytest.raises(DataError, match=rf"{tmp_path.name}: the test needs both kinds .* got {counts} anomalous"):
            npz(tmp_path, (6,))
    for worst, said in ((1.5, "0.5 to 1.5"), (-0.25, "-0.25 to 0.5")):
        bad = x.copy()
        bad[2, 3] = worst
        save(tmp_path, bad)
        with pytest.raises(DataError, match=rf"train\.npz: samples must lie in 0 to 1, got {said}; scale them"):
            npz(tmp_path, (6,))


def series(folder: Path, values: list[float], marked: tuple[int, int] | None, **more: object) -> Reconstruction:
    """One value a minute, the anomaly at the minutes ``marked``."""

    def minute(k: int) -> str:
        return f"2026-01-01 {k // 60:02d}:{k % 60:02d}:00"

    lines = [f"{minute(k)},{v}" for k, v in enumerate(values)]
    (folder / "s.csv").write_text("\n".join(("timestamp,value", *lines)) + "\n")
    found = f'[["{minute(marked[0])}", "{minute(marked[1])}"]]' if marked else "[]"
    (folder / "w.json").write_text(f'{{"s.csv": {found}}}')
    return Reconstruction(name="reconstruction", format="series", series="s.csv", windows="w.json", **more)  # type: ignore[arg-type]


def test_series(tmp_path: Path) -> None:
    values = [10.0, 14, 12, 10, 14, 12, 30, -30, 12, 12]
    task = series(tmp_path, values, (6, 7), step=2, train_share=0.5)
    found = load_reconstruction(task, tmp_path, (1, 2))
    # 10 to 14 becomes 0.25 to 0.75; what is far beyond is cut at 0 and 1. Windows that end by value 5 are trained on.
    scaled = [0.25, 0.75, 0.5, 0.25, 0.75, 0.5, 1, 0, 0.5, 0.5]
    assert found.train.tolist() == [[scaled[0:2]], [scaled[2:4]]] and found.train.dtype == np.float32
    assert found.test.tolist() == [[scaled[4:6]], [scaled[6:8]], [scaled[8:10]]]
    assert found.anomalous.tolist() == [False, True, False]
    assert found.facts == {
        "series_low": 10, "series_high": 14, "train_samples": 2, "test_samples": 3, "anomalous_test_samples": 1,
        "skipped": [],
    }  # fmt: skip


def test_anomalous_windows_are_not_trained_on(tmp_path: Path) -> None:
    task = series(tmp_path, [1, 2, 99, 99, 1, 2, 1, 99], (2, 7), train_share=0.6)
    with pytest.raises(DataError, match="needs both kinds of samples, got 0 normal and 4 anomalous"):
        load_reconstruction(task, tmp_path, (2,))
    task = series(tmp_path, [1, 2, 99, 99, 1, 2, 1, 3], (2, 3), step=2, train_share=0.5)
    (tmp_path / "w.json").write_text(
        '{"s.csv": [["2026-01-01 00:02", "2026-01-01 00:03"], ["2026-01-01 00:07", "2026-01-01 00:07"]]}'
    )
    found = load_reconstruction(task, tmp_path, (2,))
    assert found.train.tolist() == [[0.25, 0.75]] and found.anomalous.tolist() == [False, True]


def test_a_constant_series_stays_in_range(tmp_path: Path) -> None:
    found = load_reconstruction(series(tmp_path, [7.0] * 12, (10, 11)), tmp_path, (2,))
    assert (found.train == 0.25).all() and (found.test == 0.25).all()


@pytest.mark.parametrize("share", [0.01, 0.2, 0.49])
def test_nothing_after_the_share_is_trained_on(share: float, tmp_path: Path) -> None:
    # No window of 10 ends within the share, and none may be taken from the end of the series instead.
    task = series(tmp_path, list(range(20)), (18, 19), train_share=share)
    with pytest.raises(DataError, match=rf"s\.csv: no normal window in the first {share:.0%} of the series"):
        load_reconstruction(task, tmp_path, (10,))


def test_bad_series(tmp_path: Path) -> None:
    task = series(tmp_path, list(range(20)), None)
    with pytest.raises(DataError, match=r"needs both kinds of samples, got \d+ normal and 0 anomalous"):
        load_reconstruction(task, tmp_path, (2,))
    with pytest.raises(DataError, match=r"s\.csv: has 20 values, fewer than the 21 of one window; take a longer"):
        load_reconstruction(task, tmp_path, (3, 7))
    far = series(tmp_path, [-1.5e308, 1.5e308] * 10, (18, 19))
    with pytest.raises(DataError, match=r"s\.csv: the values run from -1\.5e\+308 to 1\.5e\+308, too far apart"):
        load_reconstruction(far, tmp_path, (2,))
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read"):
        load_reconstruction(task.model_copy(update={"series": "gone.csv"}), tmp_path, (2,))
