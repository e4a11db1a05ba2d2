r"""Targets: the region :math:`\mathcal{M}_d` of property space in which the material should
land."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..distributions import NormalMixture
from ..errors import InputError

__all__ = ["Box"]


@dataclass(frozen=True)
class Box:
    r"""The axis-parallel box :math:`\mathcal{M}_d = \prod_j [a_j, b_j]`.

    Arguments:
        lower: The ends :math:`a`, one a property, in the units of m (log permeability).
        upper: The ends :math:`b`.

    Raises:
        InputError: If the lengths differ, an end is NaN, or an interval is inverted or empty.

    Example:
        >>> Box.parse("-10:-9,-7:-5")
        Box(lower=(-10.0, -7.0), upper=(-9.0, -5.0))
        >>> Box((-10, -7), (-9, -5)).contains([[-9.5, -6.0], [-8.0, -6.0]])
        array([ True, False])
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", tuple(float(a) for a in self.lower))
        object.__setattr__(self, "upper", tuple(float(b) for b in self.upper))
        if len(self.lower) != len(self.upper) or not self.lower:
            raise InputError(
                f"'target' has {len(self.lower)} lower and {len(self.upper)} upper ends; "
                "give one interval for every property."
            )
        for j, (a, b) in enumerate(zip(self.lower, self.upper, strict=True)):
            if np.isnan(a) or np.isnan(b):
                raise InputError(
                    f"'target' has NaN in interval {j + 1}; give a number for each end."
                )
            if a >= b:
                what = "has zero volume" if a == b else "is inverted"
                raise InputError(
                    f"'target' {what}: interval {j + 1} runs from {a:g} to {b:g}; "
                    "the lower end must lie below the upper one."
                )

    @classmethod
    def parse(cls, text: str) -> Box:
        """Reads "a1:b1,a2:b2", one interval a property.

        Raises:
            InputError: If the text is empty or not of this form.
        """
        try:
            ends = [tuple(float(end) for end in part.split(":")) for part in text.split(",")]
            lower, upper = zip(*[(a, b) for a, b in ends], strict=True)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"'target' is {text!r}; write one interval a property as lower:upper, separated "
                "by commas, "
                "for example --target=-10:-9,-7:-5."
            ) from error
        return cls(lower, upper)

    def __str__(self) -> str:
        return " × ".join(f"[{a:g}, {b:g}]" for a, b in zip(self.lower, self.upper, strict=True))

    def check_against(self, properties: int) -> None:
        """Says so if the box has another dimension than the properties.

        Raises:
            InputError: If the numbers differ.
        """
        if len(self.lower) != properties:
            raise InputError(
                f"'target' has {len(self.lower)} interval(s) but the model has {properties} "
                "properties; "
                "give one interval for each."
            )

    def contains(self, m: ArrayLike) -> NDArray[np.bool_]:
        """Whether each m with shape `(*, K)` lies in the box, ends included."""
        values = np.asarray(m)
        return ((values >= self.lower) & (values <= self.upper)).all(axis=-1)

    def log_probability(self, m: NormalMixture) -> Tensor:
        r"""The value of :math:`\log P(m \in \mathcal{M}_d)` for a mixture, in closed form."""
        a, b = (
            torch.tensor(end, dtype=m.loc.dtype, device=m.loc.device)
            for end in (self.lower, self.upper)
        )
        return m.log_box_probability(a, b)
