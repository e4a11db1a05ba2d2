r"""Training by stochastic variational inference in two parameter groups (§3.3, Algorithm 1).

The objective :math:`\mathcal{L}(\theta, \eta)` of `objective` is ascended in half steps: the
guide's parameters :math:`\eta` with the model held fixed (the E step), then the model's
:math:`\theta` with the guide held fixed (the M step). Each group has an Adam optimiser of its own
and sees a gradient of its own; nothing of the other group moves. `Joint` updates both at once.

The order of the data and the noise come from one seed. Training leaves alone the state of the
caller's random numbers and Pyro's global parameter store.

A model whose guide has a property code learns that and the prior first, by `stages`; the epochs
then train the image's part of the model with both held fixed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyro
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..data.batches import Batches
from ..errors import InputError, TrainingError
from ..io.kinds import described
from ..model import PSPGen
from ..process.symmetries import Symmetry, augment, symmetry_to_json
from .checkpoint import History, TrainingState, has_checkpoint, load_checkpoint, save_checkpoint
from .objective import ELBO, Objective, objective_to_json
from .stages import (
    PriorStage,
    PropertyStage,
    code_of,
    fit_prior,
    has_code,
    learn_code,
    reader_of,
)
from .updates import Alternating, Cosine, Joint, Plateau

__all__ = ["evaluate", "fit"]


def fit(
    model: PSPGen,
    data: Batches,
    *,
    objective: Objective = ELBO(),  # noqa: B008
    symmetries: Sequence[Symmetry] | Literal["declared"] | None = None,
    property_stage: PropertyStage = PropertyStage(),  # noqa: B008
    prior_stage: PriorStage = PriorStage(),  # noqa: B008
    epochs: int | None = None,
    batch_size: int = 250,
    learning_rate: float = 2e-3,
    updates: Alternating | Joint = Alternating(),  # noqa: B008
    schedule: Cosine | Plateau = Cosine(),  # noqa: B008
    clip: float = 20.0,
    patience: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    r"""Trains the model and its guide in place, and leaves the best weights in it.

    Arguments:
        model: The model; its standardisation is set from the training data.
        data: Training and validation triads, split by φ.

    Other arguments:
        objective: What the epochs ascend: `ELBO()`, or any other of the module `objective`.
        symmetries: What the data are multiplied by: "declared" takes what the process declares,
            `()` nothing, and any other sequence is taken as it is. None is "declared" for a model
            with a property code, which uses them in its stages, and nothing for any other, which
            would use them in every epoch.
        property_stage: How the property code is learned, if the model has one.
        prior_stage: How the prior of the property code is fitted, if the model has one.
        epochs: The largest number of passes through the training data; 30 if None, and 15 with a
            property code. With one it may be 0, which leaves the image decoder untrained and every
            probability as it will be.
        batch_size: Triads a step.
        learning_rate: Adam's rate for the model.
        updates: `Alternating()` or `Joint()`; either says how the guide's rate and momentum
            differ.
        schedule: `Cosine()` or `Plateau()`.
        clip: The largest norm of a group's gradient (of the mean loss a triad); longer ones are
            shortened to it. Below the usual norm, as here, every step has the same length, and a
            rare steep batch cannot throw the guide far off.
        patience: Stop once the validation loss has not improved for this many epochs; None never
            does.
        seed: Seeds the order of the data and the noise.
        device: Where to train, such as "cuda"; None leaves the model where it is.
        checkpoint: A folder to write the state to after every epoch; None writes nothing.
        resume: Go on from `checkpoint`, if there is one.
        progress: Show a progress bar.

    Returns:
        The history of every term. `best_epoch` is the epoch whose weights were kept: the one with
        the lowest validation loss :math:`-\mathcal{L}`.

    Raises:
        InputError: If the data or the objective do not fit the model, or a number is not positive.
        DataError: If the checkpoint to resume is damaged or of other settings.
        TrainingError: If a term or a gradient becomes NaN or infinite; the best weights so far are
            in the model and the last checkpoint is intact.
    """
    epochs = (15 if has_code(model) else 30) if epochs is None else epochs
    allowed = {"epochs": epochs} if epochs or not has_code(model) else {}
    _check(model, data, batch_size=batch_size, learning_rate=learning_rate, clip=clip, **allowed)
    objective.check_against(model)
    if device is not None:
        model.to(device)
    data = data.to(model.m_loc)
    model.standardise_by(data.train.only_labelled().m)
    if symmetries is None:
        symmetries = "declared" if has_code(model) else ()
    chosen = model.process.symmetries if symmetries == "declared" else tuple(symmetries)
    for symmetry in chosen:
        symmetry.check_against(model.process)
    rates = {"theta": learning_rate, "eta": learning_rate * updates.guide_rate}
    momenta = {"theta": 0.9, "eta": updates.guide_momentum}
    held = {id(p) for p in _held(model)}
    optimisers = {
        name: torch.optim.Adam(
            [p for p in group if id(p) not in held], lr=rates[name], betas=(momenta[name], 0.99)
        )
        for name, group in model.param_groups().items()
    }
    state = TrainingState(model, optimisers, History(), _copy(model))
    settings = _settings(locals())
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(seed)
        folder = None if checkpoint is None else Path(checkpoint)
        if resume and folder is not None and has_checkpoint(folder):
            load_checkpoint(state, settings, folder)
        elif has_code(model):
            _stages(state, data, property_stage, prior_stage, chosen, seed)
        if has_code(model):
            data, chosen = _with_codes(model, data), ()
        try:
            bar = tqdm(
                range(len(state.history), epochs),
                desc="training",
                unit="epoch",
                initial=len(state.history),
                total=epochs,
                disable=None if progress else True,
            )
            for epoch in bar:
                if patience is not None and epoch - state.history.best_epoch > patience:
                    state.history.status = f"stopped early: no improvement for {patience} epochs"
                    break
                losses = state.history.epochs.get("validation_loss", [])
                factor = schedule.factor(epoch, epochs, losses)
                for name, optimiser in state.optimisers.items():
                    optimiser.param_groups[0]["lr"] = rates[name] * factor
                _epoch(
                    state,
                    data,
                    updates,
                    chosen,
                    objective,
                    batch_size=batch_size,
                    clip=clip,
                    factor=factor,
                )
                if folder is not None:
                    save_checkpoint(state, settings, folder)
                last = {name: v[-1] for name, v in state.history.epochs.items()}
                bar.set_postfix(
                    x=f"{last['validation_x']:.1f}",
                    m=f"{last['validation_m']:.2f}",
                    kl=f"{last['validation_kl']:.1f}",
                )
            else:
                state.history.status = "reached the last epoch"
        finally:
            model.load_state_dict(state.best)
            model.eval()
    return state.history


def _held(model: PSPGen) -> list[nn.Parameter]:
    """What the stages train and the epochs leave alone."""
    if not has_code(model):
        return []
    held = [*model.encoder.code.parameters(), *reader_of(model).parameters()]
    if getattr(model.prior, "entries", model.dims.latent) <= model.encoder.code_size:
        held += model.prior.own_parameters()
    return held


def _stages(
    state: TrainingState,
    data: Batches,
    property_stage: PropertyStage,
    prior_stage: PriorStage,
    symmetries: Sequence[Symmetry],
    seed: int,
) -> None:
    model, start = state.model, time.perf_counter()
    how: Any = {"symmetries": symmetries, "seed": seed}
    state.history.stages["property code"] = learn_code(model, data.train, property_stage, **how)
    if getattr(model.prior, "entries", model.dims.latent) <= model.encoder.code_size:
        state.history.stages["prior"] = fit_prior(model, data.train, prior_stage, **how)
    state.history.stage_seconds = time.perf_counter() - start
    state.best = _copy(model)


def _with_codes(model: PSPGen, data: Batches) -> Batches:
    train, validation = (
        dataclasses.replace(fold, code=code_of(model, fold))
        for fold in (data.train, data.validation)
    )
    return Batches(train, validation)


def _settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a resumed run must have in common with the one it goes on from, ready for JSON."""
    numbers = ("epochs", "batch_size", "learning_rate", "clip", "patience", "seed")
    settings = {name: arguments[name] for name in numbers}
    for name in ("updates", "schedule"):
        settings[name] = described(arguments[name])
    for name in ("property_stage", "prior_stage"):
        settings[name] = dataclasses.asdict(arguments[name])
    settings["objective"] = objective_to_json(arguments["objective"])
    settings["symmetries"] = [symmetry_to_json(one) for one in arguments["chosen"]]
    m = arguments["data"].train.only_labelled().m
    model = json.loads(json.dumps(arguments["model"].specification()))
    return settings | {
        "model": model,
        "samples": len(arguments["data"].train),
        "m_sum": m.double().sum().item(),
    }


def _epoch(
    state: TrainingState,
    data: Batches,
    updates: Alternating | Joint,
    symmetries: Sequence[Symmetry],
    objective: Objective,
    *,
    batch_size: int,
    clip: float,
    factor: float,
) -> None:
    history, model = state.history, state.model
    start = time.perf_counter() - (history.epochs["seconds"][-1] if len(history) else 0.0)
    model.train()
    seen = []
    for batch in data.train.shuffled(batch_size):
        triads = augment(symmetries, model.process, *batch[:3])
        seen.append(_step(state, (*triads, *batch[3:]), updates, clip, objective))
    train = {name: sum(terms[name] for terms in seen) / len(seen) for name in seen[0]}
    validation = evaluate(model, data, objective)
    losses = {
        name: objective.loss(t, model.beta)
        for name, t in (("train", train), ("validation", validation))
    }
    if losses["validation"] < min(history.epochs.get("validation_loss", [math.inf])):
        history.best_epoch, state.best = len(history), _copy(model)
    history.append(
        **{f"train_{name}": v for name, v in train.items()},
        **{f"validation_{name}": v for name, v in validation.items()},
        train_loss=losses["train"],
        validation_loss=losses["validation"],
        learning_rate=factor,
        seconds=time.perf_counter() - start,
    )


def _step(
    state: TrainingState,
    batch: Sequence[Any],
    updates: Alternating | Joint,
    clip: float,
    objective: Objective = ELBO(),  # noqa: B008
) -> dict[str, float]:
    values: dict[str, float] = {}
    for names in updates.half_steps:
        parameters = [
            p for name in names for p in state.optimisers[name].param_groups[0]["params"]
        ]
        for name in names:
            state.optimisers[name].zero_grad(set_to_none=True)
        terms = objective(state.model, *batch)
        values = _finite(terms.values(), state)
        objective.loss(terms.named(), state.model.beta).backward(inputs=parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
        _finite({f"gradient of {' and '.join(names)}": norm.item()}, state)
        for name in names:
            state.optimisers[name].step()
    return values


def _finite(values: dict[str, float], state: TrainingState) -> dict[str, float]:
    for name, value in values.items():
        if not math.isfinite(value):
            steps = state.optimisers["theta"].state_dict()["state"].get(0, {}).get("step", 0)
            raise TrainingError(
                f"the term '{name}' became {value} in epoch {len(state.history)}, step "
                f"{int(steps)}; the best weights so far are kept; try a smaller learning rate or "
                "'clip'."
            )
    return values


@torch.no_grad()
def evaluate(
    model: PSPGen,
    data: Batches,
    objective: Objective = ELBO(),  # noqa: B008
) -> dict[str, float]:
    """The terms on the validation triads, in evaluation mode."""
    model.eval()
    parts = [(len(b[0]), objective(model, *b).values()) for b in data.validation.ordered(1000)]
    total = sum(n for n, _ in parts)
    return {name: sum(n * values[name] for n, values in parts) / total for name in parts[0][1]}


def _copy(model: PSPGen) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _check(model: PSPGen, data: Batches, **positive: float) -> None:
    for name, number in positive.items():
        if not number > 0:
            raise InputError(f"'{name}' is {number}; it must be positive.")
    data.check_against(model)
