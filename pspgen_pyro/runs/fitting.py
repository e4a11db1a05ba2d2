"""From triads to a run in one call, which is also what `pspgen fit` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..data.batches import Batches
from ..design import Support
from ..errors import InputError
from ..io.kinds import described
from ..io.provenance import environment
from ..model import PSPGen
from ..training import ELBO, Alternating, Cosine, ImportanceWeighted, Joint, Plateau, fit_ensemble
from ..training import fit as train
from ..training.stages import PriorStage, PropertyStage
from .provenance import check_schema, described_data
from .run import Run

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..schema import Schema

__all__ = ["fit", "training_data"]

_NAMED = {
    "objective": {"elbo": ELBO, "iwae": ImportanceWeighted},
    "updates": {"alternating": Alternating, "joint": Joint},
    "schedule": {"cosine": Cosine, "plateau": Plateau},
}
_STEPS = {
    "property_steps": ("property_stage", PropertyStage),
    "prior_steps": ("prior_stage", PriorStage),
}


def fit(
    triads: Triads,
    *,
    model: PSPGen | Literal["default", "paper"] | None = None,
    members: int = 1,
    bootstrap: bool = True,
    workers: int = 1,
    pairs: Triads | None = None,
    labels: int | None = None,
    latent: int | None = None,
    process_latent: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Learns the chain from triads.

    Arguments:
        triads: The triads, see `Triads`.

    Other arguments:
        model: "default" (also None), "paper", or a model of the triads' schema, which is trained
            in place.
        members: How many models to train apart; more than one make an ensemble, whose spread says
            what the data leave open.
        bootstrap: Whether each member learns from settings drawn with replacement.
        workers: Processes that train members side by side.
        pairs: Other triads whose m is left aside: bare pairs (φ, x).
        labels: Keep the m of so many triads only.
        latent: The size of z0 of a named model; its own default if None.
        process_latent: The size of z1 of a named model; its own default if None.
        seed: Seeds the weights, the order of the data and the noise.
        checkpoint: A folder to write the state of the training to; None writes nothing.
        resume: Go on from `checkpoint`, if there is one.
        progress: Show a progress bar.
        settings: The other settings of `training.train`; `objective` may be "elbo" or "iwae",
            `updates` "alternating" or "joint", `schedule` "cosine" or "plateau", and
            `property_steps` and `prior_steps` are the steps of the two stages.

    Returns:
        The run: ask it by `design`, `probability`, `posterior`, `check`, `verify` and `loop`.

    Raises:
        InputError: If an argument is out of range or does not fit the triads.
        TrainingError: If a term becomes NaN or infinite.
    """
    if members < 1 or not 1 <= workers <= members:
        raise InputError(
            f"'members' is {members} and 'workers' is {workers}; give at least one member, and no "
            "more workers than members."
        )
    data = training_data(triads, labels, pairs, seed)
    built = _built(triads.schema, model, seed, latent, process_latent)
    shared: dict[str, Any] = _given(settings) | {
        "seed": seed,
        "checkpoint": checkpoint,
        "resume": resume,
        "progress": progress,
    }
    if members == 1:
        found, histories = built, [train(built, data, **shared)]
        built.eval()
    else:
        several = {"members": members, "bootstrap": bootstrap, "workers": workers}
        found, histories = fit_ensemble(built, data, **several, **shared)
    told = {
        "model": model if isinstance(model, str) else "default" if model is None else "own",
        "members": members,
        "bootstrap": bootstrap,
        "labels": labels,
        "pairs": None if pairs is None else described_data(pairs),
        "latent": latent,
        "process_latent": process_latent,
        "seed": seed,
        **{name: _told(value) for name, value in settings.items()},
    }
    story = {"settings": _known(told), "environment": environment()}
    return Run(found, tuple(histories), described_data(triads), story, Support.of(triads))


def training_data(triads: Triads, labels: int | None, pairs: Triads | None, seed: int) -> Batches:
    """The triads as `fit` trains on them, with the bare pairs that were asked for.

    Raises:
        InputError: If the pairs come from another process, or the labels are too many or too few.
    """
    data = Batches.from_dataset(triads.data)
    if labels is not None:
        data = data.hide_properties(labels, seed)
    if pairs is None:
        return data
    try:
        alike = dataclasses.replace(pairs, schema=_with_properties(pairs.schema, triads.schema))
        check_schema(triads.schema, alike.schema)
    except InputError as error:
        raise InputError(str(error).replace("'triads'", "'pairs'", 1)) from error
    for key in ("case", "preset"):
        ours, theirs = triads.data.attrs.get(key), pairs.data.attrs.get(key)
        if ours != theirs:
            raise InputError(
                f"'pairs' was made with {key} {theirs!r} but 'triads' with {ours!r}; give pairs "
                "of the same process."
            )
    return data.with_pairs(Batches.from_dataset(pairs.data))


def _with_properties(schema: Schema, other: Schema) -> Schema:
    """The schema with the properties of another; bare pairs may have any."""
    return schema.model_copy(update={"properties": other.properties})


def _built(
    schema: Schema,
    model: PSPGen | str | None,
    seed: int,
    latent: int | None,
    process_latent: int | None,
) -> PSPGen:
    sizes = _known({"latent": latent, "process_latent": process_latent})
    if isinstance(model, PSPGen):
        if sizes:
            raise InputError(
                f"'{next(iter(sizes))}' is given beside a model, which has its own; leave it out."
            )
        check_schema(model.schema, schema)
        return model
    makes = {None: PSPGen, "default": PSPGen, "paper": PSPGen.paper}
    if model not in makes:
        raise InputError(f"'model' is {model!r}; choose 'default', 'paper' or a PSPGen.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return makes[model](schema, **sizes).float()


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as `train` takes them."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _STEPS:
            if value < 1:
                raise InputError(f"'{name}' is {value}; it must be at least 1.")
            stage, make = _STEPS[name]
            found[stage] = make(steps=value)
        elif name in _NAMED and isinstance(value, str):
            if value not in _NAMED[name]:
                raise InputError(f"'{name}' is {value!r}; choose {' or '.join(_NAMED[name])}.")
            found[name] = _NAMED[name][value]()
        elif name == "symmetries" and value == "none":
            found[name] = ()
        else:
            found[name] = value
    return found


def _told(value: Any) -> Any:
    """A setting, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return described(value)
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _known(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if value is not None}
