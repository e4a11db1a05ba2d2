r"""Checking a design against fresh physics: simulate the chain at :math:`\varphi^*` and count.

With `h` of `n` simulated materials in the target, the probability is estimated as `h / n`; its standard error is the
standard deviation of the Beta(h + ½, n − h + ½) posterior under Jeffreys' prior, which agrees with
:math:`\sqrt{p (1 - p) / n}` away from 0 and 1 and does not vanish at them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..chain import Chain
from ..errors import InputError
from .probability import Estimate
from .target import Box

__all__ = ["Verification", "frequency", "verify"]


@dataclass(frozen=True)
class Verification:
    """Fresh simulations at one design.

    Arguments:
        probability: The fraction that met the target, with its standard error.
        m: The simulated properties, with shape `(N, K)`.
        x: The simulated microstructures, with shape `(N, H, W)`.
        percolates: Whether the void percolates, a direction each, with shape `(N, K)`.
    """

    probability: Estimate
    m: NDArray[np.float64]
    x: NDArray[np.uint8]
    percolates: NDArray[np.bool_]


def frequency(hits: ArrayLike, samples: int) -> Estimate:
    """The fraction `hits / samples` and its standard error.

    Example:
        >>> print(frequency(320, 400))
        0.800 ± 0.020
    """
    h = np.asarray(hits, dtype=float)
    a, b = h + 0.5, samples - h + 0.5
    return Estimate(h / samples, np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1))))


def verify(chain: Chain, target: Box, phi: ArrayLike, *, samples: int = 400, seed: int = 0) -> Verification:
    """Simulates `samples` fresh materials at one φ and counts those in the target.

    Raises:
        InputError: If φ is not one admissible setting or `samples` is not positive.
    """
    if samples < 1:
        raise InputError(f"'samples' is {samples}; it must be at least 1.")
    settings = np.broadcast_to(chain.process.check(phi), (samples, len(chain.process)))
    # a spawn key that no data set uses, so that these materials are new to the model
    seeds = [np.random.SeedSequence(seed, spawn_key=(0xF2E5, i)) for i in range(samples)]
    result = chain.simulate(settings, seeds)
    hits = int(target.contains(result.m).sum())
    return Verification(frequency(hits, samples), result.m, result.x, result.percolates)
