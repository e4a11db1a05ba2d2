"""The one training loop of the rivals, and the scaling of what goes in and comes out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..errors import InputError, TrainingError
from ..process import ProcessSpace

if TYPE_CHECKING:
    from ..process.symmetries import Symmetry

__all__ = ["Scaling", "augmented", "check_positive", "labelled_rows", "minimise"]


class Scaling(nn.Module):
    """φ and m as the networks see them: mean 0 and variance 1, under p(φ) and in the data.

    Arguments:
        process: The process space.
        m: The properties of the training rows, with shape `(N, K)`.
    """

    phi_loc: Tensor
    phi_scale: Tensor
    m_loc: Tensor
    m_scale: Tensor

    def __init__(self, process: ProcessSpace, m: Tensor) -> None:
        super().__init__()
        low, high = m.new_tensor(process.lower), m.new_tensor(process.upper)
        self.register_buffer("phi_loc", (low + high) / 2)
        self.register_buffer("phi_scale", (high - low) / 12**0.5)
        self.register_buffer("m_loc", m.mean(dim=0))
        self.register_buffer("m_scale", m.std(dim=0, correction=0).clamp(min=1e-6))

    def phi(self, phi: Tensor) -> Tensor:
        return (phi - self.phi_loc) / self.phi_scale

    def m(self, m: Tensor) -> Tensor:
        return (m - self.m_loc) / self.m_scale

    def m_back(self, m: Tensor) -> Tensor:
        return self.m_loc + self.m_scale * m


def augmented(
    symmetries: Sequence[Symmetry], process: ProcessSpace, phi: Tensor, m: Tensor
) -> tuple[Tensor, Tensor]:
    """The rows (φ, m) under a random element of every symmetry; x does not matter here."""
    from ..process.symmetries import augment

    phi, _, m = augment(symmetries, process, phi, phi.new_zeros(len(phi), 1, 1), m)
    return phi, m


def minimise(
    network: nn.Module,
    rows: Callable[[], tuple[Tensor, ...]],
    loss: Callable[..., Tensor],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> None:
    """Adam with decoupled weight decay under a half-cosine learning rate, to the last step.

    Arguments:
        network: Whose parameters move.
        rows: The training rows, asked for afresh every epoch.
        loss: The mean loss of a batch of rows.

    Other arguments:
        steps: The number of steps.
        batch_size: Rows a step; all of them, if there are fewer.
        learning_rate: The rate of the first step; the last one's is a hundredth of it.
        weight_decay: The decay of the weights a step, times the learning rate.

    Raises:
        TrainingError: If the loss becomes NaN or infinite.
    """
    network.train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, weight_decay=weight_decay
    )
    step = 0
    while step < steps:
        tensors = rows()
        size = min(batch_size, len(tensors[0]))
        order = torch.randperm(len(tensors[0]))
        # a short last batch would be a noisy step; its rows have their turn next epoch
        for index in order[: len(order) // size * size].split(size)[: steps - step]:
            factor = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
            optimiser.param_groups[0]["lr"] = learning_rate * factor
            value = loss(*(tensor[index] for tensor in tensors))
            if not value.isfinite():
                raise TrainingError(
                    f"the loss of a rival became {value.item()} at step {step}; try a smaller "
                    "learning rate."
                )
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            step += 1
    network.eval()


def labelled_rows(train: Batch) -> tuple[Tensor, Tensor]:
    """φ and m of the rows that have an m."""
    known = train.labelled
    return train.phi[known], train.m[known]


def check_positive(rival: Any) -> None:
    """Says which hyper-parameter is not positive.

    Raises:
        InputError: If one is zero or negative; a weight decay may be zero.
    """
    for field in dataclasses.fields(rival):
        value = getattr(rival, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not (number > 0 or (field.name == "weight_decay" and number == 0)):
                raise InputError(f"'{field.name}' is {value}; it must be positive.")
