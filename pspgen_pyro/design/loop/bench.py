"""The simulator as a closed loop uses it: with a budget."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ...data.batches import Batch
from ..simulation import Simulator
from ..target import Target

__all__ = ["Bench"]

_BLOCK = 0.05


class Bench:
    """The simulator with its budget: counts every call, keeps every triad, and how often the
    target was met at each setting."""

    def __init__(
        self, simulator: Simulator, target: Target, like: Batch, budget: int, seed: int
    ) -> None:
        self.simulator, self.target, self.budget, self.seed = simulator, target, budget, seed
        self.calls = self.failed = 0
        # a spawn key that neither a data set nor a verification uses
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xC105,)))
        self.triads = like[:0]
        self.block = math.ceil(_BLOCK * budget)

    @property
    def left(self) -> int:
        """The calls not yet spent."""
        return self.budget - self.calls

    def simulate(self, phi: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Simulates a material at each setting; returns which did not fail, and which met the
        target."""
        numbers = range(self.calls, self.calls + len(phi))
        self.calls += len(phi)
        seeds = [np.random.SeedSequence(self.seed, spawn_key=(0xC105, i)) for i in numbers]
        sample = self.simulator.simulate(phi, seeds)
        known = ~np.isnan(sample.m).any(axis=-1)
        self.failed += int((~known).sum())
        # a value without an m counts as a miss, and has no density to learn
        finite = np.isfinite(sample.m).all(axis=-1)
        old = self.triads
        x = None
        if old.x is not None and sample.x is not None:
            x = torch.as_tensor(sample.x[finite]).to(old.x)
        phi, m = (torch.as_tensor(a[finite]).to(old.phi) for a in (sample.phi, sample.m))
        self.triads = old.joined(Batch(phi, x, m))
        return known, known & self.target.contains(sample.m)
