r"""Targets: the region :math:`\mathcal{M}_d` of property space in which the material should land.

Every target is a finite union of disjoint axis-parallel boxes, some of whose ends may be infinite,

.. math::
    \mathcal{M}_d = \bigsqcup_i B_i, \qquad
    P(m \in \mathcal{M}_d) = \sum_i P(m \in B_i),

and the probability of a box under a mixture of diagonal Gaussians is closed-form. Boxes that
overlap are cut into disjoint ones first, so that no material counts twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..io.validation import Record, read, real_array
from ..model.distributions import NormalMixture
from ..model.normal import truncated_normal

if TYPE_CHECKING:
    from ..schema import Schema

__all__ = ["MOST_REGIONS", "Box", "Boxes", "Target", "target_from_json"]


MOST_REGIONS, _MOST_PIECES = 200, 2000


class Target(ABC):
    """A region of property space, of m on the properties' scales, that is a union of boxes."""

    @property
    @abstractmethod
    def boxes(self) -> tuple[Box, ...]:
        """Disjoint boxes (up to shared faces) that together are the region."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The region as `target_from_json` reads it; an infinite end is None."""

    def check_against(self, properties: int) -> None:
        """Says so if the region has another dimension than the properties.

        Raises:
            InputError: If the numbers differ.
        """
        came = len(self.boxes[0].lower)
        if came != properties:
            raise InputError(
                f"'target' has {came} interval(s) but the model has {properties} properties; "
                "give one interval for each."
            )

    def resolve(self, schema: Schema | None) -> Target:
        """The region itself, its dimension checked if there is a schema; see
        `Requirement.resolve`.

        Raises:
            InputError: If the schema has another number of properties.
        """
        if schema is not None:
            self.check_against(len(schema.properties))
        return self

    @property
    @abstractmethod
    def words(self) -> str:
        """The region by the properties' names and units; empty if it was given on m."""

    @property
    def event(self) -> str:
        """What P is the probability of, in words."""
        return self.words or f"m ∈ {self}"

    def contains(self, m: ArrayLike) -> NDArray[np.bool_]:
        """Whether each m with shape `(*, K)` lies in the region, its boundary included."""
        values = np.asarray(m)
        inside = [((values >= b.lower) & (values <= b.upper)).all(axis=-1) for b in self.boxes]
        return np.logical_or.reduce(inside)

    def log_probability(self, m: NormalMixture) -> Tensor:
        r"""The value of :math:`\log P(m \in \mathcal{M}_d)` for a mixture with batch shape `(*)`,
        in closed form."""
        parts = [m.log_box_probability(*box.ends(m.loc)) for box in self.boxes]
        return parts[0] if len(parts) == 1 else torch.logsumexp(torch.stack(parts), dim=0)

    def draw_inside(
        self, loc: Tensor, scale: Tensor, generator: torch.Generator, limits: Tensor | None = None
    ) -> Tensor:
        """Draws from diagonal Gaussians, given that m lies in the region; beyond a detection limit
        inside it, what m would be without one.

        Arguments:
            loc: The means, with shape `(N, K)`.
            scale: The standard deviations, with shape `(N, K)`.
            generator: The source of random numbers.
            limits: The detection limits of m, with shape `(2, K)`; None if there are none.
        """
        law = NormalMixture(torch.zeros_like(loc[:, :1]), loc[:, None], scale[:, None], limits)
        odds = torch.stack([box.log_probability(law) for box in self.boxes], dim=-1)
        odds = odds.double().softmax(dim=-1).cpu()
        which = torch.multinomial(odds, 1, generator=generator).squeeze(-1).to(loc.device)
        ends = zip(*[law.reaching(*box.ends(loc)) for box in self.boxes], strict=True)
        lower, upper = (torch.stack(end)[which] for end in ends)
        return truncated_normal(loc, scale, lower, upper, generator)


@dataclass(frozen=True)
class Box(Target):
    r"""The axis-parallel box :math:`\mathcal{M}_d = \prod_j [a_j, b_j]`.

    An end may be infinite: :math:`[-7, \infty)` bounds a property from below alone.

    Arguments:
        lower: The ends :math:`a`, one a property, on the properties' scales.
        upper: The ends :math:`b`.
        words: The same by the properties' names and units, where somebody asked so.

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
    words: str = field(default="", compare=False, repr=False)  # type: ignore[override]

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            ends = real_array(vars(self)[name], name, "one number a property")
            object.__setattr__(self, name, tuple(ends.tolist()) if ends.ndim == 1 else ())
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
            if "_" in text:
                raise ValueError(text)
            ends = [tuple(float(end) for end in part.split(":")) for part in text.split(",")]
            lower, upper = zip(*[(a, b) for a, b in ends], strict=True)
        except ValueError as error:
            raise InputError(
                f"'target' is {text!r}; write bounds by name as in --target='k_h<1e-12 m^2, "
                "strength>30 MPa', or one interval of m a property as lower:upper, separated by "
                "commas, for example --target=-10:-9,-7:-5."
            ) from error
        return cls(lower, upper)

    @classmethod
    def around(cls, point: Sequence[float], tolerance: float | Sequence[float]) -> Box:
        r"""The box :math:`|m_j - t_j| \le \tau_j` around a point.

        Arguments:
            point: The point :math:`t`, one number a property.
            tolerance: The tolerances :math:`\tau`, one for all or one a property.

        Raises:
            InputError: If a tolerance is not positive, or the lengths differ.

        Example:
            >>> Box.around((-7.0, -9.0), 0.5)
            Box(lower=(-7.5, -9.5), upper=(-6.5, -8.5))
        """
        try:
            centre, reach = np.broadcast_arrays(
                np.asarray(point, float), np.asarray(tolerance, float)
            )
        except ValueError as error:
            raise InputError(
                f"'tolerance' has {np.size(tolerance)} entries but 'point' has {np.size(point)}; "
                "give one for all or one for each property."
            ) from error
        if not (reach > 0).all():
            raise InputError(f"'tolerance' is {tolerance}; it must be positive.")
        return cls(tuple(np.atleast_1d(centre - reach)), tuple(np.atleast_1d(centre + reach)))

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The box itself."""
        return (self,)

    @property
    def volume(self) -> float:
        r"""The volume :math:`|\mathcal{M}_d|`, infinite if an end is."""
        return float(np.prod(np.subtract(self.upper, self.lower)))

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The lower and the upper ends, with shape `(K)` each, in the type of `like`."""
        a, b = (torch.tensor(e, dtype=like.dtype, device=like.device) for e in self._ends)
        return a, b

    def to_json(self) -> dict[str, Any]:
        """The ends, under "lower" and "upper", and the words, if there are any."""
        a, b = ([end if np.isfinite(end) else None for end in ends] for ends in self._ends)
        return {"lower": a, "upper": b} | ({"words": self.words} if self.words else {})

    @property
    def _ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.lower, self.upper

    def __str__(self) -> str:
        return self.words or " × ".join(
            ("(-∞" if np.isinf(a) else f"[{a:g}") + ", " + ("∞)" if np.isinf(b) else f"{b:g}]")
            for a, b in zip(self.lower, self.upper, strict=True)
        )


@dataclass(frozen=True)
class Boxes(Target):
    r"""The union :math:`\bigcup_i B_i` of boxes, which may overlap.

    Arguments:
        members: The boxes as they were given.

    Raises:
        InputError: If there is no box, or they differ in dimension.

    Example:
        >>> Boxes((Box((0,), (2,)), Box((1,), (3,)))).boxes
        (Box(lower=(0.0,), upper=(2.0,)), Box(lower=(2.0,), upper=(3.0,)))
    """

    members: tuple[Box, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        sizes = sorted({len(box.lower) for box in self.members})
        if len(sizes) != 1:
            raise InputError(
                f"'members' has {len(self.members)} boxes of {sizes} intervals; "
                "give at least one box, and as many intervals in each."
            )
        if len(self.members) > MOST_REGIONS:
            raise InputError(
                f"'target' has {len(self.members)} regions; give at most {MOST_REGIONS}, wider "
                "ones."
            )
        disjoint: list[Box] = []
        for box in self.members:
            pieces = [box]
            for other in disjoint:
                pieces = [part for piece in pieces for part in _minus(piece, other)]
            disjoint += pieces
            if len(disjoint) > _MOST_PIECES:
                raise InputError(
                    f"'target' has regions that overlap in more than {_MOST_PIECES} pieces; give "
                    "fewer or simpler ones."
                )
        object.__setattr__(self, "_disjoint", tuple(disjoint))

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The disjoint pieces, in the order of the members."""
        return self._disjoint  # type: ignore[attr-defined]

    @property
    def words(self) -> str:
        """The members' words, joined by "or"."""
        named = any(box.words for box in self.members)
        return " or ".join(box.event for box in self.members) if named else ""

    def to_json(self) -> dict[str, Any]:
        """The members, under "boxes"."""
        return {"boxes": [box.to_json() for box in self.members]}

    def __str__(self) -> str:
        return self.words or " ∪ ".join(f"({box})" for box in self.members)


class _StoredBox(Record):
    """A box as JSON holds it."""

    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    words: str = ""

    def box(self) -> Box:
        return Box(
            tuple(-np.inf if end is None else end for end in self.lower),
            tuple(np.inf if end is None else end for end in self.upper),
            self.words,
        )


class _StoredBoxes(Record):
    """A union of boxes as JSON holds it."""

    boxes: tuple[_StoredBox, ...]


def target_from_json(content: Any, where: str = "target") -> Target:
    """The target that `to_json` described.

    Raises:
        DataError: If an entry is missing, unknown or of another type.
        InputError: If the region makes no sense.

    Example:
        >>> target_from_json(Box((-7, -9), (np.inf, -8)).to_json())
        Box(lower=(-7.0, -9.0), upper=(inf, -8.0))
    """
    if isinstance(content, Mapping) and "boxes" in content:
        return Boxes(tuple(one.box() for one in read(_StoredBoxes, content, where).boxes))
    return read(_StoredBox, content, where).box()


def _minus(box: Box, other: Box) -> list[Box]:
    """Disjoint boxes that together are `box` without `other`."""
    pairs = list(zip(box.lower, box.upper, other.lower, other.upper, strict=True))
    if any(c >= b or d <= a for a, b, c, d in pairs):
        return [box]
    pieces, lower, upper = [], list(box.lower), list(box.upper)
    for j, (a, b, c, d) in enumerate(pairs):
        if a < c:
            pieces.append(Box(tuple(lower), (*upper[:j], c, *upper[j + 1 :])))
            lower[j] = c
        if d < b:
            pieces.append(Box((*lower[:j], d, *lower[j + 1 :]), tuple(upper)))
            upper[j] = d
    return pieces
