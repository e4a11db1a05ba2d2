"""The one training loop of the rivals, and the scaling of what goes in and comes out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..data.scales import robust_scale
from ..design import Box
from ..errors import InputError, TrainingError
from ..process import ProcessSpace, Symmetry, augment, orbit

if TYPE_CHECKING:
    from ..data.batches import Batch

__all__ = [
    "Scaling",
    "augmented",
    "check_sizes",
    "images",
    "labelled_rows",
    "minimise",
]

_MAY_BE_ZERO = ("weight_decay", "dropout")


class Scaling:
    """φ and m as the networks see them, near 0 and of the order of 1.

    Means, variances and densities of the networks belong to these coordinates: in the units of
    the data (square metres, say) a variance may be too small for single precision. Scaling itself
    is done in double precision.

    Arguments:
        process: The process space: φ has mean 0 and variance 1 under p(φ).
        m: The properties of the training rows, with shape `(N, K)`, whose device and precision
            the networks have.
        groups: The numbers of the properties that have one location and scale in common; each has
            its own if None.
    """

    def __init__(
        self, process: ProcessSpace, m: Tensor, groups: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.process = process
        values = m.cpu().numpy()
        loc, scale = robust_scale(values)
        for group in groups or ():
            loc[[*group]], scale[[*group]] = robust_scale(values[:, [*group]].reshape(-1, 1))
        self.like = m.new_empty(0)
        self.phi_loc, self.phi_scale, self.m_loc, self.m_scale = (
            torch.tensor(v, dtype=torch.float64, device=m.device)
            for v in (process.features.loc, process.features.scale, loc, scale)
        )

    def phi(self, phi: Tensor) -> Tensor:
        return ((self._seen(phi) - self.phi_loc) / self.phi_scale).to(self.like)

    def _seen(self, phi: Tensor) -> Tensor:
        """What networks see of φ, with shape `(*, Q)`."""
        f = self.process.features
        if f.plain:
            return phi
        seen = f.low + (f.high - f.low) * self.process.coordinates(phi.double().cpu().numpy())
        return torch.tensor(seen, dtype=torch.float64, device=phi.device)

    def m(self, m: Tensor) -> Tensor:
        return ((m - self.m_loc) / self.m_scale).to(self.like)

    def m_back(self, m: Tensor) -> Tensor:
        """In double precision."""
        return self.m_loc + self.m_scale * m

    def ends(self, box: Box) -> tuple[Tensor, Tensor]:
        """The ends of a box, with shape `(K)` each."""
        lower, upper = (self.m(end) for end in box.ends(self.m_loc))
        return lower, upper

    def density(self, log_prob: Tensor) -> Tensor:
        """The logarithm of a density in the units of the data."""
        return log_prob - self.m_scale.log().sum()


def augmented(
    symmetries: Sequence[Symmetry], process: ProcessSpace, phi: Tensor, m: Tensor
) -> tuple[Tensor, Tensor]:
    """The rows (φ, m) under a random element of every symmetry; x does not matter here."""
    phi, _, m = augment(symmetries, process, phi, phi.new_zeros(len(phi), 1, 1), m)
    return phi, m


def images(
    symmetries: Sequence[Symmetry], process: ProcessSpace, phi: Tensor, m: Tensor
) -> tuple[Tensor, Tensor, int]:
    """The rows (φ, m) under every combination of the symmetries that moves them, one combination
    after the other, and how many combinations there are."""
    rows = orbit(symmetries, process, phi, None, m)
    phi, m = (torch.cat([row[i] for row in rows]) for i in (0, 2))  # type: ignore[misc]
    return phi, m, len(rows)


def minimise(
    network: nn.Module,
    rows: Callable[[], tuple[Tensor, ...]],
    loss: Callable[..., Tensor],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    longest: float = 1.0,
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
        longest: The norm above which a gradient is shortened to it.

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
            # one row far away must not outweigh all others
            nn.utils.clip_grad_norm_(network.parameters(), longest)
            optimiser.step()
            step += 1
    network.eval()


def labelled_rows(train: Batch) -> tuple[Tensor, Tensor]:
    """φ and m of the rows whose properties are all known."""
    known = train.m.isfinite().all(dim=-1)
    return train.phi[known], train.m[known]


def check_sizes(rival: Any) -> None:
    """Says which hyper-parameter is not positive.

    Raises:
        InputError: If one is zero or negative; a weight decay and a dropout may be zero.
    """
    for field in dataclasses.fields(rival):
        value = getattr(rival, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not (number > 0 or (field.name in _MAY_BE_ZERO and number == 0)):
                raise InputError(f"'{field.name}' is {value}; it must be positive.")
