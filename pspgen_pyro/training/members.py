"""The training of an ensemble's members, in this process or side by side in others.

A worker is given everything once and returns weights as plain arrays, so that the result does not
depend on who trained whom.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.batches import Batch, Batches
from ..data.workers import die_with_parent
from ..errors import InputError, TrainingError, WorkerError
from ..io.threads import one_thread
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
    tasks: list[MemberTask], models: Sequence[PSPGen], data: Batches, workers: int
) -> Generator[tuple[int, State, History], None, None]:
    """Trains members and yields the number, the weights and the history of each that is done.

    Arguments:
        tasks: One a member.
        models: The members with their first weights, which are left as they are.
        data: Training and validation triads.
        workers: How many processes; one trains here.

    Raises:
        InputError, TrainingError: If a member fails; the sentence names it.
        WorkerError: If a worker process dies.
    """
    payload = _Payload.of(models, data)
    if workers > 1:
        yield from _on_pool(tasks, payload, workers)
    else:
        yield from (_train(task, payload) for task in tasks)


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


def _train(task: MemberTask, payload: _Payload) -> tuple[int, State, History]:
    """Trains one member, wherever it is called."""
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
        with one_thread():
            history = train(model, data, **task.settings)
    except (InputError, TrainingError) as error:
        raise type(error)(f"member {task.member + 1} of {task.of} failed: {error}") from error
    return task.member, _state(model), history


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


def _on_pool(
    tasks: list[MemberTask], payload: _Payload, workers: int
) -> Generator[tuple[int, State, History], None, None]:
    executor = ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(payload,),
    )
    try:
        futures = [executor.submit(_train_in_worker, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process died while it trained a member, as when memory runs out; fit again "
            "with fewer 'workers'."
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_payload: list[_Payload] = []


def _start_worker(payload: _Payload) -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()
    torch.set_default_dtype(payload.dtype)
    _payload[:] = [payload]


def _train_in_worker(task: MemberTask) -> tuple[int, State, History]:
    return _train(task, _payload[0])


def _state(model: PSPGen) -> State:
    return {name: tensor.cpu().numpy().copy() for name, tensor in model.state_dict().items()}
