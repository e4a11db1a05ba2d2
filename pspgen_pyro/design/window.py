r"""The other way round: how far the settings may stray before P falls below a wanted one.

.. math::
    \varphi^*_j \in [a_j, b_j]: \; P(\varphi) \ge p \;\;\forall \varphi_j \in [a_j, b_j], \qquad
    \max_{a \le \varphi^* \le b} \prod_j \frac{b_j - a_j}{u_j - l_j}
    \;\text{ with }\; P(\varphi) \ge p \;\;\forall \varphi \in [a, b]

first for each parameter alone, the others held at :math:`\varphi^*`, then for all together. Each
alone is found on 256 steps to either side and refined between two of them, so a dip narrower than
a step is not seen. The box of all is found by sequential quadratic programming on a growing set of
its points: those where P was found too low join the set, until none are (an exchange method for
semi-infinite programs). It is a local maximum of the volume. At the end the corners (at most
1,024), a Sobol sample of 1,024 points and the lowest points that descents from the worst of them
reach are looked at, and the box shrinks until P is large enough at all of them.

Of a design, what its search was found to put on P is taken off everywhere. Discrete and fixed
settings, and zeros by "at most k of …", stay as they are at :math:`\varphi^*`; steps and volumes
of a setting that is learned by its logarithm are those of the logarithm.

References:
    Semi-infinite programming: theory, methods, and applications (Hettich & Kortanek, 1993)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .ascent import Design
from .cautious import Cautious, Derived
from .chances import Chance
from .constrained import Numbers, sequential
from .estimates import EnsembleEstimate, ends_of, link, unlink
from .objectives import Objective
from .optimisers import LBFGS, Problem
from .priced import check_level

__all__ = ["Window", "around", "window"]

Array = NDArray[np.float64]
_STEPS, _POINTS, _ROUNDS, _WORST = 256, 1024, 12, 8
_CORNERS = 64
_ABOVE, _TINY = 1e-4, 1e-6
_SHRINK = (1.0, 0.999, 0.995, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1, 0.0)


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
    part = _Part(model, prepared, noise, seed, around=whole, at=at, strays=strays, box=ends)
    search, unit = _Search(part, prepared, least, margin), at[strays]
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


@dataclass(frozen=True, eq=False)
class _Part(Problem):
    """A problem in a box of the coordinates that stray, from 0 to 1 along each of its sides.

    Arguments:
        around: The problem of all settings.
        at: The setting around which they stray, in the unit cube, with shape `(P)`.
        strays: Which of its coordinates do, with shape `(P)`.
        box: The ends of the box in the unit cube, with shape `(V, 2)`.
    """

    around: Problem = field(kw_only=True)
    at: Array = field(kw_only=True)
    strays: NDArray[np.bool_] = field(kw_only=True)
    box: Array = field(kw_only=True)

    @property
    def space(self) -> ProcessSpace:
        size = int(self.strays.sum())
        names = tuple(f"u{j}" for j in range(size))
        return ProcessSpace(names, (0.0,) * size, (1.0,) * size)

    def process(self, unit: Tensor) -> Tensor:
        low, high = torch.tensor(self.box.T)
        whole = torch.tensor(self.at).expand(*unit.shape[:-1], -1)
        place = torch.tensor(np.flatnonzero(self.strays))
        whole = whole.index_copy(-1, place, low + (high - low) * unit)
        return self.around.process(whole)

    def phi(self, unit: Array) -> Array:
        """The settings at points of the box, with shape `(N, P)`."""
        with torch.no_grad():
            return self.process(torch.tensor(unit)).double().numpy()

    def held(self, unit: Array) -> NDArray[np.bool_]:
        return np.zeros(unit.shape, dtype=bool)


class _Search:
    """What a window asks of P, in the unit cube of the settings that stray; of the boxes in it,
    points have coordinates from 0 to 1 too."""

    def __init__(self, problem: _Part, chance: Chance, least: float, margin: float) -> None:
        self.problem, self.chance, self.margin = problem, chance, margin
        self.score = problem.score
        self.level = chance.level(float(unlink(link(least) + margin)))
        size = int(problem.strays.sum())
        engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=problem.seed)
        corners = np.array(list(product((0.0, 1.0), repeat=min(size, 10))))
        if size > 10:
            rest = (engine.draw(len(corners)).numpy() > 0.5).astype(float)
            corners = np.hstack([corners, rest[:, 10:]])
        self.corners = corners
        inside = engine.draw(_POINTS, dtype=torch.float64).numpy()
        self.places = np.concatenate([corners, inside])

    def p(self, score: float) -> float:
        """What a score is as a probability, less the margin."""
        promised = float(self.chance.promise(torch.tensor(float(score))))
        return float(unlink(link(np.clip(promised, 0, 1)) - self.margin))

    def along(self, unit: Array, j: int) -> tuple[float, float]:
        """The ends of one parameter, the others held."""
        return self._end(unit, j, 0.0), self._end(unit, j, 1.0)

    def _end(self, unit: Array, j: int, bound: float) -> float:
        inside, outside, steps = unit[j], bound, _STEPS
        for _ in range(5):
            line = np.linspace(inside, outside, steps + 1)
            points = np.tile(unit, (len(line), 1))
            points[:, j] = line
            low = self.score(points[1:]) < self.level
            if not low.any():
                return outside
            first = int(np.argmax(low))
            inside, outside, steps = line[first], line[first + 1], 32
        return inside

    def box(self, unit: Array, alone: Array) -> tuple[Array, float]:
        """The ends of the largest box that was found, with shape `(P, 2)`, and the lowest score
        in it."""
        size = 1.0
        while size > 1e-3 and self._worst(_scaled(unit, alone, size))[1] < self.level:
            size /= 1.5
        found = [self._grown(unit, alone, _scaled(unit, alone, s)) for s in (size, size / 3)]
        return max(found, key=lambda one: np.log(one[0][:, 1] - one[0][:, 0] + _TINY).sum())

    def _grown(self, unit: Array, alone: Array, box: Array) -> tuple[Array, float]:
        points = self.corners[:: max(1, len(self.corners) // _CORNERS)]
        bounds = [*zip(alone[:, 0], unit, strict=True), *zip(unit, alone[:, 1], strict=True)]
        for _ in range(_ROUNDS):
            first = np.clip(box.T.ravel(), *np.array(bounds).T)
            result = sequential(
                lambda ends, points=points: self._numbers(ends, points),
                first,
                bounds,
                100,
                1e-7,
            )
            box = np.clip(result.x, *np.array(bounds).T).reshape(2, -1).T
            box = np.where(np.abs(box - alone) < 1e-9, alone, box)
            worst, lowest = self._worst(box)
            if lowest >= self.level:
                break
            points = np.concatenate([points, worst])
        for size in _SHRINK:
            shrunk = _scaled(unit, box, size)
            lowest = self._worst(shrunk)[1]
            if lowest >= self.level:
                return shrunk, lowest
        return shrunk, lowest

    def _numbers(self, ends: Array, points: Array) -> Numbers:
        """The logarithm of the volume, and by how much P is large enough at points of the box."""
        low, high = ends.reshape(2, -1)
        scores, slopes = self.problem.score_and_gradient(low + points * (high - low))
        width = high - low + _TINY
        return Numbers(
            float(np.log(width).sum()),
            np.concatenate([-1 / width, 1 / width]),
            scores - self.level - _ABOVE,
            np.hstack([slopes * (1 - points), slopes * points]),
        )

    def _worst(self, box: Array) -> tuple[Array, float]:
        """Points of a box where P is lowest, and the lowest score."""
        low, width = box[:, 0], box[:, 1] - box[:, 0]
        scores = self.score(low + self.places * width)
        worst = self.places[np.argsort(scores)[:_WORST]]
        inside = replace(self.problem, objective=_Lowest(self.chance), box=box)
        ends = LBFGS(50).climb(inside, worst).unit
        points = np.concatenate([worst, ends])
        there = self.score(low + points * width)
        return points[there < self.level + _ABOVE], float(min(scores.min(), there.min()))


def _scaled(unit: Array, box: Array, size: float) -> Array:
    return unit[:, None] + size * (box - unit[:, None])


@dataclass(frozen=True, eq=False)
class _Lowest(Objective):
    """Minus the score of a chance."""

    of: Chance

    def check(self, model: Any) -> None:
        self.of.check(model)

    def score(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        return -self.of.score(model, phi, noise)
