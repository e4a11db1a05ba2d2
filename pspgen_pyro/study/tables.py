"""The numbers of a part of the study from the JSON of its steps: rows, means over seeds, β."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np

from ..design import Target, frequency
from .answers import judged, mean_over_seeds, surface_of, truth_name
from .cases import case
from .models import targets_of
from .plan import CAPTIONED, Sizes
from .published import PUBLISHED
from .steps import Folder

__all__ = ["BRUTE", "PAPER", "settings_to_simulate", "tabulated"]

BRUTE = "brute force: best reference point"
PAPER = {
    "comp": "the paper's φ_comp",
    "prop": "the paper's φ_prop",
    "ref": "the paper's φ_ref",
}


def settings_to_simulate(
    problem: tuple[str, str], counted: Mapping[str, Any], learned: Mapping[str, Any]
) -> list[list[float]]:
    """Every φ* of a problem once: the models', the best of the grid, and the paper's."""
    found = [point["phi"] for one in learned.values() for point in one["points"]]
    found += [one["phi"] for one in _best(counted).values()]
    found += [list(p.phi) for rows in PUBLISHED[problem[0]].values() for p in rows.values()]
    return [list(phi) for phi in dict.fromkeys(map(tuple, found))]


def tabulated(
    folder: Folder,
    name: str,
    settings: Mapping[str, Any],
    sizes: Sizes,
    problems: Mapping[str, Any],
) -> dict[str, Any]:
    """Every number of a part, read from the JSON of its finished steps.

    Arguments:
        folder: The study.
        name: The part.
        settings: What decides the numbers.
        sizes: The sizes.
        problems: For each preset its `stores` by split and its `steps`: `reference`, `fits` (what
            was trained, by the step's name), and `latents` if there is one.
    """
    found = {}
    for preset, one in problems.items():
        owner = one["stores"]["train"].partition("-")[0]
        found[preset] = _problem(folder, (owner, preset), one["steps"])
        found[preset]["case"] = owner
    return {
        "study": dict(settings),
        "title": CAPTIONED[name],
        "sizes": asdict(sizes),
        "problems": found,
    }


def _problem(folder: Folder, problem: tuple[str, str], steps: Mapping[str, Any]) -> dict[str, Any]:
    counted, targets = folder.read(steps["reference"]), targets_of(case(*problem))
    best = _best(counted)
    rows = []
    for step, told in steps["fits"].items():
        rows += _of_model(folder, problem, counted, step, told["name"])
    rows += _of_others(folder, problem, counted)
    order = list(dict.fromkeys(row["model"] for row in rows))
    rows.sort(key=lambda r: (order.index(r["model"]), r["rule"], r["target"], r["seed"]))
    keys = ("model", "rule", "target")
    grouped = groupby(rows, key=lambda row: [row[k] for k in keys])
    means = [dict(zip(keys, key, strict=True)) | mean_over_seeds(list(g)) for key, g in grouped]
    found: dict[str, Any] = {
        "reference": {
            "step": steps["reference"],
            "grid": counted["grid"],
            "materials": int(sum(counted["samples"])),
            "best": best,
        },
        "targets": {name: str(one) for name, one in targets.items()},
        "rows": rows,
        "means": means,
        "notes": {step: folder.read(step)["notes"] for step in steps["fits"]},
    }
    if "latents" in steps:
        run = next(iter(steps["fits"]))
        model = steps["fits"][run]["name"]
        found["latents"] = {"posterior": steps["latents"], "run": run, "model": model}
    if any("beta" in told["options"] for told in steps["fits"].values()):
        found["beta"] = _beta(folder, steps["fits"], rows)
    return found


def _of_model(
    folder: Folder, problem: tuple[str, str], counted: Mapping[str, Any], step: str, name: str
) -> list[dict[str, Any]]:
    told, best = folder.read(step), _best(counted)
    targets = targets_of(case(*problem))
    samples = np.array(counted["samples"])
    errors = {
        key: surface_of(told["surfaces"][key], counted["fractions"][key], samples)
        for key in told["surfaces"]
    }
    rows = []
    for point in told["points"]:
        key = point["target"]
        row = _judged(folder, problem, point, targets[key], best.get(key))
        rows.append(
            {"model": name, "seed": told["seed"], "calls": told["calls"]} | row | errors[key]
        )
    return rows


def _of_others(
    folder: Folder, problem: tuple[str, str], counted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The best point of the grid, and the paper's own points on this simulator."""
    targets, best, rows = targets_of(case(*problem)), _best(counted), []
    for key, one in best.items():
        own = {"own": one["fraction"], "error": one["error"]}
        point = {"target": key, "rule": "argmax", "phi": one["phi"], **own}
        row = _judged(folder, problem, point, targets[key], one)
        rows.append({"model": BRUTE, "seed": 0, "calls": sum(counted["samples"])} | row)
    for method, points in PUBLISHED[problem[0]].items():
        for key, one in points.items():
            point = {"target": key, "rule": "printed", "phi": list(one.phi), "own": None}
            row = _judged(folder, problem, point, targets[key], best.get(key))
            model = PAPER[method]
            rows.append({"model": model, "seed": 0, "printed": one.percent} | row)
    return rows


def _judged(
    folder: Folder,
    problem: tuple[str, str],
    point: Mapping[str, Any],
    target: Target,
    best: Mapping[str, Any] | None,
) -> dict[str, Any]:
    fresh = folder.read(truth_name(problem, point["phi"]))["m"]
    at_best = None if best is None else folder.read(truth_name(problem, best["phi"]))["m"]
    return judged(point, target, fresh, at_best)


def _best(counted: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each target the grid point with the largest fraction; none without a grid."""
    if not counted["grid"]:
        return {}
    found = {}
    for name, fractions in counted["fractions"].items():
        i = int(np.argmax(fractions))
        n = counted["samples"][i]
        phi = np.round(counted["phi"][i], 4).tolist()
        error = float(frequency(n * fractions[i], n).standard_error)
        found[name] = {"phi": phi, "fraction": fractions[i], "error": error}
    return found


def _beta(
    folder: Folder, fits: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The validation terms and the RMSE of P for every β."""
    found = []
    for step, told in fits.items():
        notes = folder.read(step)["notes"]
        if "failed" in notes:
            continue
        terms = notes["validation"]
        own = [r for r in rows if r["model"] == told["name"]]
        reconstruction = -terms["x"] - terms["m"]
        errors = [r["rmse_error"] or 0.0 for r in own]
        found.append(
            {
                "beta": told["options"]["beta"],
                "total": reconstruction + terms["kl"],
                "reconstruction": reconstruction,
                "m": -terms["m"],
                "kl": terms["kl"],
                "rmse": float(np.mean([r["rmse"] for r in own])),
                "rmse_error": float(np.sqrt(np.sum(np.square(errors)))) / max(1, len(errors)),
            }
        )
    return found
