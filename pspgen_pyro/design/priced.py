r"""Objectives that know what a setting costs.

.. math::
    \max_\varphi\; P(\varphi) - \lambda\, c(\varphi), \qquad
    \min_\varphi\; c(\varphi) \;\text{ with }\; P(\varphi) \ge p

Both are probabilities to everyone else: their value is P, their cost is told beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..io.validation import is_number
from ..model import PSPGen
from ..model.ensemble import Ensemble
from .cautious import Derived
from .chances import Chance
from .cost import Cost
from .estimates import link, unlink

__all__ = ["Cheapest", "Priced", "check_level"]

_STRICT, _RELAXED = 1e6, 100.0
_SLACK = 1e-3


@dataclass(frozen=True)
class Priced(Derived):
    r"""P less a price times the cost, :math:`P(\varphi) - \lambda\, c(\varphi)`; of a cautious P
    its lower end.

    Arguments:
        of: The probability of one region or of several.
        cost: What a setting costs.
        price: What one unit of the cost is worth, as a probability.

    Raises:
        InputError: If the price is negative or not finite.
    """

    of: Chance
    cost: Cost
    price: float

    def __post_init__(self) -> None:
        if not (is_number(self.price) and self.price >= 0):
            raise InputError(
                f"'price' is {self.price!r:.40}; give what one unit of the cost is worth as a "
                "probability, a number that is not negative."
            )

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.of.smooth

    def pieces(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        return self.of.promise(self.of.pieces(model, phi, noise)) - self.price * self.cost(phi)

    def rated(self, log_p: Tensor, phi: Tensor) -> Tensor:
        return log_p.exp() - self.price * self.cost(phi)

    def told(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        """The score of the probability alone."""
        return self.of.score(model, phi, noise)

    def __str__(self) -> str:
        return str(self.of)


@dataclass(frozen=True)
class Cheapest(Derived):
    r"""The least cost where P is large enough; of a cautious P its lower end.

    Its score is minus the cost as a share of its range, less a penalty where P is too low;
    `SLSQP` solves the constrained problem itself.

    Arguments:
        of: The probability of one region or of several, each of which counts alone in `Least`.
        cost: What a setting costs.
        least: How large P must be.
        margin: How much more, on the scale of h: what a search will be found to put on.
        penalty: What a P too low costs, by the square of how far.

    Raises:
        InputError: If `least` is not between 0 and 1.
    """

    of: Chance
    cost: Cost
    least: float
    margin: float = 0.0
    penalty: float = _STRICT

    smooth = False

    def __post_init__(self) -> None:
        check_level(self.least)

    @property
    def promised(self) -> float:
        """What P must promise."""
        return float(unlink(link(self.least) + self.margin))

    def relaxed(self) -> Cheapest:
        return replace(self, penalty=_RELAXED)

    def score(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        goal, slack = self.program(model, phi, noise)
        return goal - self.penalty * (-slack).clamp(min=0).square().sum(dim=0)

    def program(
        self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        slack = self.of.pieces(model, phi, noise) - self.of.level(self.promised)
        return -self.cost(phi) / self.cost.scale, slack

    def rated(self, log_p: Tensor, phi: Tensor) -> Tensor:
        short = (math.log(self.promised) - log_p).clamp(min=0)
        return -self.cost(phi) / self.cost.scale - self.penalty * short.square()

    def told(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        """The score of the probability alone."""
        return self.of.score(model, phi, noise)

    def unmet(self, model: Any, phi: Tensor, noise: Tensor) -> str:
        slack = self.program(model, phi, noise)[1]
        if bool((slack >= -_SLACK).all()):
            return ""
        return f"not reached: no setting was found where P ≥ {self.promised:.3f}; ask for less"

    def __str__(self) -> str:
        return str(self.of)


def check_level(least: float) -> None:
    """Raises an InputError unless a P is between 0 and 1."""
    if not (is_number(least) and 0 < least < 1):
        raise InputError(
            f"'least' is {least!r:.40}; give a probability between 0 and 1, such as 0.8."
        )
