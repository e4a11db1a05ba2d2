"""What a run can be asked about its process: how likely a target is, where it is likeliest or
cheapest, and how far settings may stray."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..design import (
    Cautious,
    Cost,
    Design,
    Estimate,
    Priced,
    Support,
    Target,
    Tolerance,
    Window,
    cheapest,
    maximise,
    pareto,
    probability,
    window,
)
from ..design.chances import Chance
from ..design.parsing import Requirement, parse_target
from ..design.several import combined_targets
from ..design.unsure import reasons
from ..design.window import around
from ..errors import InputError
from ..io.validation import check_flags, check_instance
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..schema import Schema

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Held", "Question", "Questions"]

Question = str | Requirement | Target
Held = Mapping[str, Any] | str | Tolerance | None


class Questions(ABC):
    """Whoever has a model, and maybe the properties that it was trained on."""

    model: PSPGen | Ensemble
    support: Support | None

    @property
    def schema(self) -> Schema:
        """What a triad is."""
        return self.model.schema

    def target(self, question: Question) -> Target:
        """The region of m that a question asks for.

        Raises:
            InputError: If it cannot be read, or does not fit the schema.
        """
        kinds = (str, Requirement, Target)
        check_instance(kinds, "a text such as 'strength > 30 MPa', or a region", target=question)
        if isinstance(question, str):
            return parse_target(question, self.schema)
        return question.resolve(self.schema)

    def probability(self, target: Question, phi: ArrayLike, **options: Any) -> Estimate:
        """The probability of the target at φ; see `design.probability` for options, such as
        `tolerance`, and errors."""
        return probability(self.model, self.target(target), phi, **options)

    def design(
        self,
        target: Question | Sequence[Question],
        *,
        cautious: bool = False,
        tolerance: Held = None,
        cost: Any = None,
        price: float | None = None,
        combine: str = "product",
        **options: Any,
    ) -> Design:
        r"""The settings :math:`\varphi^*` at which the target is likeliest.

        Arguments:
            target: The question, or several.

        Other arguments:
            cautious: Maximise the lower end of the 90 % interval of P instead.
            tolerance: How well settings are held, such as `{"T": 5, "t": "2 %"}` or "T=5, t=2 %":
                P is the mean over what the process makes of φ, see `design.tolerance`.
            cost: What a setting costs, such as `{"T": 0.02, "t": 1.0}`, "0.02 T + t" or a function
                of φ in torch; maximise P less `price` times it.
            price: What one unit of the cost is worth, as a probability.
            combine: Of several targets, maximise the "product" or the "least" of their P.
            options: Those of `design.maximise`; `support` is the run's own.

        Raises:
            InputError: As `maximise` does, if one of these cannot be read, or if a model that does
                not know how sure it is shall be cautious.
        """
        chance = self._chance(target, cautious, tolerance, combine)
        if (cost is None) != (price is None):
            raise InputError(
                "'cost' and 'price' belong together, the price being what one unit of the cost is "
                "worth as a probability; give both, or ask `run.cheapest` for the least cost."
            )
        if cost is not None and price is not None:
            chance = Priced(chance, Cost.of(cost, self.schema.process), price)
        return maximise(self.model, chance, **{"support": self.support, **options})

    def cheapest(
        self,
        target: Question | Sequence[Question],
        *,
        cost: Any,
        least: float = 0.8,
        cautious: bool = False,
        tolerance: Held = None,
        combine: str = "product",
        **options: Any,
    ) -> Design:
        """The cheapest settings where P is at least `least`; of several targets their "product" or
        the "least" of them, as for `design`; see `design.cheapest` for the errors."""
        chance = self._chance(target, cautious, tolerance, combine)
        options = {"support": self.support, **options}
        return cheapest(self.model, chance, Cost.of(cost, self.schema.process), least, **options)

    def pareto(
        self,
        target: Question | Sequence[Question],
        *,
        cost: Any,
        points: int = 20,
        cautious: bool = False,
        tolerance: Held = None,
        combine: str = "product",
        **options: Any,
    ) -> xr.Dataset:
        """What every P costs, as `plots.pareto_front` draws it: settings none of which another one
        beats in both; arguments as for `design`, see `design.pareto`."""
        chance = self._chance(target, cautious, tolerance, combine)
        options = {"support": self.support, **options}
        return pareto(self.model, chance, Cost.of(cost, self.schema.process), points, **options)

    def window(
        self,
        design: Design | ArrayLike,
        target: Question | Sequence[Question] | None = None,
        least: float = 0.8,
        *,
        cautious: bool = False,
        combine: str = "product",
        **options: Any,
    ) -> Window:
        """How far the settings of a design may stray before P falls below `least`, each alone and
        all together.

        Arguments:
            design: The design, or settings with shape `(P)`.
            target: The question; that of the design if None, and what its search was found to put
                on P is then taken off.
            least: What P must be.

        Other arguments:
            cautious: Ask it of the lower end of the 90 % interval.
            combine: As for `design`.
            options: Those of `design.window`.

        Raises:
            InputError: If there is no target, or as `design.window` does.
        """
        phi = np.asarray(design.phi if isinstance(design, Design) else design, dtype=float)
        if target is not None:
            chance, margin = self._chance(target, cautious, None, combine), 0.0
        elif isinstance(design, Design):
            chance, margin = around(design, cautious)
        else:
            raise InputError("'target' is missing; settings alone do not say what is wanted.")
        return window(self.model, chance, phi, least, margin=margin, **options)

    def _chance(
        self,
        target: Question | Sequence[Question],
        cautious: bool,
        tolerance: Held,
        combine: str,
    ) -> Chance:
        """The probability that is asked for."""
        one = isinstance(target, (str, Requirement, Target))
        if not one:
            check_instance((list, tuple), "a target, or a list of some", target=target)
        check_flags(cautious=cautious)
        targets = [self.target(each) for each in ([target] if one else target)]
        held = None if tolerance is None else Tolerance.of(tolerance, self.schema.process)
        chance = combined_targets(targets, held, combine)
        return Cautious(chance) if cautious else chance

    def unsure(self, design: Design) -> list[str]:
        """Why the P of a design is uncertain and what would help most, in sentences; none if its
        interval reaches less than 0.05 to either side.

        Raises:
            InputError: If the design asks for no region.
        """
        images = self.schema.microstructure is not None
        return reasons(design, self.schema.process, self.support, images=images)
