r"""Training a model in place: a walk through a list of stages.

The order of the data and the noise come from one seed. Training leaves alone the state of the
caller's random numbers and Pyro's global parameter store.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyro
import torch

from ..data.batches import Batches
from ..errors import InputError
from ..io.validation import check_flags, check_instance, check_seed, local_path
from ..model import PSPGen
from ..process import Symmetry
from .checkpoint import History, has_checkpoint
from .epochs import Epochs
from .stages import PriorStage, ReaderStage, Stage, Training, symmetries_of

__all__ = ["STAGES", "train", "usable_device"]

STAGES: tuple[Stage, ...] = (ReaderStage(), PriorStage(), Epochs())
"""The stages that train any model; those that do not concern it do nothing."""


def usable_device(device: str | torch.device) -> torch.device:
    """The device of this name, once it has computed something.

    Raises:
        InputError: If there is no such device, or it cannot compute.
    """
    if isinstance(device, str | torch.device):
        try:
            found = torch.device(device)
            torch.ones(1, device=found).sum().item()
            if found.type != "cpu" or not found.index:
                return found
        except Exception:  # noqa: BLE001, S110  (each backend fails with errors of its own)
            pass
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    raise InputError(
        f"'device' is {str(device)!r:.40}, where this machine's torch cannot compute; choose one "
        f"of {', '.join(there)}, or leave it out."
    )


def train(
    model: PSPGen,
    data: Batches,
    stages: Sequence[Stage] = STAGES,
    *,
    symmetries: Sequence[Symmetry] | str = "declared",
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> History:
    r"""Trains the model and its guide in place, and leaves the best weights in it.

    Arguments:
        model: The model; its standardisation is set from the training data.
        data: Training and validation rows, split by φ.
        stages: What is trained, in order; see `stages` and `epochs`.

    Other arguments:
        symmetries: What the data are multiplied by: "declared" takes what the schema declares,
            `()` nothing, and any other sequence is taken as it is.
        seed: Seeds the order of the data and the noise.
        device: Where to train, such as "cuda"; None leaves the model where it is.
        checkpoint: A folder to which the epochs write their state; None writes nothing.
        resume: Go on from `checkpoint`, if there is one.
        progress: Show a progress bar.

    Returns:
        The history of every stage and of every term. `best_epoch` is the epoch whose weights were
        kept: the one with the lowest validation loss :math:`-\mathcal{L}`.

    Raises:
        InputError: If the data or the symmetries do not fit the model's schema.
        DataError: If the checkpoint to resume is damaged or of other settings.
        TrainingError: If a term or a gradient becomes NaN or infinite; the best weights so far are
            in the model and the last checkpoint is intact.
    """
    check_seed(seed)
    check_flags(resume=resume, progress=progress)
    check_instance((list, tuple), "a sequence of stages", stages=stages)
    for stage in stages:
        check_instance(Stage, "a sequence of stages", stages=stage)
    data.check_against(model.schema)
    chosen = symmetries_of(model, symmetries)
    if device is not None:
        model.to(usable_device(device))
    data = data.to(model.m_loc)
    model.standardise_by(data.train.m)
    folder = None if checkpoint is None else local_path(checkpoint, "checkpoint")
    training = Training(model, data, chosen, seed, History(), [], folder, resume, progress)
    resumes = resume and folder is not None and has_checkpoint(folder)
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        for stage in stages:
            torch.manual_seed(seed)
            parameters = stage.parameters(model)
            # the checkpoint holds what earlier stages have trained
            if parameters and (stage.resumable or not resumes):
                start = time.perf_counter()
                stage.run(training)
                training.history.stage_seconds[stage.name] = time.perf_counter() - start
            training.held.extend(parameters)
    model.eval()
    return training.history
