r"""Several targets at once, each of which may be met by another material.

.. math:: \prod_j \bar P_j(\varphi) \quad\text{or}\quad \min_j \bar P_j(\varphi)

The product is the probability that one material a target, all made at φ, meets its own; the least
asks that none of them fare badly. That one material meets all of several is a single target, their
bounds joined by commas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from ..errors import InputError
from .chances import Chance, Probability
from .target import Target
from .tolerance import Tolerance

__all__ = ["Least", "Product", "combined_targets"]


@dataclass(frozen=True)
class _Several(Chance):
    each_one: tuple[Probability, ...]

    @property
    def parts(self) -> tuple[Probability, ...]:
        return self.each_one

    def exactly(self) -> Self:
        return replace(self, each_one=tuple(part.exactly() for part in self.each_one))


@dataclass(frozen=True)
class Product(_Several):
    r"""The product :math:`\prod_j \bar P_j` of the probabilities of several regions.

    Arguments:
        each_one: Them.
    """

    def grouped(self, logs: Tensor) -> Tensor:
        return logs.sum(dim=0, keepdim=True)

    def __str__(self) -> str:
        return " · ".join(map(str, self.parts))


@dataclass(frozen=True)
class Least(_Several):
    r"""The least :math:`\min_j \bar P_j` of the probabilities of several regions. It has a kink
    where two are equal, which is where its maximum mostly is, so `SLSQP` maximises t with
    :math:`\bar P_j \ge t`.

    Arguments:
        each_one: Them.
    """

    smooth = False

    def __str__(self) -> str:
        return f"least of {', '.join(map(str, self.parts))}"


def combined_targets(
    targets: Sequence[Target], tolerance: Tolerance | None, combine: str
) -> Chance:
    """The probability of one target, or of several together.

    Arguments:
        targets: The regions.
        tolerance: How well φ is held; exactly if None.
        combine: "product" or "least".

    Raises:
        InputError: If there is no target, or `combine` is neither.
    """
    kinds = {"product": Product, "least": Least}
    if not isinstance(combine, str) or combine not in kinds:
        raise InputError(f"'combine' is {combine!r:.40}; choose 'product' or 'least'.")
    parts = tuple(Probability(target, tolerance) for target in targets)
    if not parts:
        raise InputError("'target' is empty; give one target, or several.")
    return parts[0] if len(parts) == 1 else kinds[combine](parts)
