"""Training the members of an ensemble apart on the same data."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..data.batches import Batches
from ..io.crews import Crew
from ..io.validation import check_flags, check_seed, check_whole
from ..model.ensemble import Ensemble
from ..model.pspgen import PSPGen
from .checkpoint import History
from .members import MemberTask, load_state, train_members

__all__ = ["fit_ensemble"]


MOST_MEMBERS = 1000
"""The most models of an ensemble."""


def fit_ensemble(
    make: Callable[[], PSPGen] | PSPGen,
    data: Batches,
    *,
    members: int = 5,
    seed: int = 0,
    bootstrap: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> tuple[Ensemble, list[History]]:
    """Trains models apart on the same data, the same whatever the number of workers.

    Arguments:
        make: What builds a fresh model, or a model whose description each member shares; its
            weights are not used.
        data: Training and validation triads.

    Other arguments:
        members: How many models.
        seed: Seeds everything; each member has a child seed of its own for its first weights, its
            order and noise, and its resampling.
        bootstrap: Whether each member learns from settings φ drawn from the training ones with
            replacement (all samples of a φ together, those with labels and those without
            apart). Members that share their data share its errors too, and agree too well.
        workers: Processes side by side, one thread each.
        scheduler: The address of a dask scheduler to use instead.
        checkpoint: A folder in which every member keeps its own checkpoints.
        progress: Show a progress bar over the members.
        settings: The other settings of `train`, such as `stages`.

    Returns:
        The ensemble, its members in evaluation mode, and their histories.

    Raises:
        InputError: If a number is not positive, or as `train`.
        TrainingError: If a member fails; the sentence names it.
        WorkerError: If worker processes keep dying.
    """
    check_whole(members=members, most=MOST_MEMBERS)
    crew = Crew(workers, scheduler)
    check_seed(seed)
    check_flags(bootstrap=bootstrap, progress=progress)
    models, tasks = [], []
    for k, child in enumerate(np.random.SeedSequence(seed).spawn(members)):
        first, noise, rows = (int(word) for word in child.generate_state(3))
        with torch.random.fork_rng():
            torch.manual_seed(first)
            models.append(_fresh(make))
        folder = None if checkpoint is None else Path(checkpoint) / f"member-{k + 1}"
        own = {**settings, "seed": noise, "checkpoint": folder, "progress": False}
        tasks.append(MemberTask(k, members, rows if bootstrap else None, own))
    histories = [History()] * members
    with _folder(checkpoint):
        run = train_members(tasks, models, data, crew)
        for k, state, history in tqdm(run, "members", members, disable=None if progress else True):
            load_state(models[k], state)
            models[k].to(settings.get("device")).eval()
            histories[k] = history
    return Ensemble(tuple(models)), histories


def _fresh(make: Callable[[], PSPGen] | PSPGen) -> PSPGen:
    if isinstance(make, PSPGen):
        return PSPGen.from_specification(make.specification()).to(make.m_loc)
    return make()


@contextmanager
def _folder(path: str | Path | None) -> Generator[None, None, None]:
    """A folder that stays only if something was written to it."""
    if path is None:
        yield
        return
    Path(path).mkdir(exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            Path(path).rmdir()
