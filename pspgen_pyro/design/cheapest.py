r"""The least cost of a wanted P, and what every P costs.

.. math:: \min_\varphi\; c(\varphi) \;\text{ with }\; P(\varphi) \ge p

P is what is left of the promise when the optimism of this very search is taken off, so the search
asks for more than p until p is left. The Pareto front is this for several p: no setting of it has
both a higher P and a lower cost than another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from ..errors import InputError
from ..io.validation import check_whole
from ..model import PSPGen
from ..model.ensemble import Ensemble
from .ascent import Design, maximise
from .chances import Chance
from .cost import Cost
from .estimates import EnsembleEstimate, Estimate, link
from .priced import Cheapest, Priced

__all__ = ["cheapest", "pareto"]

_PASSES, _NEAR = 8, 3e-3
_LOW, _HIGH = 0.001, 0.999


def cheapest(
    model: PSPGen | Ensemble, chance: Chance, cost: Cost, least: float = 0.8, **options: Any
) -> Design:
    """The cheapest setting where P is large enough.

    Arguments:
        model: The trained model, or an ensemble.
        chance: The probability of one region or of several; of a `Cautious` one the lower end of
            its interval must be large enough, of a `Least` one each of them.
        cost: What a setting costs.
        least: How large P must be, without the optimism of the search.
        options: Those of `maximise`.

    Raises:
        InputError: If `least` is not between 0 and 1, no setting has such a P, or as `maximise`
            does.
    """
    asked = Cheapest(chance, cost, least)
    low, high, found = 0.0, np.inf, []
    for _ in range(_PASSES):
        margin = asked.margin
        design = maximise(model, asked, **options)
        reached = not design.status.startswith("not reached")
        if not reached and margin == 0:
            break
        short = float(link(least) - link(_held(design))) if reached else -np.inf
        if reached and short <= _NEAR:
            found.append(design)
            if short >= -_NEAR or margin == 0:
                break
        low, high = (margin, high) if short > 0 else (low, margin)
        # what the search puts on changes with where it goes
        further = margin + short
        asked = replace(asked, margin=further if low < further < high else (low + high) / 2)
    if found:
        return min(found, key=lambda one: _cost(cost, model, one))
    top = maximise(model, chance, **options)
    if _held(top) >= least:
        status = "not the cheapest: only the likeliest setting keeps its P after all is taken off"
        return replace(top, cost=_cost(cost, model, top), status=status)
    raise InputError(
        f"'least' is {least:g}, but no setting was found that keeps {chance} there; the highest "
        f"is {top.value}, at φ = ({', '.join(f'{v:.4g}' for v in top.phi)}); ask for less, or for "
        "a wider target."
    )


def pareto(
    model: PSPGen | Ensemble, chance: Chance, cost: Cost, points: int = 20, **options: Any
) -> xr.Dataset:
    """What every P costs.

    Arguments:
        model: The trained model, or an ensemble.
        chance: The probability of one region or of several.
        cost: What a setting costs.
        points: How many settings are looked for, from the cheapest to the likeliest; those that
            another one beats in both are left out.
        options: Those of `maximise`.

    Returns:
        `phi`, `cost`, `probability` with its interval `low` to `high` and `promised`, what the
        search promised, by point, in the order of their cost.

    Raises:
        InputError: If there are fewer than two points, or as `maximise` does.
    """
    check_whole(least=2, points=points)
    top = maximise(model, chance, **options)
    # so dear that only the cost counts, and P where settings cost the same
    first = maximise(model, Priced(chance, cost, 1e3 / cost.scale), **options)
    sample = {key: options[key] for key in ("draws", "seed") if key in options}
    promised = [_promised(model, chance, one, **sample) for one in (first, top)]
    ends = np.clip(promised, _LOW, _HIGH)
    levels = np.linspace(ends[0], ends[1], points)[1:-1] if ends[1] > ends[0] else []
    between = [maximise(model, Cheapest(chance, cost, float(p)), **options) for p in levels]
    designs = [first, *(one for one in between if not one.status.startswith("not reached"))]
    last = replace(top, cost=_cost(cost, model, top))
    return _labelled(_undominated([*designs, last]), model, chance, cost)


def _held(design: Design) -> float:
    """What of P counts: P, or the lower end of its interval."""
    low = design.value.low
    return float(low if design.cautious and low is not None else design.value.value)


def _promised(
    model: PSPGen | Ensemble, chance: Chance, design: Design, draws: int = 512, seed: int = 0
) -> float:
    """What the score of the probability alone promises at φ*."""
    noise = chance.sample(model, draws, seed)
    with torch.no_grad():
        phi = model.tensor(design.phi[None])
        score = chance.prepared(model, noise[:64]).score(model, phi, noise)
    return float(chance.promise(score)[0])


def _cost(cost: Cost, model: PSPGen | Ensemble, design: Design) -> float:
    return float(cost(model.tensor(design.phi[None]).double())[0])


def _before(p: Estimate) -> float:
    """P before the optimism was taken off."""
    told = p.promised if isinstance(p, EnsembleEstimate) else None
    return float(p.value if told is None else told)


def _undominated(designs: list[Design]) -> list[Design]:
    """Those that no cheaper one equals in P, by cost."""
    kept: list[Design] = []
    for design in sorted(designs, key=lambda one: (one.cost or 0.0, -float(one.value.value))):
        if not kept or design.value.value > kept[-1].value.value:
            kept.append(design)
    return kept


def _labelled(
    designs: list[Design], model: PSPGen | Ensemble, chance: Chance, cost: Cost
) -> xr.Dataset:
    values = [one.value for one in designs]
    ends = np.array([[np.nan if e is None else e for e in (p.low, p.high)] for p in values])
    process = model.process
    columns = {
        "cost": [one.cost for one in designs],
        "probability": [float(p.value) for p in values],
        "low": ends[:, 0],
        "high": ends[:, 1],
        "promised": [_before(p) for p in values],
    }
    told = {name: ("point", np.array(column, dtype=float)) for name, column in columns.items()}
    phi = ("point", "parameter"), np.stack([one.phi for one in designs])
    units = ("parameter", list(process.units))
    return xr.Dataset(
        {"phi": phi, **told},
        {"parameter": list(process.names), "unit": units},
        {"objective": str(chance), "cost": str(cost)},
    )
