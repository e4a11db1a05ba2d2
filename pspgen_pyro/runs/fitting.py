"""From triads to a run in one call, which is also what `pspgen fit` does."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..data.batches import Batches
from ..data.triads import Triads
from ..design import Support
from ..errors import InputError
from ..io.kinds import described
from ..io.provenance import environment
from ..io.threads import threads as use_threads
from ..io.validation import check_flags, check_instance, check_seed, check_whole, local_path
from ..model import PSPGen
from ..training import ELBO, STAGES, Alternating, Cosine, Joint, Plateau, fit_ensemble, train
from ..training.ensemble import MOST_MEMBERS
from ..training.train import usable_device
from .provenance import check_schema, described_data
from .run import Run

if TYPE_CHECKING:
    from ..schema import Schema

__all__ = ["fit", "training_data"]

_NAMED = {
    "updates": {"alternating": Alternating, "joint": Joint},
    "schedule": {"cosine": Cosine, "plateau": Plateau},
}
_OF_EPOCHS = ("epochs", "batch_size", "learning_rate", "updates", "schedule", "patience")


def fit(
    triads: Triads,
    *,
    model: PSPGen | Literal["default", "paper"] | None = None,
    members: int = 1,
    bootstrap: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    pairs: Triads | None = None,
    labels: int | None = None,
    latent: int | None = None,
    process_latent: int | None = None,
    seed: int = 0,
    threads: int = 1,
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
        scheduler: The address of a dask scheduler to use instead; see `generate`.
        pairs: Other triads whose m is left aside: unlabelled samples (φ, x).
        labels: Keep the m of so many triads only.
        latent: The size of z0 of a named model; its own default if None.
        process_latent: The size of z1 of a named model; its own default if None.
        seed: Seeds the weights, the order of the data and the noise.
        threads: Threads of torch; on small images one is fastest unless the machine is idle.
            Members of an ensemble have one each.
        checkpoint: A folder to write the state of the training to; None writes nothing.
        resume: Go on from `checkpoint`, if there is one.
        progress: Show a progress bar.
        settings: Those of the stages: `reader_steps`, `prior_steps`, `beta`, and `epochs`,
            `batch_size`, `learning_rate`, `patience`, `updates` ("alternating" or "joint") and
            `schedule` ("cosine" or "plateau") of `training.Epochs`; or `stages` themselves; and
            `symmetries` ("declared" or "none") and `device` of `training.train`.

    Returns:
        The run: ask it by `design`, `probability`, `posterior`, `check`, `verify` and `loop`.

    Raises:
        InputError: If an argument is out of range or does not fit the triads.
        TrainingError: If a term becomes NaN or infinite.
    """
    check_instance(Triads, "Triads, such as `Triads.open` returns", triads=triads)
    if pairs is not None:
        check_instance(Triads, "Triads, such as `Triads.open` returns", pairs=pairs)
    check_whole(members=members, most=MOST_MEMBERS)
    check_whole(workers=workers)
    check_whole(optional=True, labels=labels)
    check_seed(seed)
    check_whole(threads=threads, most=1000)
    check_flags(bootstrap=bootstrap, resume=resume, progress=progress)
    if settings.get("device") is not None:
        settings["device"] = str(usable_device(settings["device"]))
    if checkpoint is not None:
        checkpoint = local_path(checkpoint, "checkpoint")
    if workers > members:
        raise InputError(
            f"'members' is {members} and 'workers' is {workers}; give at least one member, and no "
            "more workers than members."
        )
    if scheduler is not None and members == 1:
        raise InputError(
            f"'scheduler' is {scheduler!r:.60} and 'members' is 1; a cluster trains the members "
            "of an ensemble, so give more of them, or leave it out."
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
        with use_threads(threads):
            found, histories = built, [train(built, data, **shared)]
    else:
        several = {
            "members": members,
            "bootstrap": bootstrap,
            "workers": workers,
            "scheduler": scheduler,
        }
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
        "threads": threads,
        **{name: _told(value) for name, value in settings.items()},
    }
    story = {"settings": _known(told), "environment": environment()}
    return Run(found, tuple(histories), described_data(triads), story, Support.of(triads))


def training_data(triads: Triads, labels: int | None, pairs: Triads | None, seed: int) -> Batches:
    """The triads as `fit` trains on them, with the unlabelled samples that were asked for.

    Raises:
        InputError: If the pairs come from another process, or the labels are too many or too few.
    """
    data = Batches.from_triads(triads)
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
    return data.with_pairs(Batches.from_triads(pairs))


def _with_properties(schema: Schema, other: Schema) -> Schema:
    """The schema with the properties of another; unlabelled samples may have any."""
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
    if not (model is None or isinstance(model, str)) or model not in makes:
        raise InputError(f"'model' is {model!r}; choose 'default', 'paper' or a PSPGen.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return makes[model](schema, **sizes).float()


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as `train` takes them."""
    rest = {name: _named(name, value) for name, value in settings.items()}
    if rest.get("symmetries") == "none":
        rest["symmetries"] = ()
    reader, prior, epochs = STAGES
    changed = {name: rest.pop(name) for name in _OF_EPOCHS if name in rest}
    if "beta" in rest:
        changed["objective"] = ELBO(rest.pop("beta"))
    steps = [rest.pop(name, None) for name in ("reader_steps", "prior_steps")]
    chosen = [
        stage if number is None else dataclasses.replace(stage, steps=number)  # type: ignore[type-var]
        for stage, number in zip((reader, prior), steps, strict=True)
    ]
    chosen.append(dataclasses.replace(epochs, **changed))  # type: ignore[type-var]
    if "stages" in rest and (changed or any(number is not None for number in steps)):
        raise InputError(
            "'stages' is given beside settings of the stages; put those into the stages."
        )
    if unknown := set(rest) - {"stages", "symmetries", "device"}:
        raise InputError(
            f"'{sorted(unknown)[0]}' is no setting of `fit`; known ones are model, members, "
            "bootstrap, workers, pairs, labels, latent, process_latent, seed, threads, "
            "checkpoint, resume, progress, reader_steps, prior_steps, beta, stages, symmetries, "
            f"device, {', '.join(_OF_EPOCHS)}."
        )
    return {"stages": tuple(chosen), **rest}


def _named(name: str, value: Any) -> Any:
    if name not in _NAMED or not isinstance(value, str):
        return value
    if value not in _NAMED[name]:
        raise InputError(f"'{name}' is {value!r}; choose {' or '.join(_NAMED[name])}.")
    return _NAMED[name][value]()


def _told(value: Any) -> Any:
    """A setting, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return described(value)
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _known(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if value is not None}
