r"""The mixture density network: :math:`p(m \mid \varphi)` in closed form, no microstructure.

.. math::
    p(m \mid \varphi) = \sum_{c=1}^{C} w_c(\varphi) \prod_{j=1}^{K}
        \mathcal{N}\bigl(m_j \mid \mu_{cj}(\varphi), \sigma_{cj}(\varphi)^2\bigr),
    \qquad (w, \mu, \sigma)(\varphi) = \mathrm{network}(\varphi)

References:
    Mixture density networks (Bishop, 1994)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..design import Target
from ..model.distributions import NormalMixture
from ..model.nn import ResidualMLP
from ..schema import Schema
from ._learning import Scaling, augmented, check_positive, labelled_rows, minimise
from .base import Rival, generator_of, to_numpy

if TYPE_CHECKING:
    from ..data.batches import Batch as Batch
    from ..process.symmetries import Symmetry

__all__ = ["MixtureDensityNetwork", "MixtureEnsemble", "MixtureNetwork", "MixtureRival"]


class MixtureRival(Rival):
    """A rival whose law is a mixture of diagonal Gaussians, so every answer is closed-form."""

    network: MixtureEnsemble

    @torch.no_grad()
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        law, scaling = self.network(self.scaling.phi(inputs)), self.scaling
        parts = [law.log_box_probability(*scaling.ends(box)).exp() for box in target.boxes]
        return to_numpy(torch.stack(parts).sum(dim=0)).reshape(np.shape(phi)[:-1])

    @torch.no_grad()
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        inputs, values = self._pairs(phi, m)
        law, scaling = self.network(self.scaling.phi(inputs)), self.scaling
        return to_numpy(scaling.density(law.log_prob(scaling.m(values))))

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        law = self.network(self.scaling.phi(inputs).unsqueeze(-2)).expand((len(inputs), draws))
        return to_numpy(self.scaling.m_back(law.draw(generator)))


@dataclass
class MixtureDensityNetwork(MixtureRival):
    r"""A mixture of diagonal Gaussians whose parameters are a network of φ.

    It is trained by maximum likelihood on the labelled rows to the last step of a half-cosine
    learning rate; nothing is chosen by a noisy validation score. How long, and whether alone, the
    number of rows decides.

    Arguments:
        components: The number :math:`C` of Gaussians.
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation, in units of the standardised property.
        dropout: The part of the hidden units that is left out at random in a step, which keeps
            the components from closing in on single rows.

    Other arguments:
        steps: The largest number of steps, over all networks.
        passes: The largest number of passes of a network through the rows, which keeps it from
            learning a small data set by heart.
        members: The largest number of networks, of equal weight: the steps that few rows leave
            over go into more of them.
        batch_size: Rows a step.
        learning_rate: The rate of the first step.
        weight_decay: The decoupled decay of the weights.
        name: What tables and figures call it.

    Raises:
        InputError: If a number is not positive.
    """

    components: int = 16
    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.02
    dropout: float = 0.1
    steps: int = 4000
    passes: int = 150
    members: int = 8
    batch_size: int = 250
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    name: str = "mixture density network"

    def __post_init__(self) -> None:
        check_positive(self)

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        phi, m = labelled_rows(train)
        self.learn_rows(lambda: augmented(symmetries, self.process, phi, m), m)

    def for_rows(self, schema: Schema) -> MixtureDensityNetwork:
        """A copy that knows its schema and waits for `learn_rows`."""
        fitted = copy.copy(self)
        fitted.schema = schema
        fitted.process, fitted.property_names = schema.process, schema.property_names
        return fitted

    def learn_rows(self, rows: Callable[[], tuple[Tensor, Tensor]], m: Tensor) -> None:
        """Learns from rows (φ, m) that are asked for afresh every epoch; `m` sets the scale."""
        per_pass = max(1, len(rows()[0]) // self.batch_size)
        steps = min(self.steps, self.passes * per_pass)
        self.scaling, networks = Scaling(self.process, m), []

        def scaled() -> tuple[Tensor, Tensor]:
            phi, m = rows()
            return self.scaling.phi(phi), self.scaling.m(m)

        for _ in range(max(1, min(self.members, self.steps // steps))):
            network = MixtureNetwork(self, len(self.process), m)
            minimise(
                network,
                scaled,
                lambda phi, m, network=network: -network(phi).log_prob(m).mean(),
                steps=steps,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
            )
            networks.append(network)
        self.network = MixtureEnsemble(networks)


class MixtureEnsemble(nn.Module):
    """Networks of equal weight: a mixture of their mixtures."""

    def __init__(self, networks: Sequence[MixtureNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, phi: Tensor) -> NormalMixture:
        """The mixture with batch shape `(*)` for φ with shape `(*, P)`."""
        laws = [network(phi) for network in self.networks]
        return NormalMixture(
            torch.cat([law.log_weights for law in laws], dim=-1),
            torch.cat([law.loc for law in laws], dim=-2),
            torch.cat([law.scale for law in laws], dim=-2),
        )


class MixtureNetwork(nn.Module):
    """φ in, the mixture of m out, both standardised."""

    def __init__(self, sizes: MixtureDensityNetwork, inputs: int, like: Tensor) -> None:
        super().__init__()
        self.components, self.floor, self.k = sizes.components, sizes.floor, like.shape[-1]
        outputs = sizes.components * (1 + 2 * self.k)
        *layers, last = ResidualMLP(inputs, outputs, sizes.hidden, "silu").to(like)
        pairs = (part for layer in layers for part in (layer, nn.Dropout(sizes.dropout)))
        self.layers = nn.Sequential(*pairs, last)
        final: nn.Linear = self.layers[-1]  # type: ignore[assignment]
        with torch.no_grad():
            # components start apart, else they stay equal
            loc = slice(self.components, self.components * (1 + self.k))
            final.bias[loc].normal_()
            final.bias[loc.stop :].fill_(math.log(math.expm1(0.5)))

    def forward(self, phi: Tensor) -> NormalMixture:
        """The mixture with batch shape `(*)` for φ with shape `(*, P)`."""
        c, k = self.components, self.k
        logits, loc, scale = self.layers(phi).split([c, c * k, c * k], dim=-1)
        scale = self.floor + softplus(scale)
        return NormalMixture(logits, loc.unflatten(-1, (c, k)), scale.unflatten(-1, (c, k)))
