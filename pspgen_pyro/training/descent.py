"""The one descent loop of the stages: AdamW along a cosine, stopped before a step that would spoil
the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, TrainingError

__all__ = ["Descent", "descend", "robust"]


@dataclass(frozen=True)
class Descent:
    """How the weights of a stage descend.

    Arguments:
        learning_rate: AdamW's rate at the start of a cosine.
        weight_decay: AdamW's decay of the weights.
        clip: The largest norm of the gradient.

    Raises:
        InputError: If a number is out of range.
    """

    learning_rate: float
    weight_decay: float
    clip: float = 5.0

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.clip > 0 and self.weight_decay >= 0):
            raise InputError(
                f"'learning_rate' {self.learning_rate:g} and 'clip' {self.clip:g} must be "
                f"positive and 'weight_decay' {self.weight_decay:g} not negative."
            )


def descend(
    parameters: Sequence[nn.Parameter],
    batches: Iterator[Any],
    loss: Callable[[Any], Tensor],
    steps: int,
    how: Descent,
    name: str,
) -> list[float]:
    """Takes so many steps.

    Arguments:
        parameters: What moves.
        batches: One a step.
        loss: The mean loss of a batch.
        steps: How many.
        how: The settings.
        name: What is trained, for the sentence of an error.

    Returns:
        The loss of every step.

    Raises:
        TrainingError: If the loss or a gradient becomes NaN or infinite; the weights are then
            those of the step before.
    """
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(
        parameters, how.learning_rate, weight_decay=how.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    losses = []
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        value = loss(next(batches))
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, how.clip)
        if not (value.isfinite() and norm.isfinite()):
            raise TrainingError(
                f"the {name} had loss {value.item()} and a gradient of norm {norm.item()} in step "
                f"{step}; its weights are those of the step before; try a smaller learning rate."
            )
        optimiser.step()
        schedule.step()
        losses.append(value.item())
    return losses


def robust(log_density: Tensor, m: Tensor) -> Tensor:
    r"""The logarithm of :math:`p + \epsilon\, c`, c being a standard Cauchy law of every known
    entry of the standardised m: a row far from everything teaches nothing.

    Arguments:
        log_density: The values of :math:`\log p`, with shape `(*)`.
        m: Standardised properties, with shape `(*, K)`; NaN where they are unknown.
    """
    far = torch.where(m.isfinite(), -torch.log1p(m.nan_to_num().square()) - _LOG_PI, 0.0)
    return torch.logaddexp(log_density, far.sum(-1) + _LOG_SHARE)


_LOG_PI, _LOG_SHARE = 1.1447298858494002, -9.210340371976182
"""The logarithms of π and of the share 1e-4 of rows that may be anything."""
