r"""What the answers are worth: counted at the reference, simulated afresh at every φ*.

:math:`\varphi_{ref}` is the grid point with the largest fraction :math:`\hat p` of the reference
materials in the target. That maximum is too high by the winner's curse, so both it and every
φ* are judged by the same number of fresh materials, which no choice was made by,

.. math::
    \text{regret} = \frac{1}{n} \sum_{i=1}^{n} \left(1[m_i(\varphi_{ref}) \in \mathcal{M}_d]
        - 1[m_i(\varphi^*) \in \mathcal{M}_d]\right),

with the same seeds :math:`i` at every setting; the standard error is that of the paired
differences, and a regret may be negative. A model's P over the reference is compared with the
fractions by their RMSE, the counting noise taken off (`diagnosis.surface_error`). Its standard
error is that of the mean of the squared differences, carried through the root.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.triads import Triads
from ..design import Target, frequency, verify
from ..diagnosis import ReferenceMaterials
from ..diagnosis.surfaces import surface_error
from .cases import case
from .models import targets_of

if TYPE_CHECKING:
    from .steps import Folder

__all__ = ["count", "judged", "mean_over_seeds", "simulate", "surface_of", "truth_name"]

_ROWS = 1_000_000


def count(folder: Folder, *, problem: tuple[str, str], store: str) -> dict[str, Any]:
    """The step that counts the reference: settings, materials a setting, and the fraction of them
    in each target."""
    known = ReferenceMaterials.of(Triads.open(folder.data / store), settings=_ROWS)
    targets = targets_of(case(*problem))
    return {
        "phi": known.phi.tolist(),
        "samples": known.samples.tolist(),
        "fractions": {name: known.fraction(one).tolist() for name, one in targets.items()},
        "grid": known.axes is not None,
    }


def simulate(
    folder: Folder, *, problem: tuple[str, str], phi: list[float], samples: int, seed: int
) -> dict[str, Any]:
    """The step that simulates fresh materials at one setting."""
    chosen = case(*problem)
    # any region will do: what is kept is m
    region = next(iter(targets_of(chosen).values()))
    found = verify(chosen.chain, region, phi, samples=samples, seed=seed)
    return {"phi": phi, "m": np.round(found.m, 5).tolist()}


def truth_name(problem: tuple[str, str], phi: Sequence[float]) -> str:
    """The name of the step that simulates at a setting."""
    digest = hashlib.sha256(json.dumps([float(v) for v in phi]).encode()).hexdigest()
    return f"{'-'.join(problem)}-truth-{digest[:12]}"


def judged(
    point: Mapping[str, Any],
    target: Target,
    m: ArrayLike,
    best: ArrayLike | None,
) -> dict[str, Any]:
    """One point beside fresh simulations.

    Arguments:
        point: The fields of `models.Point`.
        target: The target.
        m: The fresh properties at its φ*, with shape `(N, K)`.
        best: Those at the best reference point, with the same seeds; None if there is none.

    Returns:
        The point with its `truth`, `gap` = |P − truth| and `regret` in percentage points, each
        with its standard error.
    """
    hits = target.contains(np.asarray(m)).astype(float)
    truth = frequency(hits.sum(), len(hits))
    p, error = float(truth.value), float(truth.standard_error)
    found = {"own_error" if k == "error" else k: v for k, v in point.items()}
    found |= {"truth": p, "truth_error": error, "fresh": len(hits)}
    found |= {"gap": None, "gap_error": None, "regret": None, "regret_error": None}
    if (own := point.get("own")) is not None:
        found["gap"] = abs(own - p)
        found["gap_error"] = float(np.hypot(error, point.get("error") or 0.0))
    if best is not None:
        lost = target.contains(np.asarray(best)).astype(float) - hits
        found["regret"] = 100 * float(lost.mean())
        found["regret_error"] = 100 * float(lost.std(ddof=1)) / len(lost) ** 0.5
    return found


def surface_of(
    model: ArrayLike, fraction: ArrayLike, samples: NDArray[np.int64]
) -> dict[str, float | None]:
    """The RMSE of a surface, its standard error and its resolution."""
    p, q, n = (np.asarray(v, dtype=float) for v in (model, fraction, samples))
    known = n > 1
    p, q, n = p[known], q[known], n[known]
    found = surface_error(p, q, n)
    squares = (p - q) ** 2 - q * (1 - q) / (n - 1)
    error = float(squares.std(ddof=1)) / len(squares) ** 0.5
    carried = error / (2 * max(found.rmse, found.resolution)) if found.resolution else None
    return {"rmse": found.rmse, "rmse_error": carried, "resolution": found.resolution}


def mean_over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of one model, rule and target as one: means over its seeds.

    The standard error of a mean holds the spread over the seeds and that of the simulations, which
    the seeds share where their φ* agree.
    """
    found: dict[str, Any] = {"phi": rows[0]["phi"], "seeds": len(rows)}
    for name in ("truth", "gap", "regret", "rmse", "own"):
        values = [row[name] for row in rows if row.get(name) is not None]
        if not values:
            found |= {name: None, f"{name}_error": None}
            continue
        errors = [row.get(f"{name}_error") or 0.0 for row in rows]
        spread = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        error = float(np.hypot(spread, np.mean(errors)))
        found |= {name: float(np.mean(values)), f"{name}_error": error}
    return found
