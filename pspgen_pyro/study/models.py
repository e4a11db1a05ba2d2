r"""The models of the study, each from its recipe to what the study asks: φ*, P there, P anywhere.

* The published recipe is the paper's: its networks, :math:`\beta = 2`, batches of 50, Adam at
  :math:`10^{-3}`, a third of it whenever the validation loss has not improved for 20 epochs. It
  stops where that loss has been flat for 40, or at the largest number of epochs. Symmetries are
  not used. φ* is found by this package's ascent, which is no worse than their stochastic one.
* The default is `fit(triads)`, and φ* is `run.design(target)` with its 90 % interval.
* The comparison method takes φ* by each of its rules. Its tuned setting, the mixture network and
  the forest learn from the same symmetries as the default.
* φ* of the mixture network and of the forest is the best of 4,096 scattered settings and the
  corners, refined by ever smaller random steps.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.batches import Batches
from ..data.triads import Triads
from ..design import Box, Target
from ..rivals import ForestWeights, MixtureDensityNetwork, Predictor, PSPGenPredictor
from ..runs import Run, fit
from ..training import Plateau
from .cases import Case, case
from .plan import Sizes

if TYPE_CHECKING:
    from .steps import Folder

__all__ = ["Point", "best_setting", "learn", "targets_of"]

_SCOUTS, _KEPT, _TRIES, _ROUNDS = 4096, 8, 64, 20
_DIGITS, _SMALL = 4, 64

# 2 % of the rows, for φ → scores too: the authors' 10 % takes many times as long and is no better
_COMPARISON: dict[str, dict[str, int]] = {"published": {"most_inducing": 180}, "tuned": {}}


@dataclass(frozen=True)
class Point:
    """A model's answer for one target.

    Arguments:
        target: The target's name.
        rule: How φ* was taken.
        phi: The setting, rounded to four decimals.
        own: The model's P there.
        error: Its Monte-Carlo standard error; None if it has a closed form.
        low: The lower end of its 90 % interval, if it has one.
        high: The upper end.
        note: What the model says of its answer.
    """

    target: str
    rule: str
    phi: list[float]
    own: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @classmethod
    def at(cls, target: str, rule: str, phi: Any, own: float, **rest: Any) -> Point:
        """A point from numbers of any kind."""
        setting = np.round(np.asarray(phi, dtype=float), _DIGITS).tolist()
        known: dict[str, Any] = {
            key: value if isinstance(value, str | None) else float(value)
            for key, value in rest.items()
        }
        return cls(target, rule, setting, float(own), **known)


@dataclass(frozen=True)
class _Fitted:
    """A trained model: P anywhere, its points for a target by name, what to say of it, and the
    seconds that a training took which other processes began."""

    predictor: Predictor
    points: Callable[[str, Target], list[Point]]
    notes: dict[str, Any]
    trained: float = 0.0


def targets_of(chosen: Case) -> dict[str, Box]:
    """The targets of a case by name."""
    return {name: Box(*ends) for name, ends in chosen.targets.items()}


def learn(
    folder: Folder,
    *,
    name: str,
    problem: tuple[str, str],
    model: str,
    seed: int,
    sizes: dict[str, Any],
    train: str,
    settings: str,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The step that trains one model and asks it everything.

    Arguments:
        folder: The study.

    Other arguments:
        name: The step's name.
        problem: The case and the preset.
        model: The model, of `plan.MODELS`.
        seed: Its seed.
        sizes: The fields of `plan.Sizes`.
        train: The store of training triads.
        settings: The step whose JSON has the settings of the reference.
        options: More settings of `fit`, for the published recipe and the default.

    Returns:
        Its points and surfaces; of a training that failed none, and why in its notes.
    """
    triads, targets = Triads.open(folder.data / train), targets_of(case(*problem))
    told = {"model": model, "seed": seed, "calls": len(triads)}
    place, start = folder.path / "models" / name, time.process_time()
    try:
        found = _RECIPES[model](triads, Sizes(**sizes), seed, place, dict(options or {}))
        fitted = time.process_time()
        points = [point for key, one in targets.items() for point in found.points(key, one)]
    except (ArithmeticError, RuntimeError) as error:
        # one row that fails is a result; hours of others shall not be lost for it
        return told | {"points": [], "surfaces": {}, "notes": {"failed": str(error)}}
    designed = time.process_time()
    grid = np.array(folder.read(settings)["phi"])
    surfaces = found.predictor.probabilities(list(targets.values()), grid)
    shutil.rmtree(_checkpoint(place), ignore_errors=True)
    return told | {
        "points": [asdict(point) for point in points],
        "surfaces": dict(zip(targets, np.round(surfaces, 6).tolist(), strict=True)),
        "notes": found.notes,
        "times": {"fit": max(fitted - start, found.trained), "design": designed - fitted},
    }


def best_setting(
    predictor: Predictor, target: Target, *, scouts: int = _SCOUTS, seed: int = 0
) -> tuple[NDArray[np.float64], float]:
    """The setting at which any predictor gives a target the largest P, with shape `(P)`, and that
    P.

    Arguments:
        predictor: The predictor; its P need not be smooth.
        target: The target.

    Other arguments:
        scouts: Scattered settings to start from, beside the corners of a small process space.
        seed: Seeds them and the refinement.
    """
    process, rng = predictor.process, np.random.default_rng(seed)
    low, width = np.array(process.lower), np.subtract(process.upper, process.lower)

    def p(unit: NDArray[np.float64]) -> NDArray[np.float64]:
        # the far end of the unit cube is not beyond the bound by rounding
        return predictor.probability(target, np.minimum(low + width * unit, process.upper))

    engine = torch.quasirandom.SobolEngine(len(process), scramble=True, seed=seed)
    unit = engine.draw(scouts, dtype=torch.float64).numpy()
    if len(process) <= 4:
        corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * len(process)), axis=-1)
        unit = np.concatenate([corners.reshape(-1, len(process)), unit])
    value = p(unit)
    kept = np.argsort(-value, kind="stable")[:_KEPT]
    unit, value, reach = unit[kept], value[kept], 0.2
    for _ in range(_ROUNDS):
        steps = reach * rng.standard_normal((len(unit), _TRIES, len(process)))
        tried = np.clip(unit[:, None] + steps, 0, 1)
        found = p(tried)
        best = found.argmax(axis=1)
        rows = np.arange(len(unit))
        better = found[rows, best] > value
        unit = np.where(better[:, None], tried[rows, best], unit)
        value = np.where(better, found[rows, best], value)
        reach *= 0.75
    first = int(value.argmax())
    return np.minimum(low + width * unit[first], process.upper), float(value[first])


def _of_run(run: Run, place: Path) -> _Fitted:
    """A run of `fit`, saved, with its own ascent."""
    shutil.rmtree(place, ignore_errors=True)
    run.save(place)
    history = run.histories[0]
    terms = {t: history.epochs[f"validation_{t}"][history.best_epoch] for t in ("x", "m", "kl")}
    notes = {
        "epochs": len(history),
        "best_epoch": history.best_epoch + 1,
        "status": history.status,
        "validation": terms,
    }

    def points(name: str, target: Target) -> list[Point]:
        found = run.design(target)
        p = found.probability
        ends = {"error": p.standard_error, "low": p.low, "high": p.high}
        return [Point.at(name, "argmax", found.phi, float(p.value), **ends, note=found.status)]

    return _Fitted(PSPGenPredictor(run.members[0]), points, notes)


def _checkpoint(place: Path) -> Path:
    return place.with_name(f"{place.name}.checkpoint")


def _published(
    triads: Triads, sizes: Sizes, seed: int, place: Path, options: dict[str, Any]
) -> _Fitted:
    pixels = int(np.prod(triads.schema.images.shape))
    recipe = {
        # some 5 % of the pixels
        "latent": 64 if pixels == 36 * 36 else round(0.05 * pixels),
        "beta": 2.0,
        "batch_size": 50,
        "learning_rate": 1e-3,
        "schedule": Plateau(20),
        "patience": 40,
        "epochs": sizes.epochs,
        "symmetries": "none",
    }
    begun = _checkpoint(place).exists()
    again = {"checkpoint": _checkpoint(place), "resume": True, "progress": False}
    run = fit(triads, model="paper", seed=seed, **recipe | options, **again)
    found = _of_run(run, place)
    # what earlier processes spent is known as wall time only
    return replace(found, trained=run.histories[0].epochs["seconds"][-1]) if begun else found


def _default(
    triads: Triads, sizes: Sizes, seed: int, place: Path, options: dict[str, Any]
) -> _Fitted:
    shorter: dict[str, Any] = {}
    if sizes.effort < 1:
        steps = {"reader_steps": 1500, "prior_steps": 2000}
        shorter = {key: sizes.steps(number) for key, number in steps.items()}
        shorter["epochs"] = sizes.steps(15, 1)
    return _of_run(fit(triads, seed=seed, progress=False, **shorter | options), place)


def _comparison(
    name: str, triads: Triads, sizes: Sizes, seed: int, place: Path, options: dict[str, Any]
) -> _Fitted:
    """The comparison method by "published" or "tuned", with φ* by every rule."""
    from ..rivals.comparison import POINTS, RULES, ComparisonMethod

    made: Any = getattr(ComparisonMethod, name)(**_COMPARISON[name])
    if sizes.effort < 1:
        for kind in ("process_structure", "structure_property"):
            settings = [replace(one, steps=sizes.steps(one.steps, 50)) for one in vars(made)[kind]]
            setattr(made, kind, tuple(settings))
        made.matching = replace(made.matching, steps=sizes.steps(made.matching.steps, 100))
    data, schema = Batches.from_triads(triads), triads.schema
    # twice the maps of 128 × 128 pixels are too much for the memory
    small = max(schema.images.shape) <= _SMALL
    symmetries = schema.symmetries if name == "tuned" and small else ()
    fitted = made.fit(data, schema=schema, symmetries=symmetries, seed=seed)

    def points(target: str, region: Target) -> list[Point]:
        found = []
        for rule in RULES:
            # the argmax is that of P itself, whatever the posterior
            asked = POINTS if rule == "R5" else POINTS[:-1]
            for one in fitted.design(region, rule, points=asked, seed=seed).values():
                words = f"{rule}, {one.point}"
                p = {"own": one.probability, "error": one.standard_error, "note": one.note}
                found.append(Point.at(target, words, one.phi, **p))
        return found

    told = asdict(fitted.convergence)
    notes = {"scores": len(fitted.scores), "convergence": told}
    notes["converged"] = bool(fitted.convergence.converged)
    return _Fitted(fitted, points, notes)


def _mixture(
    triads: Triads, sizes: Sizes, seed: int, place: Path, options: dict[str, Any]
) -> _Fitted:
    return _scattered(MixtureDensityNetwork(steps=sizes.steps(4000, 100)), triads, seed)


def _forest(
    triads: Triads, sizes: Sizes, seed: int, place: Path, options: dict[str, Any]
) -> _Fitted:
    return _scattered(ForestWeights(trees=sizes.steps(300, 50)), triads, seed)


def _scattered(rival: Any, triads: Triads, seed: int) -> _Fitted:
    """A rival whose φ* is looked for by scattering."""
    data, schema = Batches.from_triads(triads), triads.schema
    fitted = rival.fit(data, schema=schema, symmetries=schema.symmetries, seed=seed)

    def points(name: str, target: Target) -> list[Point]:
        return [Point.at(name, "argmax", *best_setting(fitted, target, seed=seed))]

    return _Fitted(fitted, points, {})


_RECIPES: dict[str, Callable[[Triads, Sizes, int, Path, dict[str, Any]], _Fitted]] = {
    "published": _published,
    "default": _default,
    "comparison_published": partial(_comparison, "published"),
    "comparison_tuned": partial(_comparison, "tuned"),
    "mixture": _mixture,
    "forest": _forest,
}
