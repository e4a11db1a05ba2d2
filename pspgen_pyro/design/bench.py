"""The simulator as a closed loop uses it: with a budget, and two piles of results.

What is *spread* is for the model to learn from. What is *checked* is for judging it, so no model
sees it before the answer is out.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..batches import TriadTensors
from ..chain import ChainSample
from ..process import ProcessSpace
from .target import Target

__all__ = ["Bench", "Simulator", "joined"]

_CHECK, _SPREAD = 0.05, 0.15


class Simulator(Protocol):
    """What the loop needs of a chain."""

    @property
    def process(self) -> ProcessSpace: ...

    def simulate(self, phi: ArrayLike, seeds: list[np.random.SeedSequence]) -> ChainSample: ...


class Bench:
    """The simulator with its budget: counts every call and keeps every triad, those to learn from
    and those to judge by apart."""

    def __init__(self, simulator: Simulator, like: TriadTensors, budget: int, seed: int) -> None:
        self.simulator, self.budget, self.seed = simulator, budget, seed
        self.calls = self.failed = 0
        # a spawn key that neither a data set nor a verification uses
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xC105,)))
        self.spreads = TriadTensors(like.phi[:0], like.x[:0], like.m[:0])
        self.checks = self.spreads
        self.counts: list[tuple[NDArray[np.float64], int, int]] = []
        self.block, self.portion = math.ceil(_CHECK * budget), math.ceil(_SPREAD * budget)

    @property
    def left(self) -> int:
        """The calls not yet spent."""
        return self.budget - self.calls

    @property
    def can_spread(self) -> bool:
        """Whether enough is left to spread some and to check afterwards what they taught."""
        return self.left >= self.portion + self.block

    def spread(self, phi: NDArray[np.float64]) -> None:
        """Simulates triads for the model to learn."""
        self.spreads = joined(self.spreads, self._simulate(phi)[0])

    def check(self, phi: NDArray[np.float64], target: Target) -> tuple[int, int]:
        """Simulates a block of triads that the model is not to see before the answer; returns how
        many did not fail, and how many of them met the target."""
        size = min(self.block, self.left)
        triads, m = self._simulate(np.tile(phi, (size, 1)))
        self.checks, hits = joined(self.checks, triads), int(target.contains(m).sum())
        self.counts.append((phi, hits, len(m)))
        return len(m), hits

    def _simulate(self, phi: NDArray[np.float64]) -> tuple[TriadTensors, NDArray[np.float64]]:
        """The triads, and the properties of all samples that did not fail."""
        numbers = range(self.calls, self.calls + len(phi))
        self.calls += len(phi)
        seeds = [np.random.SeedSequence(self.seed, spawn_key=(0xC105, i)) for i in numbers]
        sample = self.simulator.simulate(phi, seeds)
        known = ~np.isnan(sample.m).any(axis=-1)
        self.failed += int((~known).sum())
        # k = 0 counts as a miss, but its m = −∞ has no density to learn
        finite = np.isfinite(sample.m).all(axis=-1)
        parts = [torch.as_tensor(a[finite]) for a in (sample.phi, sample.x, sample.m)]
        olds = (self.spreads.phi, self.spreads.x, self.spreads.m)
        setting, x, m = (part.to(old) for part, old in zip(parts, olds, strict=True))
        return TriadTensors(setting, x, m), sample.m[known]


def joined(old: TriadTensors, new: TriadTensors) -> TriadTensors:
    """The rows of both, in order."""
    return TriadTensors(
        torch.cat([old.phi, new.phi]), torch.cat([old.x, new.x]), torch.cat([old.m, new.m])
    )
