r"""The study, from its data to its page: each part of the paper's section 4 in one call.

Simulated data (training, test, reference), models that learn them side by side, their φ*, fresh
simulations at every φ*, figures, one JSON and one page. A part is a case of `cases` with the
models that it compares; `latents` and `beta` are Case 1 with other models. Where each thing lies,
and what a kill loses, says `steps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..data import generate
from ..io.crews import Crew
from ..io.optional import optional
from ..io.validation import check_seed
from .answers import count, simulate, truth_name
from .cases import case
from .latents import posteriors
from .models import learn
from .page import write_all, write_page
from .plan import BETAS, CAPTIONED, MODELS, STUDIES, Sizes, check_arguments, sizes_of
from .steps import Folder, Step
from .tables import settings_to_simulate, tabulated

__all__ = ["run_study"]

# pixels of materials that one process simulates in about twenty seconds
_FEW = 6_000_000

_OWNERS = {"case2": "case1", "case3": "case1"}


@dataclass(frozen=True)
class _Learner:
    """A row of the tables: a model, its seed and what is other than usual."""

    name: str
    model: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)


def run_study(
    name: str,
    out: str | Path,
    *,
    scale: float = 1.0,
    workers: int = 2,
    scheduler: str | None = None,
    seeds: int | None = None,
    models: Sequence[str] = tuple(MODELS),
    max_epochs: int = 200,
    seed: int = 0,
    resume: bool = False,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Runs a part of the study, or all of it, into a folder.

    Arguments:
        name: "case1" to "case5", "latents", "beta", or "all".
        out: The folder; see `steps` for what lies in it.

    Other arguments:
        scale: Multiplies the study's sizes; see `plan`.
        workers: Processes that simulate or learn side by side.
        scheduler: The address of a dask scheduler to use instead; see `generate`.
        seeds: Seeds of every learned row; 3 if None, at 128 × 128 pixels 1.
        models: The models to compare, of `plan.MODELS`.
        max_epochs: The largest number of epochs of the published recipe at full size.
        seed: The root of all random numbers.
        resume: Go on with a study that is already there.
        progress: Called with a few words whenever something is done.

    Returns:
        What `study_results.json` holds: everything but "times" is the same however often the study
        was killed.

    Raises:
        InputError: If an argument cannot be used, or `out` is another study or something else.
        MissingDependencyError: If a model needs a library that is missing.
        StorageError: If a file cannot be written.
        WorkerError: If worker processes keep dying.
    """
    check_arguments(name, scale, seeds, models, max_epochs)
    check_seed(seed)
    crew = Crew(workers, scheduler)
    _check_libraries(name, models)
    settings = {
        "name": name,
        "scale": scale,
        "seeds": seeds,
        "models": list(models),
        "max_epochs": max_epochs,
        "seed": seed,
    }
    tell = progress or (lambda _: None)
    top = Folder.opened(Path(out).absolute(), settings, resume=resume)
    if name != "all":
        return _part(top, settings, crew, tell)
    found = {}
    for part in CAPTIONED:
        own = settings | {"name": part}
        # what is there was made by this study
        folder = Folder.opened(top.path / part, own, resume=True, data=top.data)
        found[part] = _part(folder, own, crew, lambda words, p=part: tell(f"{p}: {words}"))
        top.write("study_results.json", {"study": settings, "parts": found})
        top.write("index.html", write_all(settings, found))
    return {"study": settings, "parts": found}


def _part(
    folder: Folder, settings: dict[str, Any], crew: Crew, tell: Callable[[str], object]
) -> dict[str, Any]:
    name = settings["name"]
    owner = name if name in STUDIES[:5] else "case1"
    presets = ("calibrated", "as_stated") if name == "case1" else ("calibrated",)
    sizes = sizes_of(
        owner, settings["scale"], seeds=settings["seeds"], max_epochs=settings["max_epochs"]
    )
    learners = _learners(name, sizes, settings["models"])
    problems = {}
    for preset in presets:
        problem = (owner, preset)
        stores = _data(folder, problem, sizes, settings["seed"], crew, tell)
        steps = _answers(folder, problem, stores, sizes, learners, settings["seed"], crew, tell)
        problems[preset] = {"stores": stores, "steps": steps}
    results = tabulated(folder, name, settings, sizes, problems)
    results["figures"] = _figures(folder, name, results, problems, settings["seed"])
    results["times"] = folder.costs()
    folder.write("study_results.json", results)
    folder.write("index.html", write_page(results))
    tell("page written")
    return results


def _learners(name: str, sizes: Sizes, models: Sequence[str]) -> list[_Learner]:
    """What is trained, the longest first, so that no worker is left alone with it."""
    if name == "beta":
        return [_Learner(f"beta {b:g}", "published", 0, {"beta": b}) for b in BETAS]
    if name == "latents":
        kinds = [m for m in models if m in ("published", "default")] or ["default"]
        return [_Learner(m, m, 0, {"process_latent": 2}) for m in kinds]
    order = [m for m in MODELS if m in models]
    return [_Learner(m, m, seed) for m in order for seed in range(sizes.seeds)]


def _data(
    folder: Folder,
    problem: tuple[str, str],
    sizes: Sizes,
    seed: int,
    crew: Crew,
    tell: Callable[[str], object],
) -> dict[str, str]:
    """The stores of a problem by split, made if they are not there; cases share what is alike."""
    name, preset = problem
    shared = _OWNERS.get(name, name)
    total = sizes.settings * sizes.replicates
    plan: dict[str, tuple[str, int, dict[str, Any]]] = {
        "train": (name, total, {"samples": total, "replicates": sizes.replicates}),
        "test": (shared, sizes.test * 4, {"samples": sizes.test * 4}),
    }
    if sizes.points:
        numbers = {"points": sizes.points, "replicates": sizes.each}
        plan["reference"] = (shared, sizes.each * sizes.points**2, numbers)
    stores = {}
    for split, (owner, materials, numbers) in plan.items():
        stores[split] = f"{owner}-{preset}-{split}.zarr"
        generate(
            case(owner, preset),
            folder.data / stores[split],
            split=split,
            seed=seed,
            **asdict(_crew(crew, problem, materials)),
            resume=True,
            **numbers,
        )
        tell(f"{stores[split]} simulated")
    return stores | ({} if sizes.points else {"reference": stores["test"]})


def _answers(
    folder: Folder,
    problem: tuple[str, str],
    stores: dict[str, str],
    sizes: Sizes,
    learners: Sequence[_Learner],
    seed: int,
    crew: Crew,
    tell: Callable[[str], object],
) -> dict[str, Any]:
    """The steps of a problem, done: the reference counted, the models, the truth at every φ*."""
    label = "-".join(problem)
    where = {"problem": problem, "store": stores["reference"]}
    counting = Step(f"{label}-reference", count, where)
    counted = folder.perform([counting], Crew(), tell)[counting.name]
    fits = {}
    for one in learners:
        name = f"{label}-{one.name}-{one.seed}".replace(" ", "-")
        told = {"problem": problem, "model": one.model, "seed": seed + one.seed}
        told |= {"sizes": asdict(sizes), "train": stores["train"], "settings": counting.name}
        fits[name] = Step(name, learn, told | {"name": name, "options": one.options})
    learned = folder.perform(list(fits.values()), crew, tell)
    places = settings_to_simulate(problem, counted, learned)
    common = {"problem": problem, "samples": sizes.fresh, "seed": seed}
    truths = [Step(truth_name(problem, phi), simulate, {"phi": phi, **common}) for phi in places]
    folder.perform(truths, _crew(crew, problem, len(truths) * sizes.fresh), tell)
    described = dict(zip(fits, map(asdict, learners), strict=True))
    found = {"reference": counting.name, "fits": described}
    if any("process_latent" in one.options for one in learners):
        asked = {"problem": problem, "run": next(iter(fits)), "seed": seed}
        step = Step(f"{label}-latents", posteriors, asked)
        folder.perform([step], Crew(), tell)
        found["latents"] = step.name
    return found


def _figures(
    folder: Folder, name: str, results: dict[str, Any], problems: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Draws and writes the figures of a part; what the results say of each, by its name."""
    from .figures import write
    from .figures.choice import drawn

    found = {}
    for preset, problem in problems.items():
        told = results["problems"][preset]
        chosen = (told["case"], preset)
        for one in drawn(folder, name, chosen, told, problem["stores"], seed):
            found[one.name] = write(folder, one)
    return found


def _crew(crew: Crew, problem: tuple[str, str], materials: int) -> Crew:
    """Who is worth so many materials: starting a process takes as long as simulating some."""
    pixels = math.prod(case(*problem).chain.schema.images.shape)
    return crew if materials * pixels > _FEW else Crew()


def _check_libraries(name: str, models: Sequence[str]) -> None:
    if name in ("latents", "beta"):
        return
    if any(model.startswith("comparison") for model in models):
        optional("gpytorch", "The comparison method of the study", "study")
        optional("sklearn", "The comparison method of the study", "study")
    if "forest" in models:
        optional("sklearn", "The forest of the study", "study")
