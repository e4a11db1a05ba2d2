"""Where the best setting may lie, for all that is known: what a closed loop searches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...model import PSPGen
from ..ascent import Design
from ..estimates import Estimate
from ..surface import probability
from ..target import Target
from .bench import Bench
from .discrepancy import Correction, Discrepancy

__all__ = ["Candidates"]

_SCOUTS, _MOST, _DRAWS = 1024, 400, 64


class Candidates:
    """Settings with the model's P and what was simulated at each: the ends of the model's ascents
    and scouts, half of them everywhere and half around those ends, near and far.

    Arguments:
        model: The model.
        design: Where its own ascents ended; the first candidate is its φ*.
        target: The region of property space.
        bench: The simulator.
        discrepancy: How far the model may be off.
    """

    def __init__(
        self, model: PSPGen, design: Design, target: Target, bench: Bench, discrepancy: Discrepancy
    ) -> None:
        self.process, self.bench, self.discrepancy = model.process, bench, discrepancy
        self.phi = _scouts(model, design, bench.rng)
        self.model = probability(model, target, self.phi, draws=_DRAWS, seed=bench.seed)
        self.samples, self.hits = (np.zeros(len(self.phi)) for _ in range(2))

    def simulate(self, which: NDArray[np.int64]) -> tuple[int, int]:
        """Simulates at candidates; returns how many did not fail, and how many met the target."""
        known, met = self.bench.simulate(self.phi[which])
        np.add.at(self.samples, which, known)
        np.add.at(self.hits, which, met)
        return int(known.sum()), int(met.sum())

    def look_around(self, count: int) -> None:
        """Simulates each time where a draw of the corrected P is largest, among the candidates
        whose P may be the largest."""
        while count:
            size, correction = min(self.bench.block, count), self.correction()
            found = correction.probability(self.phi, self.model.value)
            upper = np.asarray(found.value + 2 * found.standard_error)
            hopeful = np.flatnonzero(upper >= np.max(found.value))
            hopeful = self.bench.rng.permutation(hopeful)[:_MOST]
            draws = correction.draw(
                self.phi[hopeful], np.asarray(self.model.value)[hopeful], size, self.bench.rng
            )
            self.simulate(hopeful[draws.argmax(axis=1)])
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
        return i, found.at(i)

    def at(self, i: int) -> tuple[Estimate, Estimate]:
        """P at a candidate, corrected and by the model alone."""
        alone = self.model.at(i)
        return self.correction().probability(self.phi[i], alone.value), alone


def _scouts(model: PSPGen, design: Design, rng: np.random.Generator) -> NDArray[np.float64]:
    low, high = np.array(model.process.lower), np.array(model.process.upper)
    around = design.starts[rng.integers(len(design.starts), size=_SCOUTS)]
    reach = 10 ** rng.uniform(-2.5, -0.5, (_SCOUTS, 1))
    around = around + reach * (high - low) * rng.standard_normal((_SCOUTS, len(low)))
    everywhere = rng.uniform(low, high, (_SCOUTS, len(low)))
    return np.concatenate(
        [design.phi[None], design.starts, np.clip(around, low, high), everywhere]
    )
