"""The state of a training run: what its next epoch depends on, in memory and on disk.

A checkpoint is a folder of two files, replaced as a whole after every epoch: `state.safetensors`
(weights, best weights, the optimisers' moments, the state of the random numbers) and `state.json`
(the history and the settings). Going on from it gives the parameters of an uninterrupted run, bit
for bit, on the CPU.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import DataError
from ..io.publish import publishing
from ..model import PSPGen

__all__ = ["History", "TrainingState", "has_checkpoint", "load_checkpoint", "save_checkpoint"]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class History:
    """What training saw: one number an epoch for every name.

    The names are `train_x, train_m, train_kl, validation_x, …` (nats a sample; see
    `objective.Terms`, also for the names that other objectives add), `train_loss`,
    `validation_loss`, `learning_rate` (the factor) and `seconds` (wall time since the start).
    `stages` has the loss of every step of the stages that came before the epochs, by their names,
    and `stage_seconds` the wall time of every stage. `read` names the properties that were read
    off the images of rows in which they are unknown; None if no row asked for that.
    """

    epochs: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    status: str = "not started"
    stages: dict[str, list[float]] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    read: list[str] | None = None

    def __len__(self) -> int:
        return len(self.epochs.get("validation_loss", []))

    def of_images(self) -> str:
        """One sentence on what images taught of unknown properties; empty if none is unknown.

        Example:
            >>> History(read=[]).of_images()[:52]
            'No unknown property was read off images: held-out on'
        """
        if self.read is None:
            return ""
        if not self.read:
            return (
                "No unknown property was read off images: held-out ones tell less than the "
                "settings do, so rows without properties taught nothing of P."
            )
        return f"Read off the images of rows in which it is unknown: {', '.join(self.read)}."

    def append(self, **numbers: float) -> None:
        """Adds one epoch."""
        for name, number in numbers.items():
            self.epochs.setdefault(name, []).append(float(number))


@dataclass
class TrainingState:
    """All that the next epoch depends on, but for the random numbers.

    Arguments:
        model: The model that is trained.
        optimisers: One Adam a group of parameters, by the group's name.
        history: The epochs so far.
        best: The weights of the best epoch so far.
    """

    model: PSPGen
    optimisers: dict[str, torch.optim.Adam]
    history: History
    best: dict[str, Tensor]


def save_checkpoint(state: TrainingState, settings: dict[str, Any], folder: Path) -> None:
    """Replaces the checkpoint in `folder` by the state after the last epoch.

    Raises:
        StorageError: If writing fails; the checkpoint before it stays.
    """
    tensors = {f"model.{name}": t for name, t in state.model.state_dict().items()}
    tensors |= {f"best.{name}": t for name, t in state.best.items()}
    for group, optimiser in state.optimisers.items():
        for i, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{group}.{i}.{name}": moments[name] for name in _MOMENTS}
    tensors["random"] = torch.get_rng_state()
    new = _newer(folder)
    shutil.rmtree(new, ignore_errors=True)
    with publishing(new) as temporary:
        # tensors that share memory with another cannot be stored as they are
        save_file(
            {
                k: t.detach().clone(memory_format=torch.contiguous_format)
                for k, t in tensors.items()
            },
            temporary / _TENSORS,
        )
        content = {"history": dataclasses.asdict(state.history), "settings": settings}
        (temporary / _WORDS).write_text(json.dumps(content) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def load_checkpoint(state: TrainingState, settings: dict[str, Any], folder: Path) -> None:
    """Sets the state, and torch's random numbers, to those of the checkpoint in `folder`.

    Raises:
        DataError: If the checkpoint is damaged, or of a run with other settings.
    """
    path = folder if folder.exists() else _newer(folder)
    try:
        content = json.loads((path / _WORDS).read_text())
        tensors = load_file(path / _TENSORS)
        history = History(**content["history"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"'resume' found a checkpoint in {str(folder)!r} that is damaged ({error}); remove it."
        ) from error
    # a tuple comes back from JSON as a list
    for name, value in json.loads(json.dumps(settings)).items():
        if content["settings"].get(name) != value:
            raise DataError(
                f"'resume' found a checkpoint with {name} {content['settings'].get(name)!r}, but "
                f"this run has {value!r}; give the same settings, or remove {str(folder)!r}."
            )
    state.model.load_state_dict(_part(tensors, "model."))
    state.best = _part(tensors, "best.")
    for group, optimiser in state.optimisers.items():
        own = optimiser.state_dict()
        moments = _part(tensors, f"{group}.")
        indices = sorted({int(name.split(".")[0]) for name in moments})
        own["state"] = {i: {k: moments[f"{i}.{k}"] for k in _MOMENTS} for i in indices}
        optimiser.load_state_dict(own)
    torch.set_rng_state(tensors["random"])
    state.history.__dict__.update(history.__dict__)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is something to resume."""
    return folder.exists() or _newer(folder).exists()


def _newer(folder: Path) -> Path:
    # a kill between the last two renames leaves the checkpoint under this name
    return folder.with_name(folder.name + ".new")


_TENSORS, _WORDS = "state.safetensors", "state.json"


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
