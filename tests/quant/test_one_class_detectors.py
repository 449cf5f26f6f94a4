# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""One-class detectors against scikit-learn and naive formulas, degeneration, heat maps and pixel AUC. No torch."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.errors import ModelError
from bitwright.host.decode.heatmap import heatmap
from bitwright.host.errors import InputError
from bitwright.quant.metrics.localisation import pixel_auc
from bitwright.quant.metrics.scores import area_under_roc
from bitwright.quant.one_class.detectors import (
    DETECTORS,
    GaussianDensity,
    KernelDensity,
    OneClassSvm,
    degeneration,
    rbf_gamma,
    threshold_from_normals,
)

covariance = pytest.importorskip("sklearn.covariance")


def draw(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float64]:
    """Correlated features with an offset, as after a ReLU."""
    rng = np.random.default_rng(seed)
    return np.abs(rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions)) + 2)


def unit(x: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([row / np.linalg.norm(row) for row in x])


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("shrinkage", [None, 0.3])
def test_gaussian_is_mahalanobis_with_the_covariance_of_scikit_learn(normalise: bool, shrinkage: float | None) -> None:
    train, test = draw(60, 7), draw(25, 7, seed=1)
    scores = GaussianDensity(shrinkage, normalise=normalise).fit(train).score(test)
    if normalise:
        train, test = unit(train), unit(test)
    kind = covariance.LedoitWolf() if shrinkage is None else covariance.ShrunkCovariance(shrinkage=shrinkage)
    assert scores.dtype == np.float64 and scores.shape == (25,)
    np.testing.assert_allclose(scores, np.sqrt(kind.fit(train).mahalanobis(test)), rtol=1e-9)


def test_gaussian_with_fixed_shrinkage_against_the_formula() -> None:
    train, x = draw(30, 3), np.array([0.5, 4.0, -1.0])
    centred = train - train.mean(axis=0)
    cov = sum(np.outer(row, row) for row in centred) / len(train)
    cov = 0.8 * cov + 0.2 * np.trace(cov) / 3 * np.eye(3)
    expected = math.sqrt((x - train.mean(axis=0)) @ np.linalg.inv(cov) @ (x - train.mean(axis=0)))
    assert GaussianDensity(0.2, normalise=False).fit(train).score(x[None])[0] == pytest.approx(expected, rel=1e-10)


def test_gaussian_takes_dead_dimensions_and_few_samples() -> None:
    train = draw(6, 40)
    train[:, 3] = 1.5
    scores = GaussianDensity().fit(train).score(np.concatenate((train, -train)))
    assert np.isfinite(scores).all()
    assert scores[:6].max() < scores[6:].min()


@pytest.mark.parametrize("normalise", [True, False])
def test_kernel_density_against_the_double_loop_and_scikit_learn(normalise: bool) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    train, test = draw(40, 5), draw(9, 5, seed=3)
    detector = KernelDensity(normalise=normalise).fit(train)
    scores = detector.score(test)
    if normalise:
        train, test = unit(train), unit(test)
    gamma = 10 / (np.var(train) * 5)
    assert detector.gamma == pytest.approx(gamma, rel=1e-12)
    for x, score in zip(test, scores, strict=True):
        kernels = [math.exp(-gamma * sum((a - b) ** 2 for a, b in zip(x, t, strict=True))) for t in train]
        density = sum(kernels) * (gamma / math.pi) ** 2.5 / len(train)
        assert score == pytest.approx(-math.log(density), rel=1e-9)
    theirs = neighbors.KernelDensity(bandwidth=1 / math.sqrt(2 * gamma)).fit(train).score_samples(test)
    np.testing.assert_allclose(scores, -theirs, rtol=1e-9)


def test_kernel_density_ranks_as_the_published_score() -> None:
    # The published code: -logsumexp(2 gamma cos(x, x_i)) / gamma; on unit vectors |x - x_i|^2 = 2 - 2 cos.
    train, test = draw(50, 6), draw(30, 6, seed=8)
    detector = KernelDensity().fit(train)
    published = -np.log(np.exp(2 * detector.gamma * unit(test) @ unit(train).T).sum(axis=1)) / detector.gamma
    ours = detector.score(test) / detector.gamma
    np.testing.assert_allclose(ours - ours[0], published - published[0], atol=1e-10)


def test_kernel_density_far_away_stays_finite_and_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    train = draw(50, 4)
    detector = KernelDensity(normalise=False).fit(train)
    ray = np.arange(1, 60)[:, None] * 100.0 * np.ones(4)
    scores = detector.score(ray)
    assert np.isfinite(scores).all() and (np.diff(scores) > 0).all()
    # In blocks of one row, and with the origin elsewhere, the same.
    monkeypatch.setattr("bitwright.quant.one_class.detectors._BLOCK_VALUES", 1)
    np.testing.assert_allclose(detector.score(ray), scores, rtol=1e-12)
    # On a grid of 2^-20 the shift is exact: what differs is what the expansion of the distances loses.
    train = np.round(train * 2**20) / 2**20
    here = KernelDensity(normalise=False).fit(train).score(train + 0.125)
    moved = KernelDensity(normalise=False).fit(train + 1024).score(train + 1024.125)
    np.testing.assert_allclose(moved, here, rtol=1e-11)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_one_class_svm_is_that_of_scikit_learn(kernel: Any) -> None:
    svm = pytest.importorskip("sklearn.svm")
    train, test = draw(60, 5), draw(20, 5, seed=4)
    scores = OneClassSvm(0.2, kernel=kernel).fit(train).score(test)
    train, test = unit(train), unit(test)
    theirs = svm.OneClassSVM(kernel=kernel, nu=0.2, gamma=10 / (train.var() * 5)).fit(train)
    np.testing.assert_allclose(scores, -theirs.score_samples(test), rtol=1e-9)
    inside = OneClassSvm(0.2, kernel=kernel, normalise=False).fit(train)
    np.testing.assert_allclose(inside.score(test), scores, rtol=1e-7)


@pytest.mark.parametrize("name", DETECTORS)
def test_integer_features_of_any_scale_score_as_real_ones(name: str) -> None:
    """What the accelerator gives: int8 and, multiplied by a scale, the same features as real numbers."""
    rng = np.random.default_rng(5)
    train, test = (rng.integers(-128, 128, (n, 6)).astype(np.int8) for n in (50, 20))
    as_integers = DETECTORS[name]().fit(train).score(test)
    as_real = DETECTORS[name]().fit(train * np.float64(0.0078125)).score(test * np.float64(0.0078125))
    np.testing.assert_allclose(as_integers, as_real, rtol=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_digits_of_other_classes_score_higher(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    normal = pixels[labels == 0]
    test = np.concatenate((normal[100:], pixels[labels != 0][:300]))
    anomalous = np.arange(len(test)) >= len(normal) - 100
    detector = DETECTORS[name]().fit(normal[:100])
    assert area_under_roc(detector.score(test), anomalous) > 0.97
    held_out = detector.score(normal[100:])
    assert (detector.score(test[anomalous]) > threshold_from_normals(held_out, 0.1)).mean() > 0.9


@pytest.mark.parametrize("name", DETECTORS)
def test_bad_features_are_named(name: str) -> None:
    detector = DETECTORS[name]()
    with pytest.raises(RuntimeError, match="call fit before score"):
        detector.score(draw(4, 3))
    with pytest.raises(ModelError, match=r"shape \(samples, dimensions\), got \(4, 3, 2\)"):
        detector.fit(np.ones((4, 3, 2)))
    broken = draw(9, 3)
    broken[[4, 6], 1] = np.nan
    with pytest.raises(ModelError, match="2 of 9 samples are not, the first is 4"):
        detector.fit(broken)
    with pytest.raises(ModelError, match="at least 2 normal samples, got 1"):
        detector.fit(draw(1, 3))
    detector.fit(draw(9, 3))
    with pytest.raises(ModelError, match="have 4 dimensions, the detector was fitted on 3"):
        detector.score(draw(9, 4))
    with pytest.raises(ModelError, match="features to score must be finite"):
        detector.score(broken)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("same", [np.zeros(5), np.full(5, 3.0), np.arange(5.0)], ids=["zero", "constant", "pattern"])
def test_collapsed_features_are_refused(name: str, same: NDArray[np.float64]) -> None:
    with pytest.raises(ModelError, match="have collapsed: they are the same whatever the input"):
        DETECTORS[name]().fit(np.tile(same, (20, 1)))
    # Brightness alone is no direction: it is gone once the features have unit length.
    if same[-1]:
        with pytest.raises(ModelError, match="scaled to unit length"):
            DETECTORS[name]().fit(np.outer(np.arange(1.0, 21), same))


def test_degeneration_of_sound_features() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 6))
    found = degeneration(x)
    assert (found["samples"], found["dimensions"], found["verdict"]) == (4000, 6, "sound")
    assert found["dead_share"] == 0
    assert 5.9 < found["effective_rank"] <= 6
    assert found["variance"] == pytest.approx(x.var(axis=0).mean())
    assert found["relative_variance"] == pytest.approx(x.var(axis=0).sum() / (x**2).sum(axis=1).mean())


@given(st.integers(2, 12), st.integers(1, 12), st.floats(1e-6, 1e6), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_effective_rank_against_the_definition(count: int, dimensions: int, scale: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(count, dimensions)) * scale
    values = np.linalg.svd(np.cov(x.T, bias=True).reshape(dimensions, dimensions), compute_uv=False)
    shares = [v / values.sum() for v in values if v > values.max() * 1e-13]
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert degeneration(x)["effective_rank"] == pytest.approx(expected, rel=1e-6)


def test_degenerate_features_are_flagged() -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(size=(100, 20))
    for same in (np.zeros((100, 20)), np.full((100, 20), 7, np.int8), np.tile(sound[0], (100, 1))):
        found = degeneration(same)
        assert found["verdict"] == "collapsed"
        assert (found["dead_share"], found["effective_rank"]) == (1, 0)
    # Rounding noise on a constant output is not information.
    assert degeneration(sound[0] + 1e-9 * sound)["verdict"] == "collapsed"
    line = degeneration(np.outer(sound[:, 0], np.ones(20)) + 1e-3 * sound)
    assert (line["verdict"], line["dead_share"]) == ("narrow", 0)
    assert line["effective_rank"] == pytest.approx(1, abs=0.01)
    dead = sound.copy()
    dead[:, :19] = 0
    assert degeneration(dead)["dead_share"] == 0.95
    assert degeneration(dead)["verdict"] == "narrow" and "95%" in degeneration(dead)["reason"]
    plane = np.concatenate((np.zeros((100, 18)), sound[:, :2]), axis=1)
    assert degeneration(plane)["effective_rank"] > 1.9
    assert degeneration(plane)["verdict"] == "narrow"
    dead[:, 10:] = sound[:, 10:]
    assert degeneration(dead)["dead_share"] == 0.5
    assert degeneration(dead)["verdict"] == "sound"
    assert degeneration(sound[:, :1])["verdict"] == "sound"
    with pytest.raises(ModelError, match="at least 2 samples"):
        degeneration(sound[:1])


def test_gamma() -> None:
    x = draw(30, 4)
    assert rbf_gamma(x) == pytest.approx(10 / (((x - x.mean()) ** 2).mean() * 4), rel=1e-12)
    with pytest.raises(ModelError, match=r"all 6 values are 2\.0"):
        rbf_gamma(np.full((3, 2), 2))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=60), st.integers(0, 99))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_threshold_is_the_lowest_that_keeps_the_rate(values: list[int], percent: int) -> None:
    threshold = threshold_from_normals(np.array(values), percent / 100)
    assert sum(v > threshold for v in values) * 100 <= percent * len(values)
    assert all(sum(v > t for v in values) * 100 > percent * len(values) for t in values if t < threshold)
    assert threshold in values


def test_threshold_refuses_what_it_cannot_use() -> None:
    assert threshold_from_normals(np.arange(100), 0.29) == 70
    assert threshold_from_normals(np.arange(10), 0) == 9
    for bad in ([], [1.0, np.nan], [np.inf]):
        with pytest.raises(ValueError, match="finite scores"):
            threshold_from_normals(np.array(bad), 0.1)
    for rate in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match="false_positive_rate"):
            threshold_from_normals(np.arange(3), rate)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianDensity(0),
        lambda: GaussianDensity(1.5),
        lambda: KernelDensity(0),
        lambda: KernelDensity(math.inf),
        lambda: OneClassSvm(0),
        lambda: OneClassSvm(gamma=-1),
        lambda: OneClassSvm(kernel="poly"),  # type: ignore[arg-type]
    ],
)
def test_bad_settings_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


def direct_heatmap(
    scores: NDArray[Any], r: int, stride: int, shape: tuple[int, int], offset: int, sigma: float
) -> NDArray[np.float64]:
    """Every patch adds its score times its Gaussian to the pixels that it sees; then the same with ones."""
    total, weight = np.zeros((len(scores), *shape)), np.zeros(shape)
    for i in range(scores.shape[1]):
        for j in range(scores.shape[2]):
            for k in range(r):
                for m in range(r):
                    y, x = offset + i * stride + k, offset + j * stride + m
                    if 0 <= y < shape[0] and 0 <= x < shape[1]:
                        g = math.exp(-((k - (r - 1) / 2) ** 2 + (m - (r - 1) / 2) ** 2) / (2 * sigma**2))
                        total[:, y, x] += g * scores[:, i, j]
                        weight[y, x] += g
    with np.errstate(invalid="ignore"):
        return total / weight


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(-3, 3),
    st.none() | st.floats(0.5, 5),
    st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_heatmap_is_the_direct_sum(
    size: tuple[int, int, int], r: int, stride: int, offset: int, sigma: float | None, seed: int
) -> None:
    scores = np.random.default_rng(seed).normal(size=size)
    shape = tuple(max(1, offset + (n - 1) * stride + r + 2) for n in size[1:])
    got = heatmap(scores, receptive_field=r, stride=stride, shape=shape, offset=offset, sigma=sigma)  # type: ignore[arg-type]
    expected = direct_heatmap(scores, r, stride, shape, offset, r / 4 if sigma is None else sigma)  # type: ignore[arg-type]
    seen = np.isfinite(expected)
    assert got.shape == expected.shape and got.dtype == np.float64
    np.testing.assert_allclose(got[seen], expected[seen], rtol=1e-9, atol=1e-12)
    assert np.isfinite(got).all() and got.min() >= scores.min() - 1e-9 and got.max() <= scores.max() + 1e-9


def test_heatmap_of_equal_scores_is_flat_and_peaks_are_in_place() -> None:
    flat = heatmap(np.full((1, 5, 5), 3, np.int16), receptive_field=8, stride=5, shape=(40, 33), offset=2)
    np.testing.assert_allclose(flat, 3, rtol=1e-12)
    scores = np.zeros((1, 9, 9))
    scores[0, 6, 2] = 1
    heat = heatmap(scores, receptive_field=9, stride=4)[0]
    assert heat.shape == (41, 41)
    assert np.unravel_index(heat.argmax(), heat.shape) == (6 * 4 + 4, 2 * 4 + 4)


def test_heatmap_pixels_that_no_patch_sees_take_the_nearest() -> None:
    scores = np.array([[[1.0, 2.0]]])
    heat = heatmap(scores, receptive_field=1, stride=4, shape=(3, 8), offset=1)
    assert heat[0].tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 3
    # A Gaussian so narrow that all weights of the pixels between underflow still interpolates.
    narrow = heatmap(scores, receptive_field=101, stride=50, sigma=0.5)
    assert np.isfinite(narrow).all()
    assert narrow[0, 0, [50, 74, 75, 76, 100]].tolist() == pytest.approx([1, 1, 1.5, 2, 2])


def test_heatmap_refuses_what_it_cannot_use() -> None:
    good: dict[str, Any] = {"receptive_field": 3, "stride": 2}
    with pytest.raises(InputError, match=r"shape \(N, h, w\).*\(2, 3\)"):
        heatmap(np.ones((2, 3)), **good)
    with pytest.raises(InputError, match="finite"):
        heatmap(np.full((1, 2, 2), np.nan), **good)
    for wrong in ({"stride": 0}, {"receptive_field": 0}, {"sigma": 0.0}, {"shape": (0, 4)}, {"offset": -9}):
        with pytest.raises(InputError, match=r"got \(?-?[\d.]+"):
            heatmap(np.ones((1, 2, 2)), **(good | wrong))


def test_heatmap_needs_numpy_only() -> None:
    code = (
        "import sys; from bitwright.host.decode import heatmap;"
        "print([m for m in ('scipy', 'sklearn', 'torch', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pixel_auc_against_all_pairs() -> None:
    rng = np.random.default_rng(2)
    maps = rng.integers(0, 5, (3, 4, 5)).astype(np.float64)
    masks = rng.integers(0, 2, (3, 4, 5)).astype(np.uint8) * 255
    masks[1] = 0
    anomalous, normal = maps[masks > 0], maps[masks == 0]
    wins = sum((a > b) + 0.5 * (a == b) for a in anomalous for b in normal)
    assert pixel_auc(maps, masks) == pytest.approx(wins / (len(anomalous) * len(normal)), rel=1e-12)
    assert pixel_auc(list(maps), list(masks > 0)) == pixel_auc(maps, masks)
    ragged = [maps[0], maps[1][:2]], [masks[0], masks[1][:2]]
    assert 0 <= pixel_auc(*ragged) <= 1
    assert pixel_auc(masks.astype(float), masks) == 1


def test_pixel_auc_refuses_what_it_cannot_use() -> None:
    maps, masks = np.zeros((2, 3, 3)), np.eye(3, dtype=bool)[None].repeat(2, 0)
    with pytest.raises(ValueError, match="2 maps and 1 masks"):
        pixel_auc(maps, masks[:1])
    with pytest.raises(ValueError, match=r"image 1: .*\(3, 3\).*\(2, 3\)"):
        pixel_auc(list(maps), [masks[0], masks[1, :2]])
    with pytest.raises(ValueError, match=r"image 0: .*float64"):
        pixel_auc(maps, masks.astype(float))
    with pytest.raises(ValueError, match=r"image 1: .*finite"):
        pixel_auc(np.stack((maps[0], maps[1] + np.nan)), masks)
    with pytest.raises(ValueError, match="at least one image"):
        pixel_auc([], [])
    with pytest.raises(ValueError, match="both classes"):
        pixel_auc(maps, masks & False)
