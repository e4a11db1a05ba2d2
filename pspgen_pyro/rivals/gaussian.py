r"""One Gaussian whose mean and covariance depend on φ: what a regression with error bars says.

.. math::
    p(m \mid \varphi) = \mathcal{N}\bigl(m \mid \mu(\varphi), L(\varphi) L(\varphi)^\top\bigr)

with a lower triangular :math:`L`. The probability of a box is that of SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus

from ..design import Target
from ..model.nn import ResidualMLP
from .base import generator_of, to_numpy
from .network import NetworkRival

__all__ = ["HeteroscedasticGaussian", "box_probability"]


@dataclass
class HeteroscedasticGaussian(NetworkRival):
    """One Gaussian with a full covariance, its parameters a network of φ, by maximum likelihood.

    Arguments:
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation given the properties before, in units of the
            standardised property.

    Other arguments:
        name: What tables and figures call it; how it is trained, see `NetworkRival`.
    """

    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.02
    name: str = "heteroscedastic Gaussian"

    def _network(self, like: Tensor) -> nn.Module:
        return _GaussianNetwork(self, len(self.process.features.source), like)

    @torch.no_grad()
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        law = self._law(inputs)
        loc, tril = to_numpy(law.loc), to_numpy(law.scale_tril)
        ends = [[to_numpy(end) for end in self.scaling.ends(box)] for box in target.boxes]
        parts = [box_probability(loc, tril, *pair) for pair in ends]
        return np.sum(parts, axis=0).reshape(np.shape(phi)[:-1])

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        law = self._law(inputs)
        shape = (len(inputs), draws, len(self.property_names))
        noise = torch.randn(shape, generator=generator, dtype=law.loc.dtype).to(law.loc.device)
        m = law.loc.unsqueeze(-2) + noise @ law.scale_tril.mT
        return to_numpy(self.scaling.m_back(m))


class _GaussianNetwork(nn.Module):
    """φ in, the Gaussian of m out, both standardised."""

    def __init__(self, sizes: HeteroscedasticGaussian, inputs: int, like: Tensor) -> None:
        super().__init__()
        self.floor, self.k = sizes.floor, like.shape[-1]
        outputs = self.k + self.k * (self.k + 1) // 2
        self.layers = ResidualMLP(inputs, outputs, sizes.hidden, "silu").to(like)

    def forward(self, phi: Tensor) -> MultivariateNormal:
        k = self.k
        loc, diagonal, below = self.layers(phi).split([k, k, k * (k - 1) // 2], dim=-1)
        tril = torch.diag_embed(self.floor + softplus(diagonal))
        rows, columns = torch.tril_indices(k, k, -1)
        tril[..., rows, columns] = below
        return MultivariateNormal(loc, scale_tril=tril, validate_args=False)


def box_probability(
    loc: ArrayLike, scale_tril: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> NDArray[np.float64]:
    """The probability of a box under Gaussians.

    Arguments:
        loc: The means, with shape `(N, K)`.
        scale_tril: The lower triangular factors of the covariances, with shape `(N, K, K)`.
        lower: The lower ends of the box, with shape `(K)`; they may be infinite.
        upper: The upper ends.

    Returns:
        The probabilities, with shape `(N)`.

    Example:
        >>> box_probability(np.zeros((1, 2)), np.eye(2)[None], [0, -np.inf], [np.inf, np.inf])
        array([0.5])
    """
    lower, upper, loc = (np.asarray(v, dtype=float) for v in (lower, upper, loc))
    # properties that may take any value integrate to 1
    kept = np.flatnonzero(np.isfinite(lower) | np.isfinite(upper))
    tril = np.asarray(scale_tril, dtype=float)[:, kept]
    covariance, loc, lower, upper = tril @ tril.mT, loc[:, kept], lower[kept], upper[kept]
    if len(kept) == 1:
        scale = covariance[:, 0] ** 0.5
        return (ndtr((upper - loc) / scale) - ndtr((lower - loc) / scale))[:, 0]
    if not len(kept):
        return np.ones(len(loc))
    pairs = zip(loc, covariance, strict=True)
    return np.array(
        [multivariate_normal.cdf(upper, *pair, lower_limit=lower, rng=0) for pair in pairs]
    )
