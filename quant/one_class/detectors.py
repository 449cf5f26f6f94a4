# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The second stage of two-stage one-class detection: detectors fitted on the features of normal samples. No torch.

K. Sohn et al., "Learning and Evaluating Representations for Deep One-class Classification", arXiv:2011.02578, and the
Gaussian density of C.-L. Li et al., "CutPaste", arXiv:2104.04015. As in the published code of the former, features are
scaled to unit length first (``normalise``); a feature vector of zeros stays zero. Fit on the features that will be
scored: those of the quantized network. Features that a shared scale multiplies, such as raw output integers, give the
same scores after normalisation, up to float64 rounding.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import ModelError, ToolMissingError

Features = NDArray[np.float64]
#: Values of one block of the matrix of kernels: 32 MiB of float64.
_BLOCK_VALUES = 1 << 22
#: A dimension is dead when its standard deviation is at most this share of the root mean square of all values.
_DEAD = 1e-6
#: Features have collapsed when their total variance is at most this share of their mean squared length.
_COLLAPSED = 1e-6
#: Features are narrow below this effective rank, or from this share of dead dimensions.
_NARROW_RANK, _NARROW_DEAD = 1.5, 0.9


class Detector(Protocol):
    """What every detector offers."""

    def fit(self, features: NDArray[Any]) -> Self:
        """Learn from features (N, D) of normal samples, N >= 2, real or integer; returns the detector itself.

        Raises ModelError for features that are not finite or have collapsed (see `degeneration`).
        """

    def score(self, features: NDArray[Any]) -> Features:
        """Anomaly scores (N,) of features (N, D); higher is more anomalous.

        Raises ModelError for features that are not finite or not of the fitted dimension, RuntimeError before `fit`.
        """


class GaussianDensity:
    """One Gaussian with a shrunk covariance; the score is the Mahalanobis distance, in standard deviations.

    Args:
        shrinkage: weight s in 0 < s <= 1 of (1 - s) * covariance + s * (trace / D) * identity; None: the weight of
            O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
        normalise: scale every feature vector to unit length.
    """

    def __init__(self, shrinkage: float | None = None, *, normalise: bool = True) -> None:
        if shrinkage is not None and not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage must be above 0 and at most 1, or None, got {shrinkage!r}")
        self.shrinkage, self.normalise = shrinkage, normalise
        self._factor: Features | None = None

    def fit(self, features: NDArray[Any]) -> Self:
        x = _fitted(features, self.normalise)
        try:
            from sklearn.covariance import LedoitWolf, ShrunkCovariance
        except ImportError as error:
            raise _missing() from error
        estimator = LedoitWolf() if self.shrinkage is None else ShrunkCovariance(shrinkage=self.shrinkage)
        # Shrinkage is equivariant to scale; at unit variance nothing underflows.
        self._scale = math.sqrt(x.var(axis=0).mean())
        self._mean = x.mean(axis=0)
        covariance = estimator.fit((x - self._mean) / self._scale).covariance_
        # Ledoit-Wolf finds a weight of 0 in rare cases; a floor of rounding size keeps the matrix invertible.
        floor = 1e-12 * np.trace(covariance) / len(covariance)
        self._factor = np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))
        return self

    def score(self, features: NDArray[Any]) -> Features:
        if self._factor is None:
            raise RuntimeError("GaussianDensity: call fit before score")
        x = _prepared(features, self.normalise, len(self._mean))
        # distance^2 = d' (L L')^-1 d = |L^-1 d|^2, never negative
        whitened = np.linalg.solve(self._factor, ((x - self._mean) / self._scale).T)
        return np.sqrt((whitened**2).sum(axis=0))


class KernelDensity:
    """Density with Gaussian kernels on all fitted samples: the score is the negative logarithm of the density.

    density(x) = (gamma / pi)^(D / 2) * mean_i exp(-gamma * |x - x_i|^2)

    Args:
        gamma: of the kernels; None: `rbf_gamma` of the fitted features.
        normalise: scale every feature vector to unit length.
    """

    def __init__(self, gamma: float | None = None, *, normalise: bool = True) -> None:
        self._wanted, self.normalise = _checked_gamma(gamma), normalise
        self._centres: Features | None = None

    def fit(self, features: NDArray[Any]) -> Self:
        x = _fitted(features, self.normalise)
        self.gamma = rbf_gamma(x) if self._wanted is None else self._wanted
        # Distances do not change with the origin; near it their expansion below cancels least.
        self._origin = x.mean(axis=0)
        self._centres = x - self._origin
        self._squares = (self._centres**2).sum(axis=1)
        return self

    def score(self, features: NDArray[Any]) -> Features:
        if self._centres is None:
            raise RuntimeError("KernelDensity: call fit before score")
        count, dimensions = self._centres.shape
        x = _prepared(features, self.normalise, dimensions) - self._origin
        constant = math.log(count) - dimensions / 2 * math.log(self.gamma / math.pi)
        scores = np.empty(len(x))
        step = max(1, _BLOCK_VALUES // count)
        for start in range(0, len(x), step):
            block = x[start : start + step]
            distances = (block**2).sum(axis=1)[:, None] + self._squares - 2 * block @ self._centres.T
            exponents = -self.gamma * np.maximum(distances, 0)
            top = exponents.max(axis=1)
            scores[start : start + step] = constant - top - np.log(np.exp(exponents - top[:, None]).sum(axis=1))
        return scores


class OneClassSvm:
    """The one-class support vector machine of scikit-learn (B. Schölkopf et al., 2001).

    Args:
        nu: bound on the share of fitted samples outside; 0.5 as in the published code.
        gamma: of the RBF kernel; None: `rbf_gamma` of the fitted features.
        kernel: 'rbf' or 'linear'.
        normalise: scale every feature vector to unit length. (The published code does not, for the linear kernel.)
    """

    def __init__(
        self,
        nu: float = 0.5,
        gamma: float | None = None,
        *,
        kernel: Literal["rbf", "linear"] = "rbf",
        normalise: bool = True,
    ) -> None:
        if not 0 < nu <= 1:
            raise ValueError(f"nu must be above 0 and at most 1, got {nu!r}")
        if kernel not in ("rbf", "linear"):
            raise ValueError(f"kernel must be 'rbf' or 'linear', got {kernel!r}")
        self.nu, self.kernel, self.normalise = nu, kernel, normalise
        self._wanted = _checked_gamma(gamma)
        self._machine: Any = None

    def fit(self, features: NDArray[Any]) -> Self:
        x = _fitted(features, self.normalise)
        try:
            from sklearn.svm import OneClassSVM
        except ImportError as error:
            raise _missing() from error
        self.gamma = rbf_gamma(x) if self._wanted is None else self._wanted
        self._dimensions = x.shape[1]
        self._machine = OneClassSVM(kernel=self.kernel, nu=self.nu, gamma=self.gamma).fit(x)
        return self

    def score(self, features: NDArray[Any]) -> Features:
        if self._machine is None:
            raise RuntimeError("OneClassSvm: call fit before score")
        x = _prepared(features, self.normalise, self._dimensions)
        return -np.asarray(self._machine.score_samples(x), np.float64)


#: Name in a recipe -> detector with the published settings.
DETECTORS: dict[str, type[GaussianDensity] | type[KernelDensity] | type[OneClassSvm]] = {
    "gaussian": GaussianDensity,
    "kde": KernelDensity,
    "ocsvm": OneClassSvm,
}


def rbf_gamma(features: NDArray[Any]) -> float:
    """10 / (variance * D), with the one variance of all values of features (N, D): arXiv:2011.02578, published code."""
    x = _finite(features, "features")
    variance = float(x.var())
    if variance == 0:
        raise ModelError(f"gamma = 10 / (variance * D) needs features that vary, all {x.size} values are {x.flat[0]}")
    return 10 / (variance * x.shape[1])


def threshold_from_normals(scores: NDArray[Any], false_positive_rate: float) -> float:
    """The lowest of the scores such that at most this share of them lies above it: anomalous is what scores above.

    Args:
        scores: (N,), of normal samples that the detector was not fitted on; those it was fitted on score too low.
        false_positive_rate: 0 <= rate < 1; 0 gives the highest score.

    Raises:
        ValueError: no scores, a score that is not finite, or a rate out of range.
    """
    values = np.sort(np.asarray(scores, np.float64).ravel())
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a threshold needs finite scores of normal samples, got {np.asarray(scores)!r}")
    if not 0 <= false_positive_rate < 1:
        raise ValueError(f"false_positive_rate must be 0 or more and below 1, got {false_positive_rate!r}")
    above = math.floor(false_positive_rate * len(values) + 1e-9)  # 0.29 * 100 is a little less than 29
    return float(values[len(values) - 1 - above])


class Degeneration(TypedDict):
    """What `degeneration` finds in features (N, D).

    Keys:
        samples, dimensions: N and D.
        dead_share: share of the dimensions that are the same for every sample.
        effective_rank: exp of the entropy of the eigenvalues of the covariance, as shares of their sum: from 1 (all
            on a line) to D (the same variance in every direction); 0 without variance. O. Roy and M. Vetterli, "The
            effective rank", EUSIPCO 2007.
        variance: of a dimension, mean over the dimensions, in squared units of the features.
        relative_variance: total variance over mean squared length: 0 all the same, 1 centred at the origin.
        verdict: 'collapsed': the same whatever the input, no detector can work; 'narrow': nearly all on a line, or
            nearly all dimensions dead, expect a poor detector; 'sound' otherwise.
        reason: the verdict in words, with figures; continues a sentence that begins with 'features'.
    """

    samples: int
    dimensions: int
    dead_share: float
    effective_rank: float
    variance: float
    relative_variance: float
    verdict: Literal["sound", "narrow", "collapsed"]
    reason: str


def degeneration(features: NDArray[Any]) -> Degeneration:
    """Whether features (N, D) of at least two samples still depend on the input. Raises ModelError if not finite."""
    x = _finite(features, "features")
    count, dimensions = x.shape
    if count < 2:
        raise ModelError(f"whether features depend on the input needs at least 2 samples, got {count}")
    unit = float(np.abs(x).max()) or 1.0
    x = x / unit
    square = float((x**2).sum(axis=1).mean())
    # From the first sample on: what is the same for all gives zeros, not the rounding of a mean.
    centred = x - x[0]
    centred -= centred.mean(axis=0)
    variances = (centred**2).mean(axis=0)
    dead = float(np.mean(np.sqrt(variances) <= _DEAD * math.sqrt(square / dimensions)))
    relative = float(variances.sum() / square) if square else 0.0
    # The smaller of the two products has all eigenvalues that are not zero.
    gram = centred.T @ centred if dimensions <= count else centred @ centred.T
    shares = np.clip(np.linalg.eigvalsh(gram), 0, None)
    total = shares.sum()
    shares = shares[shares > 0] / total if total > 0 else shares[:0]
    rank = math.exp(-float((shares * np.log(shares)).sum())) if len(shares) else 0.0
    verdict: Literal["sound", "narrow", "collapsed"] = "sound"
    reason = f"vary with the input: effective rank {rank:.1f} of {dimensions}, {dead:.0%} of the dimensions dead"
    if relative <= _COLLAPSED or dead == 1:
        verdict = "collapsed"
        reason = (
            f"have collapsed: they are the same whatever the input (variance {relative:.1e} of their mean squared "
            f"length, must be above {_COLLAPSED:.0e}, over {count} samples); look for an output quantizer that "
            "saturates, or train longer or with another pretext task"
        )
    elif (rank < _NARROW_RANK and min(count - 1, dimensions) > 1) or dead >= _NARROW_DEAD:
        verdict = "narrow"
        reason = reason.replace("vary with the input", "are narrow")
    return {
        "samples": count, "dimensions": dimensions, "dead_share": dead, "effective_rank": rank,
        "variance": float(variances.mean()) * unit**2, "relative_variance": relative,
        "verdict": verdict, "reason": reason,
    }  # fmt: skip


def _finite(features: NDArray[Any], what: str) -> Features:
    """Features as float64 (N, D), checked."""
    x = np.asarray(features)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ModelError(f"{what} must have the shape (samples, dimensions), got {x.shape}; flatten or pool them first")
    x = x.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ModelError(f"{what} must be finite: {len(bad)} of {len(x)} samples are not, the first is {bad[0]}")
    return x


def _fitted(features: NDArray[Any], normalise: bool) -> Features:
    """Checked features to fit on."""
    x = _finite(features, "features to fit on")
    if len(x) < 2:
        raise ModelError(f"a detector needs features of at least 2 normal samples, got {len(x)}")
    if normalise:
        x = _unit(x)
    health = degeneration(x)
    if health["verdict"] == "collapsed":
        kind = "features, scaled to unit length," if normalise else "features"
        raise ModelError(f"the detector cannot be fitted: the {kind} {health['reason']}")
    return x


def _prepared(features: NDArray[Any], normalise: bool, dimensions: int) -> Features:
    x = _finite(features, "features to score")
    if x.shape[1] != dimensions:
        raise ModelError(f"features to score have {x.shape[1]} dimensions, the detector was fitted on {dimensions}")
    return _unit(x) if normalise else x


def _unit(x: Features) -> Features:
    """Rows scaled to unit length; first by the largest value, so that squares neither overflow nor vanish."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    scaled = np.divide(x, largest, out=np.zeros_like(x), where=largest > 0)
    length = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return np.divide(scaled, length, out=scaled, where=length > 0)


def _checked_gamma(gamma: float | None) -> float | None:
    if gamma is not None and not (gamma > 0 and math.isfinite(gamma)):
        raise ValueError(f"gamma must be above 0, or None, got {gamma!r}")
    return gamma


def _missing() -> ToolMissingError:
    return ToolMissingError(
        "this detector needs scikit-learn, which is not installed: pip install 'bitwright[qat]'; "
        "the detector 'kde' does not need it"
    )
