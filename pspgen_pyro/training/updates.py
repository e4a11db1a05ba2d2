r"""How training steps: which parameters move together, and how the learning rate falls.

A half step moves one group of parameters with a gradient of its own. `Alternating` takes two half
steps a batch (the guide's :math:`\eta`, then the model's :math:`\theta`); `Joint` takes one step
for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

__all__ = ["Alternating", "Cosine", "Group", "Joint", "Plateau"]

Group = Literal["theta", "eta"]


@dataclass(frozen=True)
class Alternating:
    """Half steps: the guide's parameters first, then the model's (the method; the default).

    The guide steps without momentum: what it remembers is a direction from before the model's half
    step, and following it makes the two chase each other, with divergences of thousands of nats in
    the first epochs. Later spikes are what the clipping in `fit` is for.

    Arguments:
        guide_rate: The guide's learning rate as a fraction of the model's.
        guide_momentum: Adam's first decay rate for the guide.
    """

    guide_rate: float = 0.5
    guide_momentum: float = 0.0
    half_steps: ClassVar[tuple[tuple[Group, ...], ...]] = (("eta",), ("theta",))


@dataclass(frozen=True)
class Joint:
    """One step for all parameters at once, same rate and momentum for both groups."""

    guide_rate: float = 1.0
    guide_momentum: float = 0.9
    half_steps: ClassVar[tuple[tuple[Group, ...], ...]] = (("eta", "theta"),)


@dataclass(frozen=True)
class Cosine:
    """The learning rate falls along a half cosine to `final` times its start over all epochs."""

    final: float = 0.01

    def factor(self, epoch: int, epochs: int, losses: Sequence[float]) -> float:
        """The factor on the learning rate in this epoch (counted from 0)."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@dataclass(frozen=True)
class Plateau:
    """The learning rate is multiplied by `decay` whenever the validation loss has not improved for
    `patience` epochs."""

    patience: int = 20
    decay: float = 1 / 3

    def factor(self, epoch: int, epochs: int, losses: Sequence[float]) -> float:
        """The factor on the learning rate in this epoch, given the validation losses so far."""
        power, best, waited = 0, math.inf, 0
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= self.patience:
                power, waited = power + 1, 0
        return self.decay**power
