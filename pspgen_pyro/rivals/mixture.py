r"""The mixture density network: :math:`p(m \mid \varphi)` in closed form, no microstructure.

.. math::
    p(m \mid \varphi) = \sum_{c=1}^{C} w_c(\varphi) \prod_{j=1}^{K}
        \mathcal{N}\bigl(m_j \mid \mu_{cj}(\varphi), \sigma_{cj}(\varphi)^2\bigr),
    \qquad (w, \mu, \sigma)(\varphi) = \mathrm{network}(\varphi)

References:
    Mixture density networks (Bishop, 1994)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..design import Target
from ..model.distributions import NormalMixture
from ..model.nn import ResidualMLP
from ._learning import Scaling
from .base import generator_of, to_numpy
from .network import NetworkRival

__all__ = ["MixtureDensityNetwork", "MixtureEnsemble", "MixtureNetwork"]


@dataclass
class MixtureDensityNetwork(NetworkRival):
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
        name: What tables and figures call it; how else it is trained, see `NetworkRival`.
    """

    components: int = 16
    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.02
    dropout: float = 0.1
    passes: int = 150
    members: int = 8
    steps: int = 4000
    learning_rate: float = 3e-3
    name: str = "mixture density network"

    def _network(self, like: Tensor) -> nn.Module:
        return MixtureNetwork(self, len(self.process.features.source), like)

    def _learn_rows(self, rows: Callable[[], tuple[Tensor, Tensor]], m: Tensor) -> None:
        per_pass = max(1, len(rows()[0]) // self.batch_size)
        steps = min(self.steps, self.passes * per_pass)
        self.scaling = Scaling(self.process, m)
        count = max(1, min(self.members, self.steps // steps))
        self.network = MixtureEnsemble(
            [self._trained(self._network(m), rows, steps) for _ in range(count)]
        )

    @torch.no_grad()
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        law = self._law(inputs)
        parts = [law.log_box_probability(*self.scaling.ends(box)).exp() for box in target.boxes]
        return to_numpy(torch.stack(parts).sum(dim=0)).reshape(np.shape(phi)[:-1])

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        law = self.network(self.scaling.phi(inputs).unsqueeze(-2)).expand((len(inputs), draws))
        return to_numpy(self.scaling.m_back(law.draw(generator)))


class MixtureEnsemble(nn.Module):
    """Networks of equal weight: a mixture of their mixtures."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
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
