"""What the rivals that are trained networks have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..process import Symmetry
from ..schema import Schema
from ._learning import Scaling, augmented, labelled_rows, minimise
from .base import Rival, to_numpy

if TYPE_CHECKING:
    import numpy as np

    from ..data.batches import Batch

__all__ = ["NetworkRival"]


@dataclass
class NetworkRival(Rival):
    """A rival whose law is a network of φ, both standardised, by maximum likelihood on the rows
    whose properties are all known.

    Arguments:
        steps: The number of steps.
        batch_size: Rows a step.
        learning_rate: The rate of the first step.
        weight_decay: The decoupled decay of the weights.
    """

    _: KW_ONLY
    steps: int = 2000
    batch_size: int = 250
    learning_rate: float = 2e-3
    weight_decay: float = 0.1

    @abstractmethod
    def _network(self, like: Tensor) -> nn.Module:
        """The network, not yet trained: maps φ to the law of m. Its device and precision are those
        of `like`, with shape `(N, K)`."""

    def fit_rows(
        self, rows: Callable[[], tuple[Tensor, Tensor]], m: Tensor, schema: Schema
    ) -> Self:
        """A fitted copy; arguments as of `_learn_rows`. Random numbers come from torch's
        generator."""
        fitted = self._for(schema)
        fitted._learn_rows(rows, m)
        return fitted

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        phi, m = labelled_rows(train)
        self._learn_rows(lambda: augmented(symmetries, self.process, phi, m), m)

    def _learn_rows(self, rows: Callable[[], tuple[Tensor, Tensor]], m: Tensor) -> None:
        """Learns from rows (φ, m) that are asked for afresh every epoch; `m` sets the scale."""
        self.scaling = Scaling(self.process, m)
        self.network: nn.Module = self._trained(self._network(m), rows, self.steps)

    def _trained(
        self, network: nn.Module, rows: Callable[[], tuple[Tensor, Tensor]], steps: int
    ) -> nn.Module:
        minimise(
            network,
            lambda: self._scaled(*rows()),
            lambda phi, m: -network(phi).log_prob(m).mean(),
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        return network

    def _scaled(self, phi: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Rows as the network sees them in training."""
        return self.scaling.phi(phi), self.scaling.m(m)

    def _law(self, phi: Tensor) -> Any:
        """The law of m, standardised."""
        return self.network(self.scaling.phi(phi))

    @torch.no_grad()
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        inputs, values = self._pairs(phi, m)
        law = self._law(inputs)
        return to_numpy(self.scaling.density(law.log_prob(self.scaling.m(values))))
