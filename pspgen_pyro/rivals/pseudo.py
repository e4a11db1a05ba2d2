r"""Pseudo-labels: what bare pairs (φ, x) teach a model of m given φ.

A label costs a flow simulation, a microstructure next to nothing. Since m depends on φ through x
alone,

.. math:: p(m \mid \varphi) = \mathbb{E}_{p(x \mid \varphi)}\left[p(m \mid x)\right],

and :math:`p(m \mid x)` can be learned from few labels whatever φ they come from. Three stages:

1. a periodic network :math:`p(m \mid x)` (`StructureNetwork`) on the labelled rows;
2. for every bare pair a pseudo-label :math:`\tilde m_i \sim p(m \mid x_i)`, drawn afresh in every
   pass; a labelled row keeps its m;
3. a mixture density network :math:`p(m \mid \varphi)` on all rows.

Without bare pairs only the last stage is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.batches import Batch
from ..errors import InputError
from ..model.distributions import NormalMixture
from ._learning import augmented, check_positive, minimise
from .mixture import MixtureDensityNetwork, MixtureRival
from .structure import StructureNetwork, StructureSizes

if TYPE_CHECKING:
    from ..process.symmetries import Symmetry

__all__ = ["PseudoLabels"]


@dataclass
class PseudoLabels(MixtureRival):
    """A network on x labels the bare pairs, a mixture density network on φ learns from all rows.

    For two properties along the two directions (horizontal, vertical) of two-phase
    microstructures.

    Arguments:
        percolation_flags: Whether the network on x is told exactly which directions
            percolate.
        structure: The hyper-parameters of the network on x.
        mixture: The rival of the last stage.

    Other arguments:
        images: The largest number of microstructures the network on x is shown in training.
        passes: The largest number of passes through the labelled rows.
        batch_size: Microstructures a step.
        learning_rate: The rate of the first step.
        weight_decay: The decoupled decay of the weights.
        name: What tables and figures call it.

    Raises:
        InputError: If a number is not positive.
    """

    percolation_flags: bool = False
    structure: StructureSizes = StructureSizes()
    mixture: MixtureDensityNetwork = field(default_factory=MixtureDensityNetwork)
    images: int = 25_000
    passes: int = 120
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    name: str = "pseudo-labels"

    def __post_init__(self) -> None:
        check_positive(self)

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        self._check_structure(train)
        known = train.labelled
        if not known.all():
            self.labels = self._learn_structure(train, known, symmetries)
            guessed = self._label(train, ~known)

        def rows() -> tuple[Tensor, Tensor]:
            m = train.m
            if not known.all():
                m = m.clone()
                m[~known] = guessed.draw().squeeze(-1)
            return augmented(symmetries, self.process, train.phi, m)

        last = self.mixture.for_rows(self.process, self.property_names)
        last.learn_rows(rows, train.m[known])
        self.network, self.scaling = last.network, last.scaling

    def _check_structure(self, train: Batch) -> None:
        if train.m.shape[-1] != 2 or train.x.shape[-1] != train.x.shape[-2]:
            raise InputError(
                f"'data' has {train.m.shape[-1]} propertie(s) and {train.x.shape[-2]}×"
                f"{train.x.shape[-1]} pixels; pseudo-labels need one property along each "
                "direction of a square cell, so use another rival."
            )
        if train.x.max() > 1:
            raise InputError(
                f"'data' has phases up to {int(train.x.max())}; pseudo-labels read void (1) and "
                "solid (0) alone, so use another rival."
            )

    def _learn_structure(
        self, train: Batch, known: Tensor, symmetries: tuple[Symmetry, ...]
    ) -> StructureNetwork:
        from ..process.symmetries import PeriodicShift, Reflection, augment

        moves = [s for s in symmetries if isinstance(s, PeriodicShift | Reflection)]
        phi, x, m = train[known.nonzero().squeeze(-1)]
        flags = self._flags(x)
        network = StructureNetwork(m, self.structure, self.percolation_flags)

        def rows() -> tuple[Tensor, ...]:
            # the network itself knows transposition; these leave φ, m and the flags alone
            return augment(moves, self.process, phi, x, m)[1], flags, m

        def loss(x: Tensor, flags: Tensor, m: Tensor) -> Tensor:
            return -network(x, flags).log_prob(m.unsqueeze(-1)).sum(dim=-1).mean()

        shown = min(self.images, self.passes * len(x))
        minimise(
            network,
            rows,
            loss,
            steps=max(1, shown // min(self.batch_size, len(x))),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        return network

    @torch.no_grad()
    def _label(self, train: Batch, chosen: Tensor) -> NormalMixture:
        """The laws p(m | x) of the chosen rows, with batch shape `(N, 2)`."""
        parts = []
        for index in chosen.nonzero().squeeze(-1).split(500):
            _, x, _ = train[index]
            parts.append(self.labels(x, self._flags(x)))
        tensors = zip(*((p.log_weights, p.loc, p.scale) for p in parts), strict=True)
        return NormalMixture(*(torch.cat(t) for t in tensors))

    def _flags(self, x: Tensor) -> Tensor:
        """The percolation flags with shape `(N, 2)`; zeros if they are not asked for."""
        from ..properties import percolation

        if not self.percolation_flags:
            return x.new_zeros(len(x), 2)
        return torch.tensor(percolation(x.cpu().numpy().astype("uint8"))).to(x)
