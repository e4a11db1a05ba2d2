r"""What fresh simulations say about a model's P, and the model about them: both, as one posterior.

The model's P may be off. Let :math:`d(\varphi)` be what its logit lacks, small and smooth before
anything is simulated,

.. math::
    d \sim \mathcal{GP}\left(0,\ \tau^2 \exp\left(-\tfrac{1}{2} \sum_j \left(
        \frac{\varphi_j - \varphi'_j}{\ell\,(b_j - a_j)} \right)^2 \right)\right), \qquad
    h_r \sim \operatorname{Bin}\left(n_r,\ \sigma(\operatorname{logit} P(\varphi_r) +
        d(\varphi_r))\right),

with :math:`h_r` of :math:`n_r` simulations in the target at :math:`\varphi_r`. Laplace's
approximation of the posterior of d at the settings, and its mean and deviation carried on to any
other, give P with an error that knows both sources: the model's where there are few simulations,
the binomial one where there are many. The simulations must be new to the model.

References:
    Bayesian calibration of computer models (Kennedy & O'Hagan, 2001)
    Gaussian Processes for Machine Learning (Rasmussen & Williams, 2006), section 3.4
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..process import ProcessSpace
from .probability import Estimate

__all__ = ["Discrepancy"]

_NEWTON = 50
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Discrepancy:
    r"""How far the model's P is from the truth before it is simulated.

    Arguments:
        doubt: The standard deviation :math:`\tau` of the logit; 0.17 are 0.04 at P = 0.5 and 0.03
            at P = 0.8.
        reach: The length :math:`\ell` over which it changes, in widths of the process space.

    Raises:
        InputError: If a number is not positive.

    Example:
        >>> process = ProcessSpace(("phi1",), (0.0,), (1.0,))
        >>> print(Discrepancy().posterior(process, [[0.3]], [0.6], [160], [200], [0.3], 0.6))
        0.712 ± 0.024
    """

    doubt: float = 0.17
    reach: float = 0.25

    def __post_init__(self) -> None:
        for name in ("doubt", "reach"):
            value = getattr(self, name)
            if not value > 0:
                raise InputError(f"'{name}' is {value}; it must be positive.")

    def posterior(
        self,
        process: ProcessSpace,
        phi: ArrayLike,
        predicted: ArrayLike,
        hits: ArrayLike,
        samples: ArrayLike,
        at: ArrayLike,
        predicted_at: ArrayLike,
    ) -> Estimate:
        """The mean and the standard deviation of P at one setting.

        Arguments:
            process: The process space.
            phi: The settings that were simulated, with shape `(R, P)`.
            predicted: The model's P there, with shape `(R)`.
            hits: How many simulations lay in the target, with shape `(R)`.
            samples: How many there were, with shape `(R)`.
            at: The setting that is asked for, with shape `(P)`.
            predicted_at: The model's P there.
        """
        where = np.asarray(phi, dtype=float)
        h, n = np.asarray(hits, dtype=float), np.asarray(samples, dtype=float)
        offset, width = _logit(predicted), np.array(process.upper) - np.array(process.lower)
        covariance = self._covariance(where, where, width)
        p, curvature = offset, n
        d = np.zeros(len(where))
        for _ in range(_NEWTON):
            p = _sigmoid(offset + d)
            curvature = n * p * (1 - p)
            inner = np.eye(len(d)) + covariance * curvature
            new = np.linalg.solve(inner, covariance @ (curvature * d + h - n * p))
            d, change = new, np.abs(new - d).max(initial=0.0)
            if change < 1e-10:
                break
        across = self._covariance(np.asarray(at, dtype=float)[None], where, width)[0]
        loc = across @ (h - n * p)
        inner = np.eye(len(d)) + covariance * curvature
        variance = self.doubt**2 - (across * curvature) @ np.linalg.solve(inner, across)
        values = _sigmoid(_logit(predicted_at) + loc + max(variance, 0.0) ** 0.5 * _NODES)
        weights = _WEIGHTS / _WEIGHTS.sum()
        mean = weights @ values
        return Estimate(mean, np.sqrt(weights @ (values - mean) ** 2))

    def _covariance(self, a: _Array, b: _Array, width: _Array) -> _Array:
        steps = (a[:, None] - b) / (self.reach * width)
        return self.doubt**2 * np.exp(-0.5 * (steps**2).sum(-1))


def _logit(p: ArrayLike) -> _Array:
    value = np.clip(np.asarray(p, dtype=float), 1e-9, 1 - 1e-9)
    return np.log(value) - np.log1p(-value)


def _sigmoid(value: _Array) -> _Array:
    return 1 / (1 + np.exp(-value))
