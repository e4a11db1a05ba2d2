r"""Checking a design against fresh physics: simulate the chain at :math:`\varphi^*` and count.

With `h` of `n` simulated materials in the target, the probability is estimated as `h / n`; its
standard error is the standard deviation of the Beta(h + ½, n − h + ½) posterior under Jeffreys'
prior, which agrees with
:math:`\sqrt{p (1 - p) / n}` away from 0 and 1 and does not vanish at them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, SimulationError
from ..io.validation import check_memory, check_seed, check_whole
from ..schema import Schema
from .estimates import Estimate
from .optimism import combined
from .parsing import Requirement
from .simulation import Materials, Simulator, SimulatorFunction, adapted, simulated
from .target import Target
from .tolerance import Tolerance

__all__ = ["Verification", "frequency", "verify"]

_HELD = 0xF2E6


@dataclass(frozen=True)
class Verification:
    """Fresh simulations at one design.

    Arguments:
        target: The region.
        probability: The fraction that met the target, with its standard error.
        m: The simulated properties on their scales, with shape `(N, K)`.
        x: The simulated microstructures, with shape `(N, H, W)`; None if there are none.
    """

    target: Target
    probability: Estimate
    m: NDArray[np.float64]
    x: NDArray[Any] | None

    def together(self, model: Estimate) -> Estimate:
        """What a model's P with an interval and these simulations say together, see
        `optimism.combined`."""
        return combined(model, int(self.target.contains(self.m).sum()), len(self.m))

    def __str__(self) -> str:
        return f"P({self.target.event}) = {self.probability} by {len(self.m)} simulations"


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
    simulator: Simulator | SimulatorFunction,
    target: Target | Requirement,
    phi: ArrayLike,
    *,
    schema: Schema | None = None,
    tolerance: Mapping[str, Any] | str | Tolerance | None = None,
    samples: int = 400,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Verification:
    r"""Simulates fresh materials at one :math:`\varphi` and counts those in the target.

    Arguments:
        simulator: A chain, or a function of settings and seeds, see `simulation`.
        target: The region.
        phi: The process parameters, with shape `(P)`.

    Other arguments:
        schema: What the simulator's materials are; needed by a function, and by a target that is
            given by names.
        tolerance: How well φ is held, such as `{"T": 5, "t": "2 %"}`: each material is made at
            another φ + δ.
        samples: How many materials.
        seed: Seeds them; no data set shares their random numbers.
        progress: Called with the number of materials just finished.

    Raises:
        InputError: If φ is not one admissible setting or its tolerance leaves the process space,
            `samples` is not positive, or the simulator
            returns other sizes than the schema says.
        SimulationError: If a simulation failed; the sentence says why.
    """
    check_whole(samples=samples)
    check_seed(seed)
    asked = adapted(simulator, schema)
    check_memory("samples", samples, 8 * len(asked.process))
    region = target.resolve(schema)
    setting = asked.process.check(phi)
    if setting.ndim != 1:
        raise InputError(f"'phi' has shape {setting.shape}; verify one setting at a time.")
    settings = np.tile(setting, (samples, 1))
    if tolerance is not None:
        held = Tolerance.of(tolerance, asked.process)
        held.check(setting, asked.process)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_HELD,)))
        settings = held.drawn(setting, samples, rng)
    # a spawn key that no data set uses, so that these materials are new to the model
    parts = []
    for part in simulated(asked, settings, seed, 0xF2E5, progress):
        if part.failures:
            i, reason = next(iter(part.failures.items()))
            raise SimulationError(f"simulation {i} at φ = {settings[i].tolist()} failed: {reason}")
        parts.append(part)
    made = Materials.joined(parts)
    hits = region.contains(made.m).sum()
    return Verification(region, frequency(hits, samples), made.m, made.x)
