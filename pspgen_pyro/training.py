r"""Training by stochastic variational inference in two parameter groups (§3.3, Algorithm 1).

The objective :math:`\mathcal{L}(\theta, \eta)` of `objective` is ascended in half steps: the
guide's parameters
:math:`\eta` with the model held fixed (the E step), then the model's :math:`\theta` with the guide
held fixed (the M step). Each group has an Adam optimiser of its own and sees a gradient of its
own; nothing of the other group moves. `Joint` updates both at once, at about two thirds of the
cost.

The order of the data, the noise and the weights come from one seed. Training reads and leaves
alone the state of the caller's random numbers and Pyro's global parameter store.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pyro
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .batches import Batches
from .errors import InputError, TrainingError
from .model import PSPGen
from .objective import Terms, elbo_terms

__all__ = ["Alternating", "Cosine", "History", "Joint", "Plateau", "fit"]

Group = Literal["theta", "eta"]


@dataclass(frozen=True)
class Alternating:
    """Half steps: the guide's parameters first, then the model's (the method; the default).

    The guide steps without momentum: what it remembers is a direction from before the model's half
    step, and following it made the two chase each other (divergences of thousands of nats in the
    first epochs).

    Arguments:
        guide_rate: The guide's learning rate as a fraction of the model's.
        guide_momentum: Adam's first decay rate for the guide.
    """

    guide_rate: float = 0.5
    guide_momentum: float = 0.0
    half_steps: ClassVar[tuple[tuple[Group, ...], ...]] = (("eta",), ("theta",))


@dataclass(frozen=True)
class Joint:
    """One step for all parameters at once, same rate and momentum for both groups."""

    guide_rate: float = 1.0
    guide_momentum: float = 0.9
    half_steps: ClassVar[tuple[tuple[Group, ...], ...]] = (("eta", "theta"),)


@dataclass(frozen=True)
class Cosine:
    """The learning rate falls along a half cosine to `final` times its start over all epochs."""

    final: float = 0.01

    def factor(self, epoch: int, epochs: int, losses: Sequence[float]) -> float:
        """The factor on the learning rate in this epoch (counted from 0)."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@dataclass(frozen=True)
class Plateau:
    """The learning rate is multiplied by `decay` whenever the validation loss has not improved for
    `patience` epochs."""

    patience: int = 20
    decay: float = 1 / 3

    def factor(self, epoch: int, epochs: int, losses: Sequence[float]) -> float:
        """The factor on the learning rate in this epoch, given the validation losses so far."""
        power, best, waited = 0, math.inf, 0
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= self.patience:
                power, waited = power + 1, 0
        return self.decay**power


@dataclass
class History:
    """What training saw: one number an epoch for every name.

    The names are `train_x, train_m, train_kl, validation_x, …` (nats a sample; see
    `objective.Terms`), `train_loss`, `validation_loss`, `learning_rate` (the factor) and `seconds`
    (wall time since the start).
    """

    epochs: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    status: str = "not started"

    def __len__(self) -> int:
        return len(self.epochs.get("validation_loss", []))

    def append(self, **numbers: float) -> None:
        """Adds one epoch."""
        for name, number in numbers.items():
            self.epochs.setdefault(name, []).append(float(number))


@dataclass
class TrainingState:
    """All that the next epoch depends on; `checkpoint` stores and restores it."""

    model: PSPGen
    optimisers: dict[str, torch.optim.Adam]
    history: History
    best: dict[str, Tensor]


def fit(
    model: PSPGen,
    data: Batches,
    *,
    epochs: int = 30,
    batch_size: int = 250,
    learning_rate: float = 2e-3,
    updates: Alternating | Joint = Alternating(),  # noqa: B008
    schedule: Cosine | Plateau = Cosine(),  # noqa: B008
    clip: float = 200.0,
    patience: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> History:
    r"""Trains the model and its guide in place, and leaves the best weights in it.

    Arguments:
        model: The model; its standardisation is set from the training data.
        data: Training and validation triads, split by φ.

    Other arguments:
        epochs: The largest number of passes through the training data.
        batch_size: Triads a step.
        learning_rate: Adam's rate for the model.
        updates: `Alternating()` or `Joint()`; either says how the guide's rate and momentum
            differ.
        schedule: `Cosine()` or `Plateau()`.
        clip: The largest norm of a group's gradient (of the mean loss a triad); longer ones are
            shortened to it.
        patience: Stop once the validation loss has not improved for this many epochs; None never
            does.
        seed: Seeds the order of the data and the noise.
        progress: Show a progress bar.

    Returns:
        The history of every term. `best_epoch` is the epoch whose weights were kept: the one with
        the lowest validation loss :math:`-\mathcal{L}`.

    Raises:
        InputError: If the data do not fit the model or a number is not positive.
        TrainingError: If a term becomes NaN or infinite; the best weights so far are in the model.
    """
    _check(
        model, data, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, clip=clip
    )
    model.standardise_by(data.train.m)
    rates = {"theta": learning_rate, "eta": learning_rate * updates.guide_rate}
    momenta = {"theta": 0.9, "eta": updates.guide_momentum}
    state = TrainingState(
        model,
        {
            name: torch.optim.Adam(group, lr=rates[name], betas=(momenta[name], 0.99))
            for name, group in model.param_groups().items()
        },
        History(status="reached the last epoch"),
        _copy(model),
    )
    with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
        torch.manual_seed(seed)
        bar = tqdm(
            range(epochs), desc="training", unit="epoch", disable=None if progress else True
        )
        try:
            for epoch in bar:
                losses = state.history.epochs.get("validation_loss", [])
                factor = schedule.factor(epoch, epochs, losses)
                for name, optimiser in state.optimisers.items():
                    optimiser.param_groups[0]["lr"] = rates[name] * factor
                _epoch(state, data, updates, batch_size=batch_size, clip=clip, factor=factor)
                last = {name: v[-1] for name, v in state.history.epochs.items()}
                bar.set_postfix(
                    x=f"{last['validation_x']:.1f}",
                    m=f"{last['validation_m']:.2f}",
                    kl=f"{last['validation_kl']:.1f}",
                )
                if patience is not None and epoch - state.history.best_epoch >= patience:
                    state.history.status = f"stopped early: no improvement for {patience} epochs"
                    break
        finally:
            model.load_state_dict(state.best)
            model.eval()
    return state.history


def _epoch(
    state: TrainingState,
    data: Batches,
    updates: Alternating | Joint,
    *,
    batch_size: int,
    clip: float,
    factor: float,
) -> None:
    history, model = state.history, state.model
    start = time.perf_counter() - (history.epochs["seconds"][-1] if len(history) else 0.0)
    model.train()
    seen = [_step(state, batch, updates, clip) for batch in data.train.shuffled(batch_size)]
    train = {name: sum(terms[name] for terms in seen) / len(seen) for name in seen[0]}
    validation = evaluate(model, data)
    losses = {
        name: model.beta * t["kl"] - t["x"] - t["m"]
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
    state: TrainingState, batch: Sequence[Tensor], updates: Alternating | Joint, clip: float
) -> dict[str, float]:
    values: dict[str, float] = {}
    for names in updates.half_steps:
        parameters = [
            p for name in names for p in state.optimisers[name].param_groups[0]["params"]
        ]
        for name in names:
            state.optimisers[name].zero_grad(set_to_none=True)
        terms = elbo_terms(state.model, *batch)
        values = _finite(terms, state)
        terms.loss(state.model.beta).backward(inputs=parameters)
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        for name in names:
            state.optimisers[name].step()
    return values


def _finite(terms: Terms, state: TrainingState) -> dict[str, float]:
    values = terms.values()
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the term '{name}' became {value} in epoch {len(state.history)}; the best "
                "weights so far "
                "(of the epochs before) are kept; try a smaller learning rate or 'clip'."
            )
    return values


@torch.no_grad()
def evaluate(model: PSPGen, data: Batches) -> dict[str, float]:
    """The terms on the validation triads, in evaluation mode."""
    model.eval()
    parts = [(len(b[0]), elbo_terms(model, *b).values()) for b in data.validation.ordered(1000)]
    total = sum(n for n, _ in parts)
    return {name: sum(n * values[name] for n, values in parts) / total for name in parts[0][1]}


def _copy(model: PSPGen) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _check(model: PSPGen, data: Batches, **positive: float) -> None:
    for name, number in positive.items():
        if not number > 0:
            raise InputError(f"'{name}' is {number}; it must be positive.")
    data.check_against(model)
