r"""One Gaussian whose mean and covariance depend on φ: what a regression with error bars says.

.. math::
    p(m \mid \varphi) = \mathcal{N}\bigl(m \mid \mu(\varphi), L(\varphi) L(\varphi)^\top\bigr)

with a lower triangular :math:`L`. The probability of a box comes from conditioning one property
after the other (:math:`z_i` are the standardised ones so far),

.. math::
    P(a \le m \le b) = \mathbb{E}_u \prod_j \left[\Phi(b'_j) - \Phi(a'_j)\right], \qquad
    a'_j = \frac{a_j - \mu_j - \sum_{i < j} L_{ji} z_i}{L_{jj}}, \quad
    z_i = \Phi^{-1}\bigl(\Phi(a'_i) + u_i [\Phi(b'_i) - \Phi(a'_i)]\bigr),

at Sobol points u; for one property there is nothing to average.

References:
    Numerical computation of multivariate normal probabilities (Genz, 1992)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus
from torch.special import ndtr, ndtri

from ..data.batches import Batch
from ..design import Box, Target
from ..model.nn import ResidualMLP
from ._learning import Scaling, augmented, check_positive, labelled_rows, minimise
from .base import Rival, generator_of, to_numpy

if TYPE_CHECKING:
    from ..process.symmetries import Symmetry

__all__ = ["HeteroscedasticGaussian", "box_probability"]

# Sobol points for the probability of a box
_POINTS = 256


@dataclass
class HeteroscedasticGaussian(Rival):
    """One Gaussian with a full covariance, its parameters a network of φ, by maximum likelihood.

    Arguments:
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation given the properties before, in units of the
            standardised property.

    Other arguments:
        steps: The number of steps.
        batch_size: Rows a step.
        learning_rate: The rate of the first step.
        weight_decay: The decoupled decay of the weights.
        name: What tables and figures call it.

    Raises:
        InputError: If a number is not positive.
    """

    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.02
    steps: int = 2000
    batch_size: int = 250
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    name: str = "heteroscedastic Gaussian"

    def __post_init__(self) -> None:
        check_positive(self)

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        phi, m = labelled_rows(train)
        self.scaling = Scaling(self.process, m)
        self.network = _GaussianNetwork(self.scaling, self)
        minimise(
            self.network,
            lambda: augmented(symmetries, self.process, phi, m),
            lambda phi, m: -self.network(phi).log_prob(m).mean(),
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )

    @torch.no_grad()
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        law = self.network(inputs)
        parts = [box_probability(law.loc, law.scale_tril, box) for box in target.boxes]
        return to_numpy(torch.stack(parts).sum(dim=0)).reshape(np.shape(phi)[:-1])

    @torch.no_grad()
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        inputs, values = self._pairs(phi, m)
        return to_numpy(self.network(inputs).log_prob(values))

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        law = self.network(inputs)
        shape = (len(inputs), draws, len(self.property_names))
        noise = torch.randn(shape, generator=generator, dtype=inputs.dtype).to(inputs.device)
        return to_numpy(law.loc.unsqueeze(-2) + noise @ law.scale_tril.mT)


class _GaussianNetwork(nn.Module):
    def __init__(self, scaling: Scaling, sizes: HeteroscedasticGaussian) -> None:
        super().__init__()
        self.scaling, self.floor = scaling, sizes.floor
        inputs, k = len(scaling.phi_loc), len(scaling.m_loc)
        outputs = k + k * (k + 1) // 2
        self.layers = ResidualMLP(inputs, outputs, sizes.hidden, "silu").to(scaling.m_loc)

    def forward(self, phi: Tensor) -> MultivariateNormal:
        s, k = self.scaling, len(self.scaling.m_loc)
        out = self.layers(s.phi(phi))
        loc, diagonal, below = out.split([k, k, k * (k - 1) // 2], dim=-1)
        tril = torch.diag_embed(self.floor + softplus(diagonal))
        rows, columns = torch.tril_indices(k, k, -1)
        tril[..., rows, columns] = below
        return MultivariateNormal(
            s.m_back(loc), scale_tril=s.m_scale[:, None] * tril, validate_args=False
        )


def box_probability(loc: Tensor, scale_tril: Tensor, box: Box) -> Tensor:
    """The probability of a box under Gaussians.

    Arguments:
        loc: The means, with shape `(N, K)`.
        scale_tril: The lower triangular factors of the covariances, with shape `(N, K, K)`.
        box: The box.

    Returns:
        The probabilities, with shape `(N)`, in double precision.

    Example:
        >>> half = Box((0.0, -float("inf")), (float("inf"), float("inf")))
        >>> box_probability(torch.zeros(1, 2), torch.eye(2)[None], half)
        tensor([0.5000], dtype=torch.float64)
    """
    loc, scale_tril = loc.double(), scale_tril.double()
    k = loc.shape[-1]
    engine = torch.quasirandom.SobolEngine(max(1, k - 1), scramble=True, seed=0)
    u = engine.draw(_POINTS, dtype=torch.float64).to(loc.device)
    lower, upper = box.ends(loc)
    probability = loc.new_ones(len(loc), _POINTS)
    z = loc.new_zeros(len(loc), _POINTS, k)
    for j in range(k):
        mean = loc[:, None, j] + (scale_tril[:, None, j] * z).sum(dim=-1)
        scale = scale_tril[:, None, j, j]
        a, b = ndtr((lower[j] - mean) / scale), ndtr((upper[j] - mean) / scale)
        probability = probability * (b - a)
        if j < k - 1:
            z[..., j] = ndtri((a + u[:, j] * (b - a)).clamp(1e-300, 1 - 1e-16))
    return probability.mean(dim=-1)
