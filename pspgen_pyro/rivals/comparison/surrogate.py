r"""What a trained sparse Gaussian process says at a point, in plain torch.

Latent functions :math:`g_l` are known at inducing points :math:`Z_l` up to a Gaussian; whitened,
:math:`u_l = L_l v`, :math:`v \sim \mathcal{N}(\mu_l, S_l)` and :math:`K_{ZZ} = L_l L_l^\top`. With
:math:`k = k_l(Z_l, x)`

.. math::
    \mathbb{E}[g_l(x)] = c_l + k^\top L_l^{-\top} \mu_l, \qquad
    \operatorname{Var}[g_l(x)] = k_l(x, x) - k^\top L_l^{-\top} (I - S_l) L_l^{-1} k,

and the tasks are :math:`y = A^\top g(x) + \varepsilon` with
:math:`\varepsilon \sim \mathcal{N}(0, \Sigma)`. All that does not depend on x is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

__all__ = ["LMCLaw"]

_NINETY = 1.6448536269514722
# points a pass, so few that their kernels stay in the cache
_CHUNK = 128


@dataclass(frozen=True)
class LMCLaw:
    r"""The predictive law of a linear model of coregionalisation, noise included.

    Arguments:
        inducing: The inducing points :math:`Z`, with shape `(L, M, D)`.
        lengthscale: The length scales of the RBF kernels, with shape `(L, 1, D)`.
        outputscale: Their variances, with shape `(L)`.
        constant: The means :math:`c`, with shape `(L)`.
        weights: The vectors :math:`L^{-\top} \mu`, with shape `(L, M)`.
        reduction: The matrices :math:`L^{-\top} (I - S) L^{-1}`, with shape `(L, M, M)`.
        mixing: The coefficients :math:`A`, with shape `(L, T)`.
        noise: The variances of the noise, with shape `(T)`, or its covariance :math:`\Sigma`,
            with shape `(T, T)`. With variances alone the tasks are drawn independently.
    """

    inducing: Tensor
    lengthscale: Tensor
    outputscale: Tensor
    constant: Tensor
    weights: Tensor
    reduction: Tensor
    mixing: Tensor
    noise: Tensor

    @property
    def correlated(self) -> bool:
        """Whether tasks are drawn with their correlation."""
        return self.noise.ndim == 2

    def latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances of the latent functions, with shape `(*, L)` each, for x with shape
        `(*, D)`."""
        flat = x.reshape(-1, x.shape[-1])
        parts = [torch.stack(self._latents(part)) for part in flat.split(_CHUNK)]
        mean, variance = torch.cat(parts, dim=1).unflatten(1, x.shape[:-1])
        return mean, variance

    def marginal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every task, with shape `(*, T)` each."""
        mean, variance = self.latents(x)
        noise = self.noise.diagonal() if self.correlated else self.noise
        return mean @ self.mixing, (variance @ self.mixing.square() + noise).sqrt()

    def draw(self, x: Tensor, noise: Tensor) -> Tensor:
        """The tasks for standard normal noise, with shape `(*, T)`; x broadcasts against it."""
        if not self.correlated:
            mean, scale = self.marginal(x)
            return mean + scale * noise
        law = self._joint(x)
        return law.loc + (law.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """The log-density of tasks with shape `(N, T)`, with shape `(N)`."""
        if self.correlated:
            return self._joint(x).log_prob(y)
        return Normal(*self.marginal(x)).log_prob(y).sum(dim=-1)

    def coverage(self, x: Tensor, y: Tensor) -> float:
        """The share of the entries of y that lie in the central 90 % interval of their law."""
        mean, scale = self.marginal(x)
        return float(((y - mean).abs() <= _NINETY * scale).double().mean())

    def _latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x / self.lengthscale, self.inducing / self.lengthscale
        half_a, half_b = (0.5 * part.square().sum(-1) for part in (a, b))
        exponent = torch.baddbmm(-half_b[:, None], a, b.mT) - half_a[:, :, None]
        k = self.outputscale[:, None, None] * exponent.clamp(max=0).exp()
        mean = self.constant[:, None] + (k @ self.weights.unsqueeze(-1)).squeeze(-1)
        variance = self.outputscale[:, None] - ((k @ self.reduction) * k).sum(dim=-1)
        return mean.mT, variance.clamp(min=0).mT

    def _joint(self, x: Tensor) -> MultivariateNormal:
        mean, variance = self.latents(x)
        covariance = (self.mixing.mT * variance.unsqueeze(-2)) @ self.mixing + self.noise
        tril = torch.linalg.cholesky(covariance)
        return MultivariateNormal(mean @ self.mixing, scale_tril=tril, validate_args=False)
