r"""Checking a design against fresh physics: simulate the chain at :math:`\varphi^*` and count.

With `h` of `n` simulated materials in the target, the probability is estimated as `h / n`; its
standard error is the standard deviation of the Beta(h + ½, n − h + ½) posterior under Jeffreys'
prior, which agrees with
:math:`\sqrt{p (1 - p) / n}` away from 0 and 1 and does not vanish at them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, SimulationError
from .probability import Estimate
from .target import Target

if TYPE_CHECKING:
    from ..chain import Chain

__all__ = ["Verification", "frequency", "verify"]

_BATCH = 50


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


def verify(
    chain: Chain,
    target: Target,
    phi: ArrayLike,
    *,
    samples: int = 400,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Verification:
    r"""Simulates fresh materials at one :math:`\varphi` and counts those in the target.

    Arguments:
        chain: The simulator.
        target: The region.
        phi: The process parameters, with shape `(P)`.

    Other arguments:
        samples: How many materials.
        seed: Seeds them; no data set shares their random numbers.
        progress: Called with the number of materials just finished.

    Raises:
        InputError: If φ is not one admissible setting or `samples` is not positive.
        SimulationError: If a simulation failed; the sentence says why.
    """
    if samples < 1:
        raise InputError(f"'samples' is {samples}; it must be at least 1.")
    setting = chain.process.check(phi)
    if setting.ndim != 1:
        raise InputError(f"'phi' has shape {setting.shape}; verify one setting at a time.")
    # a spawn key that no data set uses, so that these materials are new to the model
    seeds = [np.random.SeedSequence(seed, spawn_key=(0xF2E5, i)) for i in range(samples)]
    parts = []
    for start in range(0, samples, _BATCH):
        batch = seeds[start : start + _BATCH]
        part = chain.simulate(np.tile(setting, (len(batch), 1)), batch)
        if part.failures:
            i, reason = next(iter(part.failures.items()))
            raise SimulationError(
                f"simulation {start + i} at φ = {setting.tolist()} failed: {reason}"
            )
        parts.append(part)
        if progress is not None:
            progress(len(batch))
    m, x, percolates = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("m", "x", "percolates")
    )
    return Verification(frequency(target.contains(m).sum(), samples), m, x, percolates)
