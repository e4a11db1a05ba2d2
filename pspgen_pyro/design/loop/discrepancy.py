r"""What fresh simulations say about a model's P, and the model about them: both, as one posterior.

The model's P may be off. Let :math:`d(\varphi)` be what its logit lacks, smooth, and small before
anything is simulated,

.. math::
    d \mid \tau &\sim \mathcal{GP}\left(\mu,\ \tfrac{\tau^2}{2} + \tfrac{\tau^2}{2} \exp\left(
        -\tfrac{1}{2} \sum_j \left( \frac{\varphi_j - \varphi'_j}{\ell\,(b_j - a_j)} \right)^2
        \right)\right), \qquad \tau^2 \sim \operatorname{InvGamma}(2, \tau_0^2), \\
    h_r &\sim \operatorname{Bin}\left(n_r,\ \sigma(\operatorname{logit} P(\varphi_r) +
        d(\varphi_r))\right),

with :math:`h_r` of :math:`n_r` simulations in the target at :math:`\varphi_r`. Half of the
variance of d is common to all settings: where a model is sought for large P it is too hopeful
everywhere, by as much as :math:`\mu` if that is known, else :math:`\mu = 0`. At one setting d is
Student's t with 4 degrees of freedom and the root mean square :math:`\tau_0` about :math:`\mu`;
a model may be much worse than most, and simulations that say so are believed. Laplace's
approximation for each of a few :math:`\tau`, weighted by its evidence, gives d at any setting, and
P with an error that knows both sources: the model's where there are few simulations, the binomial
one where there are many. The simulations must be new to the model.

References:
    Bayesian calibration of computer models (Kennedy & O'Hagan, 2001)
    Gaussian Processes for Machine Learning (Rasmussen & Williams, 2006), section 3.4
    Student-t processes as alternatives to Gaussian processes (Shah et al., 2014)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr

from ...errors import InputError
from ...io.validation import check_positive
from ...process import ProcessSpace
from ..estimates import NINETY, EnsembleEstimate, Estimate

__all__ = ["Correction", "Discrepancy"]

_NEWTON = 50
# ends of an interval beyond these say the same
_STATED = 1e-3, 1 - 1e-3
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
# of τ, in units of τ0: the prior has 0.3 % below and nothing to speak of above
_SCALES = 2.0 ** np.arange(-1.5, 5.01, 0.5)
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Discrepancy:
    r"""How far the model's P is from the truth before it is simulated.

    Arguments:
        doubt: The root mean square :math:`\tau_0` of the logit; 0.17 are 0.04 at P = 0.5 and 0.03
            at P = 0.8.
        reach: The length :math:`\ell` over which the half that is not common to all settings
            changes, in widths of the process space.
        mean: What the logit lacks on average, :math:`\mu`.

    Raises:
        InputError: If `doubt` or `reach` is not positive.

    Example:
        >>> process = ProcessSpace(("phi1",), (0.0,), (1.0,))
        >>> correction = Discrepancy().given(process, [[0.3]], [0.6], [136], [200])
        >>> print(correction.probability([0.3], 0.6))
        0.641 ± 0.028
    """

    doubt: float = 0.17
    reach: float = 0.3
    mean: float = 0.0

    def __post_init__(self) -> None:
        check_positive(doubt=self.doubt, reach=self.reach)

    @classmethod
    def stated(cls, p: Estimate) -> Discrepancy:
        """What a model itself says of its P at a φ* that it chose: a mean that is below 0 where
        the search put something on, and a doubt as wide as the 90 % interval; of a model that
        cannot tell, the default."""
        if p.low is None or p.high is None:
            return cls()
        promised = p.promised if isinstance(p, EnsembleEstimate) else None
        parts = p.low, p.high, p.value, p.value if promised is None else promised
        low, high, value, before = (float(_logit(np.clip(part, *_STATED))) for part in parts)
        doubt = max(cls.doubt, (high - low) / (2 * NINETY))
        return cls(doubt, mean=value - before)

    def given(
        self,
        process: ProcessSpace,
        phi: ArrayLike,
        predicted: ArrayLike,
        hits: ArrayLike,
        samples: ArrayLike,
    ) -> Correction:
        """What simulations leave of it.

        Arguments:
            process: The process space.
            phi: The settings that were simulated, with shape `(R, P)`; R may be 0.
            predicted: The model's P there, with shape `(R)`.
            hits: How many simulations lay in the target, with shape `(R)`.
            samples: How many there were, with shape `(R)`.

        Raises:
            InputError: If there are more hits than samples, or fewer than none.
        """
        h, n = np.asarray(hits, dtype=float), np.asarray(samples, dtype=float)
        if (h < 0).any() or (h > n).any():
            raise InputError("'hits' has more than 'samples' or fewer than 0; count both anew.")
        settings = np.asarray(phi, dtype=float).reshape(-1, len(process))
        where = process.coordinates(settings) / self.reach
        offset, correlation = _logit(predicted) + self.mean, _correlation(where, where)
        modes = tuple(_Mode.of(s * self.doubt, correlation, offset, h, n) for s in _SCALES)
        # InvGamma(2, 1) as a density of log τ², whose grid is even
        prior = -4 * np.log(_SCALES) - _SCALES**-2.0
        log_weights = prior + [mode.log_evidence for mode in modes]
        weights = np.exp(log_weights - log_weights.max())
        return Correction(where, process, self.reach, modes, weights / weights.sum(), self.mean)


@dataclass(frozen=True)
class Correction:
    r"""The posterior of what the logit of a model's P lacks, as `Discrepancy.given` returns it: a
    mixture over :math:`\tau` of Gaussian processes.

    Arguments:
        where: The settings that were simulated, as the networks see them, in units of `reach`,
            with shape `(R, Q)`.
        process: The process space.
        reach: The length :math:`\ell`.
        modes: Laplace's approximation for each :math:`\tau`.
        weights: Their posterior weights.
        mean: What the logit lacks on average before anything is simulated.
    """

    where: _Array
    process: ProcessSpace
    reach: float
    modes: tuple[_Mode, ...]
    weights: _Array
    mean: float = 0.0

    def _seen(self, phi: ArrayLike) -> _Array:
        return self.process.coordinates(np.atleast_2d(phi)) / self.reach

    def probability(self, phi: ArrayLike, predicted: ArrayLike) -> Estimate:
        """The mean and the standard deviation of P.

        Arguments:
            phi: One setting, with shape `(P)`, or several, with shape `(Q, P)`.
            predicted: The model's P there, with shape `()` or `(Q)`.
        """
        settings = self._seen(phi)
        across = _correlation(settings, self.where)
        offset = np.atleast_1d(_logit(predicted)) + self.mean
        values, weights = [], []
        for mode, weight in zip(self.modes, self.weights, strict=True):
            loc, lower = mode.at(across)
            scale = np.sqrt(np.maximum(mode.scale**2 - (lower**2).sum(axis=0), 0.0))
            values.append(expit((offset + loc)[:, None] + scale[:, None] * _NODES))
            weights.append(weight * _WEIGHTS / _WEIGHTS.sum())
        p, w = np.concatenate(values, axis=1), np.concatenate(weights)
        mean = p @ w
        shape = np.shape(predicted)
        spread = np.sqrt((p - mean[:, None]) ** 2 @ w)
        return Estimate(mean.reshape(shape)[()], spread.reshape(shape)[()])

    def interval(self, phi: ArrayLike, predicted: float) -> Estimate:
        """The mean of P at one setting with shape `(P)`, and its 90 % interval; `predicted` is the
        model's P there."""
        found = self.probability(phi, predicted)
        across = _correlation(self._seen(phi), self.where)
        parts = [mode.at(across) for mode in self.modes]
        loc = np.array([float(loc[0]) for loc, _ in parts]) + _logit(predicted) + self.mean
        shrunk = np.array([float((lower**2).sum()) for _, lower in parts])
        scale = np.sqrt(np.maximum([mode.scale**2 for mode in self.modes] - shrunk, 1e-12))

        def excess(value: float, level: float) -> float:
            return float(self.weights @ ndtr((value - loc) / scale)) - level

        ends = (loc - 9 * scale).min(), (loc + 9 * scale).max()
        low, high = (expit(brentq(excess, *ends, args=(level,))) for level in (0.05, 0.95))
        return Estimate(found.value, found.standard_error, np.array(low), np.array(high))

    def draw(
        self, phi: ArrayLike, predicted: ArrayLike, count: int, rng: np.random.Generator
    ) -> _Array:
        """Joint draws of P at several settings, with shape `(count, Q)`."""
        settings = self._seen(phi)
        across, prior = _correlation(settings, self.where), _correlation(settings, settings)
        offset = _logit(predicted) + self.mean
        draws = []
        for mode, each in zip(self.modes, rng.multinomial(count, self.weights), strict=True):
            if not each:
                continue
            loc, lower = mode.at(across)
            covariance = mode.scale**2 * prior - lower.T @ lower
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            noise = rng.standard_normal((each, len(values)))
            draws.append(expit(offset + loc + noise @ root.T))
        return np.concatenate(draws)


@dataclass(frozen=True)
class _Mode:
    r"""Laplace's approximation for one :math:`\tau`.

    Arguments:
        scale: The standard deviation τ of d.
        slope: The gradient of the log-likelihood at the mode of d, with shape `(R)`.
        root: The square root of its negative curvature there.
        factor: The Cholesky factor of I + root K root, lower triangular.
        log_evidence: The logarithm of the likelihood of the counts, but for a constant.
    """

    scale: float
    slope: _Array
    root: _Array
    factor: _Array
    log_evidence: float

    @classmethod
    def of(cls, scale: float, correlation: _Array, offset: _Array, h: _Array, n: _Array) -> _Mode:
        """Newton's method, halving any step that climbs down (Rasmussen & Williams, algorithm
        3.1)."""
        covariance, weights = scale**2 * correlation, np.zeros(len(h))

        def height(weights: _Array) -> float:
            d = covariance @ weights
            return _log_likelihood(offset + d, h, n) - 0.5 * float(weights @ d)

        best, factor, root, slope = height(weights), np.eye(len(h)), weights, weights
        for _ in range(_NEWTON):
            d = covariance @ weights
            p = expit(offset + d)
            root, slope = np.sqrt(n * p * (1 - p)), h - n * p
            factor = cholesky(
                np.eye(len(h)) + root[:, None] * covariance * root, lower=True, check_finite=False
            )
            b = root**2 * d + slope
            new = b - root * cho_solve((factor, True), root * (covariance @ b))
            step, value = new - weights, height(new)
            while value < best - 1e-9 and abs(step).max(initial=0.0) > 1e-9:
                step = step / 2
                value = height(weights + step)
            weights, gain, best = weights + step, value - best, value
            if gain < 1e-10:
                break
        return cls(scale, slope, root, factor, best - np.log(np.diag(factor)).sum())

    def at(self, across: _Array) -> tuple[_Array, _Array]:
        """The mean of d at other settings, and what makes its covariance smaller there."""
        covariance = self.scale**2 * across
        if not len(self.slope):
            return np.zeros(len(across)), np.zeros((0, len(across)))
        lower = solve_triangular(self.factor, self.root[:, None] * covariance.T, lower=True)
        return covariance @ self.slope, lower


def _correlation(a: _Array, b: _Array) -> _Array:
    return 0.5 + 0.5 * np.exp(-0.5 * ((a[:, None] - b) ** 2).sum(-1))


def _log_likelihood(value: _Array, h: _Array, n: _Array) -> float:
    return float(-(h * np.logaddexp(0, -value) + (n - h) * np.logaddexp(0, value)).sum())


def _logit(p: ArrayLike) -> _Array:
    return logit(np.clip(np.asarray(p, dtype=float), 1e-9, 1 - 1e-9))
