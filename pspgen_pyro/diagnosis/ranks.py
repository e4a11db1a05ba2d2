r"""The probability integral transform by randomised ranks.

Of :math:`L` predictive draws let :math:`r` lie below the observation and :math:`t` equal it. Then

.. math:: \mathrm{PIT} = \frac{r + U (t + 1)}{L + 1}, \qquad U \sim \mathcal{U}(0, 1)

is exactly uniform when observation and draws have one distribution, ties or not; the plain
fraction :math:`r / L` is not, and a test of uniformity rejects it.

References:
    Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al., 2018)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["randomised_ranks"]


def randomised_ranks(
    observed: ArrayLike, predicted: ArrayLike, *, seed: int = 0
) -> NDArray[np.float64]:
    """The randomised rank of each observation among its predictive draws.

    Arguments:
        observed: Observations, with shape `(*)`.
        predicted: Draws, with shape `(L, *)`.

    Other arguments:
        seed: Seeds the randomisation.

    Returns:
        Values in (0, 1), with shape `(*)`.

    Raises:
        InputError: If the shapes do not fit, there is no draw, or a value is NaN.

    Example:
        >>> randomised_ranks([0.5, 9.0], np.zeros((99, 2))).round(2).tolist()
        [1.0, 0.99]
    """
    y, draws = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    if draws.ndim != y.ndim + 1 or draws.shape[1:] != y.shape or not len(draws):
        raise InputError(
            f"'predicted' has shape {draws.shape} and 'observed' {y.shape}; give draws first, "
            "then the shape of the observations."
        )
    if np.isnan(y).any() or np.isnan(draws).any():
        raise InputError("'observed' or 'predicted' holds NaN; leave failed samples out.")
    below, ties = (draws < y).sum(axis=0), (draws == y).sum(axis=0)
    u = np.random.default_rng(seed).random(y.shape)
    return (below + u * (ties + 1)) / (len(draws) + 1)
