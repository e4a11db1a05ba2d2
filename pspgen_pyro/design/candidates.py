"""The near-optimal set as a closed loop searches it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ..model import PSPGen
from .ascent import Design
from .bench import Bench
from .discrepancy import Correction, Discrepancy
from .probability import Estimate, log_probability, probability, sobol_normal
from .target import Target

__all__ = ["Candidates"]

_SCOUTS, _SCOUT_DRAWS, _MOST = 1024, 64, 400


class Candidates:
    """Settings any of which may be φ*, with the model's P and what was simulated at each.

    Arguments:
        model: The model.
        target: The region of property space.
        design: Where the model's own ascents ended.
        near: The fraction of the largest P that a candidate must reach.
        bench: The simulator.
        discrepancy: How far the model may be off.
    """

    def __init__(
        self,
        model: PSPGen,
        target: Target,
        design: Design,
        near: float,
        bench: Bench,
        discrepancy: Discrepancy,
    ) -> None:
        self.process, self.bench, self.discrepancy = model.process, bench, discrepancy
        self.phi = _near_optimal(model, target, design, near, bench.rng)
        self.model = probability(model, target, self.phi, seed=bench.seed)
        self.samples, self.hits = (np.zeros(len(self.phi)) for _ in range(2))

    def simulate(self, which: NDArray[np.int64]) -> tuple[int, int]:
        """Simulates at candidates; returns how many did not fail, and how many met the target."""
        known, met = self.bench.simulate(self.phi[which])
        np.add.at(self.samples, which, known)
        np.add.at(self.hits, which, met)
        return int(known.sum()), int(met.sum())

    def look_around(self, count: int) -> None:
        """Simulates each time where a draw of the corrected P is largest."""
        while count:
            size = min(self.bench.block, count)
            draws = self.correction().draw(self.phi, self.model.value, size, self.bench.rng)
            self.simulate(draws.argmax(axis=1))
            count -= size

    def correction(self) -> Correction:
        """What all simulations say that the model's P lacks."""
        seen = self.samples > 0
        p = np.asarray(self.model.value)[seen]
        return self.discrepancy.given(
            self.process, self.phi[seen], p, self.hits[seen], self.samples[seen]
        )

    def best(self) -> tuple[int, Estimate]:
        """The candidate with the largest mean of the corrected P, and that P."""
        found = self.correction().probability(self.phi, self.model.value)
        i = int(np.argmax(found.value))
        return i, Estimate(found.value[i], found.standard_error[i])

    def at(self, i: int) -> tuple[Estimate, Estimate]:
        """P at a candidate, corrected and by the model alone."""
        alone = Estimate(self.model.value[i], self.model.standard_error[i])
        return self.correction().probability(self.phi[i], alone.value), alone


def _near_optimal(
    model: PSPGen, target: Target, design: Design, near: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The model's φ* and others of the near-optimal set, with shape `(Q, P)`: ends of ascents,
    and of the scouts half look everywhere and half around those ends, near and far."""
    low, high = np.array(model.process.lower), np.array(model.process.upper)
    around = design.starts[rng.integers(len(design.starts), size=_SCOUTS)]
    reach = 10 ** rng.uniform(-2.5, -0.5, (_SCOUTS, 1))
    around = around + reach * (high - low) * rng.standard_normal((_SCOUTS, len(low)))
    scouts = [rng.uniform(low, high, (_SCOUTS, len(low))), np.clip(around, low, high)]
    phi = np.concatenate([design.phi[None], design.starts, *scouts])
    noise = sobol_normal(_SCOUT_DRAWS, model.dims.latent, int(rng.integers(1 << 31)))
    inputs = torch.tensor(phi).to(model.m_loc).split(64)
    with torch.no_grad():
        log_p = torch.cat(
            [log_probability(model, target, part, noise.to(model.m_loc)) for part in inputs]
        )
    values = log_p.double().cpu().numpy()
    good = np.flatnonzero(values[1:] >= values[0] + math.log(near)) + 1
    chosen = rng.permutation(good)[:_MOST]
    return np.unique(phi[np.r_[0, chosen]], axis=0)
