r"""Stochastic variational inference in two parameter groups (§3.3, Algorithm 1).

The bound :math:`\mathcal{L}(\theta, \eta)` of `objective` is ascended in half steps: the guide's
parameters :math:`\eta` with the model held fixed (the E step), then the model's :math:`\theta`
with the guide held fixed (the M step). Each group has an Adam optimiser of its own and sees a
gradient of its own; nothing of the other group moves. `Joint` updates both at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..data.batches import Batch
from ..errors import InputError, TrainingError
from ..io.kinds import described
from ..io.validation import check_flags, check_instance, check_positive, check_whole
from ..model import PSPGen
from ..model.distributions import EntrywiseMixture
from .checkpoint import TrainingState, has_checkpoint, load_checkpoint, save_checkpoint
from .objective import ELBO
from .stages import Stage, Training, read_properties
from .updates import Alternating, Cosine, Joint, Plateau

__all__ = ["Epochs", "evaluate"]

_ROWS = 1000


@dataclass(frozen=True)
class Epochs(Stage):
    """Block 3: passes through the data for all that no earlier stage has trained.

    Arguments:
        epochs: The largest number of passes; 0 leaves all as it is. If None, 15 where earlier
            stages have trained the properties' law, and 30 where they have not.
        objective: What is ascended.
        batch_size: Rows a step.
        learning_rate: Adam's rate for the model.
        updates: `Alternating()` or `Joint()`; either says how the guide's rate and momentum
            differ.
        schedule: `Cosine()` or `Plateau()`.
        clip: The largest norm of a group's gradient (of the mean loss a row); longer ones are
            shortened to it. Below the usual norm, as here, every step has the same length, and a
            rare steep batch cannot throw the guide far off.
        patience: Stop once the validation loss has not improved for this many epochs; None never
            does.
        augment: Whether the symmetries are applied at random to every batch. Not where a reader
            has read the images once and for all.

    Raises:
        InputError: If a number is not positive.
    """

    epochs: int | None = None
    objective: ELBO = ELBO()
    batch_size: int = 250
    learning_rate: float = 2e-3
    updates: Alternating | Joint = Alternating()
    schedule: Cosine | Plateau = Cosine()
    clip: float = 20.0
    patience: int | None = None
    augment: bool = False
    name: ClassVar[str] = "epochs"
    resumable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(batch_size=self.batch_size)
        check_whole(least=0, optional=True, epochs=self.epochs)
        check_whole(optional=True, patience=self.patience)
        check_positive(optional=False, most=1.0, learning_rate=self.learning_rate)
        check_positive(optional=False, clip=self.clip)
        check_flags(augment=self.augment)
        check_instance((Alternating, Joint), "'alternating' or 'joint'", updates=self.updates)
        check_instance((Cosine, Plateau), "'cosine' or 'plateau'", schedule=self.schedule)
        check_instance(ELBO, "an ELBO", objective=self.objective)

    def parameters(self, model: PSPGen) -> list[nn.Parameter]:
        # without images the properties' law is the whole model
        return list(model.parameters()) if model.dims.pixels else []

    def run(self, training: Training) -> None:
        model, folder = training.model, training.checkpoint
        if self.augment and model.encoder.reader is not None:
            raise InputError(
                "'augment' is on, but the model's reader reads every image once and for all; "
                "leave it off."
            )
        state, settings = self._state(training), self._settings(training)
        if training.resume and folder is not None and has_checkpoint(folder):
            load_checkpoint(state, settings, folder)
        read = [read_properties(model, fold) for fold in _folds(training)]
        try:
            self._loop(training, state, settings, read)
        finally:
            model.load_state_dict(state.best)

    def _state(self, training: Training) -> TrainingState:
        held = {id(p) for p in training.held}
        rates = self._rates(1.0)
        momenta = {"theta": 0.9, "eta": self.updates.guide_momentum}
        optimisers = {
            name: torch.optim.Adam(
                [p for p in group if id(p) not in held] or [nn.Parameter(torch.zeros(0))],
                lr=rates[name],
                betas=(momenta[name], 0.99),
                fused=True,
            )
            for name, group in training.model.param_groups().items()
        }
        return TrainingState(training.model, optimisers, training.history, _copy(training.model))

    def _rates(self, factor: float) -> dict[str, float]:
        rate = self.learning_rate * factor
        return {"theta": rate, "eta": rate * self.updates.guide_rate}

    def _loop(
        self,
        training: Training,
        state: TrainingState,
        settings: dict[str, Any],
        read: list[EntrywiseMixture | None],
    ) -> None:
        history, epochs = state.history, self._epochs(training)
        bar = tqdm(
            range(len(history), epochs),
            desc="training",
            unit="epoch",
            initial=len(history),
            total=epochs,
            disable=None if training.progress else True,
        )
        for epoch in bar:
            if self.patience is not None and epoch - history.best_epoch > self.patience:
                history.status = f"stopped early: no improvement for {self.patience} epochs"
                return
            losses = history.epochs.get("validation_loss", [])
            factor = self.schedule.factor(epoch, epochs, losses)
            for name, rate in self._rates(factor).items():
                state.optimisers[name].param_groups[0]["lr"] = rate
            self._epoch(training, state, factor, read)
            if training.checkpoint is not None:
                save_checkpoint(state, settings, training.checkpoint)
            last = {name: v[-1] for name, v in history.epochs.items()}
            bar.set_postfix({n: f"{last[f'validation_{n}']:.2f}" for n in ("x", "m", "kl")})
        history.status = "reached the last epoch"

    def _epochs(self, training: Training) -> int:
        if self.epochs is not None:
            return self.epochs
        return 15 if training.held else 30

    def _epoch(
        self,
        training: Training,
        state: TrainingState,
        factor: float,
        read: list[EntrywiseMixture | None],
    ) -> None:
        history, model, (train, validation) = state.history, state.model, _folds(training)
        start = time.perf_counter() - (history.epochs["seconds"][-1] if len(history) else 0.0)
        model.train()
        seen = []
        for index in torch.randperm(len(train)).split(self.batch_size):
            batch = train[index]
            if self.augment:
                batch = batch.augmented(training.symmetries, model.process)
            seen.append(self._step(state, batch, _of(read[0], index)))
        means = {name: sum(terms[name] for terms in seen) / len(seen) for name in seen[0]}
        checked = evaluate(model, validation, self.objective, read[1])
        loss = self.objective.value(checked)
        if loss < min(history.epochs.get("validation_loss", [math.inf])):
            history.best_epoch, state.best = len(history), _copy(model)
        history.append(
            **{f"train_{name}": v for name, v in means.items()},
            **{f"validation_{name}": v for name, v in checked.items()},
            train_loss=self.objective.value(means),
            validation_loss=loss,
            learning_rate=factor,
            seconds=time.perf_counter() - start,
        )

    def _step(
        self, state: TrainingState, batch: Batch, u: EntrywiseMixture | None
    ) -> dict[str, float]:
        values: dict[str, float] = {}
        for names in self.updates.half_steps:
            moving = [p for n in names for p in state.optimisers[n].param_groups[0]["params"]]
            for name in names:
                state.optimisers[name].zero_grad(set_to_none=True)
            terms = self.objective.terms(state.model, batch, u)
            values = _finite(terms.values(), state)
            self.objective.loss(terms).backward(inputs=[p for p in moving if p.numel()])
            norm = torch.nn.utils.clip_grad_norm_(moving, self.clip)
            _finite({f"gradient of {' and '.join(names)}": norm.item()}, state)
            for name in names:
                state.optimisers[name].step()
        return values

    def _settings(self, training: Training) -> dict[str, Any]:
        """What a resumed run must have in common with the one it goes on from, ready for JSON."""
        own = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("updates", "schedule", "objective")
        }
        own |= {name: described(getattr(self, name)) for name in ("updates", "schedule")}
        train = training.data.train
        return own | {
            "objective": described(self.objective),
            "seed": training.seed,
            "model": json.loads(json.dumps(training.model.specification())),
            "samples": len(train),
            "m_sum": train.m.nan_to_num().double().sum().item(),
        }


@torch.no_grad()
def evaluate(
    model: PSPGen, rows: Batch, objective: ELBO, read: EntrywiseMixture | None = None
) -> dict[str, float]:
    """The terms on some rows, in evaluation mode.

    Arguments:
        model: The model.
        rows: The rows.
        objective: The bound.
        read: The law of the properties given x and m of every row, if it is known already.
    """
    model.eval()
    parts = []
    for index in torch.arange(len(rows)).split(_ROWS):
        terms = objective.terms(model, rows[index], _of(read, index)).values()
        parts.append((len(index), terms))
    return {name: sum(n * t[name] for n, t in parts) / len(rows) for name in ("x", "m", "kl")}


def _folds(training: Training) -> tuple[Batch, Batch]:
    return training.data.train, training.data.validation


def _of(read: EntrywiseMixture | None, index: Tensor) -> EntrywiseMixture | None:
    return None if read is None else EntrywiseMixture(*(part[index] for part in read.parts))


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


def _copy(model: PSPGen) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
