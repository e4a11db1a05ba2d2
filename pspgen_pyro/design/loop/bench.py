"""The simulator as a closed loop uses it: with a budget."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ...data.batches import TriadTensors
from ...errors import InputError
from ..simulation import Simulator
from ..target import Target

__all__ = ["Bench", "joined"]

_BLOCK = 0.05


class Bench:
    """The simulator with its budget: counts every call, keeps every triad, and how often the
    target was met at each setting."""

    def __init__(
        self, simulator: Simulator, target: Target, like: TriadTensors, budget: int, seed: int
    ) -> None:
        self.simulator, self.target, self.budget, self.seed = simulator, target, budget, seed
        self.calls = self.failed = 0
        # a spawn key that neither a data set nor a verification uses
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xC105,)))
        self.triads = TriadTensors(like.phi[:0], like.x[:0], like.m[:0])
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
        if sample.x is None:
            raise InputError(
                "'simulator' returned no microstructures, but this model learns from them; return "
                "microstructures and values."
            )
        known = ~np.isnan(sample.m).any(axis=-1)
        self.failed += int((~known).sum())
        # k = 0 counts as a miss, but its m = −∞ has no density to learn
        finite = np.isfinite(sample.m).all(axis=-1)
        parts = [torch.as_tensor(a[finite]) for a in (sample.phi, sample.x, sample.m)]
        olds = (self.triads.phi, self.triads.x, self.triads.m)
        new = TriadTensors(*(part.to(old) for part, old in zip(parts, olds, strict=True)))
        self.triads = joined(self.triads, new)
        return known, known & self.target.contains(sample.m)


def joined(old: TriadTensors, new: TriadTensors) -> TriadTensors:
    """The rows of both, in order."""
    return TriadTensors(
        torch.cat([old.phi, new.phi]), torch.cat([old.x, new.x]), torch.cat([old.m, new.m])
    )
