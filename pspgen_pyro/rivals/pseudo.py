r"""Pseudo-labels: what unlabelled samples (φ, x) teach a model of m given φ.

A label costs a flow simulation, a microstructure next to nothing. Since m depends on φ through x
alone,

.. math:: p(m \mid \varphi) = \mathbb{E}_{p(x \mid \varphi)}\left[p(m \mid x)\right],

and :math:`p(m \mid x)` can be learned from few labels whatever φ they come from. Three stages:

1. a periodic network :math:`p(m \mid x)` (`StructureNetwork`) on the labelled rows;
2. for every property that is not known a pseudo-label :math:`\tilde m_i \sim p(m \mid x_i)`, drawn
   afresh in every pass; what is known stays;
3. a mixture density network :math:`p(m \mid \varphi)` on all rows.

Without unlabelled samples only the last stage is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..design import Target
from ..errors import InputError
from ..model.distributions import NormalMixture
from ..process import Symmetry, augment
from ._learning import Scaling, augmented, minimise
from .base import Rival
from .mixture import MixtureDensityNetwork
from .structure import StructureNetwork, StructureSizes

if TYPE_CHECKING:
    from ..data.batches import Batch

__all__ = ["PseudoLabels"]


@dataclass
class PseudoLabels(Rival):
    """A network on x labels the unlabelled samples, a mixture density network on φ learns from all
    rows.

    For properties along the two directions (horizontal, vertical) of two-phase microstructures.

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

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        return self.mixture.probability(target, phi)

    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        return self.mixture.log_density(phi, m)

    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        return self.mixture.sample(phi, draws, seed)

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        self._check_schema()
        known = train.m.isfinite()
        complete = known.all(dim=-1)
        self.label_scaling = Scaling(self.process, train.m[complete], self.schema.groups)
        if not complete.all():
            self.labels = self._learn_structure(train, complete, symmetries)
            guessed = self._label(train.images[~complete])

        def rows() -> tuple[Tensor, Tensor]:
            m = train.m.clone()
            if not complete.all():
                m[~complete] = self.label_scaling.m_back(guessed.draw().squeeze(-1)).to(m)
            return augmented(symmetries, self.process, train.phi, train.m.where(known, m))

        self.mixture = self.mixture.fit_rows(rows, train.m[complete], self.schema)

    def _check_schema(self) -> None:
        images = self.schema.microstructure
        if images is None or images.phases != 2:
            raise InputError(
                f"'schema' has {'no images' if images is None else images}; pseudo-labels are "
                "read from two-phase images, so use another rival."
            )
        for one in self.schema.properties:
            if one.direction is None:
                raise InputError(
                    f"'schema' says no direction of the property {one.name}; pseudo-labels read "
                    "properties along the horizontal or the vertical direction, so declare it or "
                    "use another rival."
                )

    def _learn_structure(
        self, train: Batch, complete: Tensor, symmetries: tuple[Symmetry, ...]
    ) -> StructureNetwork:
        moves = [symmetry for symmetry in symmetries if symmetry.of_images]
        phi, x, m = train.phi[complete], train.images[complete].to(train.m), train.m[complete]
        flags, m = self._flags(x), self.label_scaling.m(m)
        network = StructureNetwork(self.schema, self.structure, self.percolation_flags).to(m)

        def rows() -> tuple[Tensor, ...]:
            # the network itself knows transposition; these leave φ, m and the flags alone
            moved: Any = augment(moves, self.process, phi, x, m)[1]
            return moved, flags, m

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
            # shorter steps leave a component between open and blocked
            longest=100.0,
        )
        return network

    @torch.no_grad()
    def _label(self, x: Tensor) -> NormalMixture:
        """The laws p(m | x), standardised, with batch shape `(N, K)`."""
        images = (part.to(self.label_scaling.like) for part in x.split(500))
        parts = [self.labels(part, self._flags(part)) for part in images]
        tensors = zip(*((p.log_weights, p.loc, p.scale) for p in parts), strict=True)
        return NormalMixture(*(torch.cat(t) for t in tensors))

    def _flags(self, x: Tensor) -> Tensor:
        """The percolation flags of (horizontal, vertical), with shape `(N, 2)`; zeros if they are
        not asked for."""
        from ..properties import percolation

        if not self.percolation_flags:
            return x.new_zeros(len(x), 2)
        return torch.tensor(percolation(x.cpu().numpy().astype("uint8"))).to(x)
