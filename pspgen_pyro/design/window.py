r"""The other way round: how far the settings may stray before P falls below a wanted one.

.. math::
    \varphi^*_j \in [a_j, b_j]: \; P(\varphi) \ge p \;\;\forall \varphi_j \in [a_j, b_j], \qquad
    \max_{a \le \varphi^* \le b} \prod_j \frac{b_j - a_j}{u_j - l_j}
    \;\text{ with }\; P(\varphi) \ge p \;\;\forall \varphi \in [a, b]

first for each parameter alone, the others held at :math:`\varphi^*`, then for all together; how
they are found says `straying`.

Of a design, what its search was found to put on P is taken off everywhere. Discrete and fixed
settings, and zeros by "at most k of …", stay as they are at :math:`\varphi^*`; steps and volumes
of a setting that is learned by its logarithm are those of the logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .ascent import Design
from .cautious import Cautious, Derived
from .chances import Chance
from .estimates import EnsembleEstimate, ends_of, link
from .optimisers import Problem
from .priced import check_level
from .straying import StrayingProblem, WindowSearch

__all__ = ["Window", "around", "window"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Window:
    r"""How far settings may stray.

    Arguments:
        phi: The setting :math:`\varphi^*`, with shape `(P)`.
        least: What P must be.
        strays: Which parameters may stray, with shape `(P)`; the others have no width.
        alone: The ends of each parameter, the others held, with shape `(P, 2)`.
        together: The ends of the box of all, with shape `(P, 2)`.
        volume: The volume of that box as a share of the space of those that stray.
        lowest: The lowest P that was found in it, as a probability.
        checked: How many of its settings were looked at, descents apart.
        question: What P is asked for, in words.
        process: The process space.
    """

    phi: Array
    least: float
    strays: NDArray[np.bool_]
    alone: Array
    together: Array
    volume: float
    lowest: float
    checked: int
    question: str
    process: ProcessSpace

    def to_json(self) -> dict[str, Any]:
        """Everything, by the parameters' names."""
        names = self.process.names
        ends = {"alone": self.alone, "together": self.together}
        return {
            "question": self.question,
            "least": self.least,
            "phi": dict(zip(names, self.phi.tolist(), strict=True)),
            **{key: dict(zip(names, each.tolist(), strict=True)) for key, each in ends.items()},
            "volume": self.volume,
            "lowest": self.lowest,
            "checked": self.checked,
        }

    def __str__(self) -> str:
        alone, together = (
            ", ".join(self._words(int(j), *each[j]) for j in np.flatnonzero(self.strays))
            for each in (self.alone, self.together)
        )
        held = "".join(
            f", {self.process.names[j]} = {self.process.settings[j].shown(self.phi[j])}"
            for j in np.flatnonzero(~self.strays)
        )
        alone, together = alone + held, together + held
        return (
            f"{self.question} ≥ {self.least:g} while one setting strays: hold {alone}\n"
            f"{self.question} ≥ {self.least:g} while all stray: hold {together} "
            f"({self.volume:.2g} of their space; at {self.checked} settings in it and where "
            f"descents from the worst lead P is at least {self.lowest:.3f})"
        )

    def _words(self, j: int, low: float, high: float) -> str:
        process = self.process
        unit = "" if process.units[j] == "1" else f" {process.units[j]}"
        tiny = 1e-9 * (process.upper[j] - process.lower[j])
        down, up = (
            0.0 if abs(end - self.phi[j]) <= tiny else end - self.phi[j] for end in (low, high)
        )
        bounds = [
            word
            for word, end, bound in (
                ("lower", low, process.lower[j]),
                ("upper", high, process.upper[j]),
            )
            if abs(end - bound) <= tiny
        ]
        there = f", to the {' and the '.join(bounds)} bound" if bounds else ""
        return f"{process.names[j]} within {_signed(down)}/{_signed(up)}{unit}{there}"


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")


def window(
    model: PSPGen | Ensemble,
    chance: Chance,
    phi: Array,
    least: float = 0.8,
    *,
    margin: float = 0.0,
    draws: int = 256,
    seed: int = 0,
) -> Window:
    r"""The settings around one at which P is large enough.

    Arguments:
        model: The trained model, or an ensemble.
        chance: The probability, of settings that are held exactly; of a `Cautious` one the lower
            end of its interval must be large enough.
        phi: The setting, with shape `(P)`.
        least: How large P must be.

    Other arguments:
        margin: What is taken off P everywhere, on the scale of h.
        draws: Sobol points of z0, where p(m | φ) has no closed form.
        seed: Seeds them and the sample of the check.

    Raises:
        InputError: If `least` is not between 0 and 1, φ is not one admissible setting, or P there
            is lower.
    """
    check_level(least)
    chance.check(model)
    setting = model.process.check(phi)
    if setting.ndim != 1:
        raise InputError(f"'phi' has shape {setting.shape}; give one setting.")
    strays = _straying(model.process, setting)
    for member in model.members:
        member.eval()
    noise = chance.sample(model, draws, seed)
    prepared: Any = chance.prepared(model, noise[:64])
    whole = Problem(model, prepared, noise, seed)
    at = whole.unit(setting[None])[0]
    ends = np.tile([0.0, 1.0], (int(strays.sum()), 1))
    part = StrayingProblem(
        model, prepared, noise, seed, around=whole, at=at, strays=strays, box=ends
    )
    search, unit = WindowSearch(part, prepared, least, margin), at[strays]
    if (here := search.score(unit[None])[0]) < search.level:
        raise InputError(
            f"{chance} is {search.p(here):.3f} at this φ, below 'least' {least:g}, so no window "
            "holds it; ask for less, or look around a likelier setting."
        )
    alone = np.array([search.along(unit, j) for j in range(len(unit))])
    together, lowest = search.box(unit, alone)

    def settings(box: Array) -> Array:
        found = np.repeat(setting[:, None], 2, axis=1)
        found[strays] = part.phi(box.T)[:, strays].T
        return found

    return Window(
        phi=setting,
        least=least,
        strays=strays,
        alone=settings(alone),
        together=settings(together),
        volume=float(np.prod(together[:, 1] - together[:, 0])),
        lowest=search.p(lowest),
        checked=len(search.places),
        question=str(chance),
        process=model.process,
    )


def around(design: Design, cautious: bool = False) -> tuple[Chance, float]:
    """What a window around a design asks: its probability for settings that are held exactly, and
    by how much its search was found to promise too much, on the scale of h.

    Arguments:
        design: The design of a region, or of several.
        cautious: Whether the lower end of the interval is asked for.

    Raises:
        InputError: If it asks for no region.
    """
    chance = design.objective
    while isinstance(chance, Derived):
        chance = chance.of
    if not isinstance(chance, Chance):
        raise InputError(f"this design was for {chance}, which asks for no region; give 'target'.")
    chance, found = chance.exactly(), design.value
    if isinstance(found, EnsembleEstimate) and found.promised is not None:
        if cautious and found.low is not None:
            low = ends_of(found.members, found.typical, found.promised)[0]
            return Cautious(chance), float(link(low) - link(found.low))
        return chance, float(link(found.promised) - link(found.value))
    return (Cautious(chance) if cautious else chance), 0.0


def _straying(process: ProcessSpace, phi: Array) -> NDArray[np.bool_]:
    """Which settings may stray by themselves.

    Raises:
        InputError: If none may, or some are bound by a constraint.
    """
    weights = process.feasible.linear[0]
    strays = ~process.feasible.held(phi) & (np.subtract(process.upper, process.lower) > 0)
    if (weights[:, strays] != 0).any():
        raise InputError(
            "in a window every setting strays by itself, but here some are bound by "
            f"{'; '.join(map(str, process.constraints))}; ask `run.probability` around φ instead."
        )
    if not strays.any():
        raise InputError(
            "a window says how far real settings may stray, but at this φ every setting is "
            "discrete or fixed; compare their P by `run.probability`."
        )
    return strays
