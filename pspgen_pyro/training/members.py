"""The training of an ensemble's members, in this process or side by side in others.

A worker is given everything once and returns weights as plain arrays, so that the result does not
depend on who trained whom.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.batches import Batch, Batches
from ..errors import InputError, TrainingError
from ..io.crews import Crew
from ..io.threads import threads
from ..model import Part, PSPGen
from .checkpoint import History
from .train import train

__all__ = ["MemberTask", "State", "load_state", "train_members"]

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class MemberTask:
    """What one member is trained with.

    Arguments:
        member: Its number, from 0.
        of: How many members there are.
        rows: The seed of its resampling, if there is one.
        settings: The arguments of `fit`.
    """

    member: int
    of: int
    rows: int | None
    settings: dict[str, Any]


def train_members(
    tasks: list[MemberTask], models: Sequence[PSPGen], data: Batches, crew: Crew
) -> Generator[tuple[int, State, History], None, None]:
    """Trains members and yields the number, the weights and the history of each that is done.

    Arguments:
        tasks: One a member.
        models: The members with their first weights, which are left as they are.
        data: Training and validation triads.
        crew: Who trains.

    Raises:
        InputError, TrainingError: If a member fails; the sentence names it.
        WorkerError: If worker processes keep dying.
    """
    training = partial(_train, _Payload.of(models, data))
    for task, (state, history) in crew.perform(training, tasks):
        yield task.member, state, history


def load_state(model: PSPGen, state: State) -> None:
    """Puts weights that came as arrays into the model, in their precision."""
    weights = {name: torch.tensor(values) for name, values in state.items()}
    model.to(weights["m_loc"].dtype).load_state_dict(weights)


@dataclass(frozen=True)
class _Payload:
    """What every worker is given once, as plain arrays: tensors would travel as open files."""

    specification: dict[str, Any]
    # unpickling them makes the worker import the modules that define parts of one's own
    parts: tuple[Part, ...]
    dtype: torch.dtype
    states: list[State]
    folds: list[tuple[NDArray[Any] | None, ...]]

    @classmethod
    def of(cls, models: Sequence[PSPGen], data: Batches) -> _Payload:
        model = models[0]
        return cls(
            model.specification(),
            tuple(model.parts.values()),
            torch.get_default_dtype(),
            [_state(one) for one in models],
            [
                tuple(None if t is None else t.cpu().numpy() for t in (fold.phi, fold.x, fold.m))
                for fold in (data.train, data.validation)
            ],
        )


def _train(payload: _Payload, task: MemberTask) -> tuple[State, History]:
    """Trains one member, wherever it is called."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(payload.dtype)
    try:
        return _trained(payload, task)
    finally:
        torch.set_default_dtype(before)


def _trained(payload: _Payload, task: MemberTask) -> tuple[State, History]:
    data = Batches(
        *(
            Batch(*(None if a is None else torch.tensor(a) for a in fold))  # type: ignore[arg-type]
            for fold in payload.folds
        )
    )
    if task.rows is not None:
        rng = np.random.default_rng(task.rows)
        data = Batches(_resampled(data.train, rng), data.validation)
    with torch.random.fork_rng():
        model = PSPGen.from_specification(payload.specification)
    load_state(model, payload.states[task.member])
    try:
        with threads(1):
            history = train(model, data, **task.settings)
    except (InputError, TrainingError) as error:
        raise type(error)(f"member {task.member + 1} of {task.of} failed: {error}") from error
    return _state(model), history


def _resampled(rows: Batch, rng: np.random.Generator) -> Batch:
    """As many settings as there are, drawn with replacement, with all their samples."""
    _, inverse = torch.unique(rows.phi, dim=0, return_inverse=True)
    group = inverse.cpu().numpy()
    known = np.bincount(group, weights=rows.partly_labelled.cpu().numpy()) > 0
    samples = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    drawn = [
        rng.choice(pool, len(pool))
        for pool in (np.flatnonzero(known), np.flatnonzero(~known))
        if len(pool)
    ]
    return rows[torch.tensor(np.concatenate([samples[g] for g in np.concatenate(drawn)]))]


def _state(model: PSPGen) -> State:
    return {name: tensor.cpu().numpy().copy() for name, tensor in model.state_dict().items()}
