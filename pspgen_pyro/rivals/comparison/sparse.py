r"""The settings of one sparse variational Gaussian process with several outputs, and its training.

The linear model of coregionalisation mixes :math:`L` latent functions into :math:`T` tasks. Its
bound on the evidence, a mean over minibatches,

.. math::
    \frac{1}{N} \log p(y) \ge \frac{1}{B} \sum_{n} \mathbb{E}_{q(f)}[\log p(y_n \mid f_n)]
        - \frac{1}{N} \operatorname{KL}(q(u) \,\|\, p(u)),

is climbed by natural gradients in :math:`q(u)` and by Adam in all else, both under a half-cosine
rate. The predictive objective has :math:`\log \mathbb{E}_{q(f)}[p(y_n \mid f_n)]` in place of the
expected logarithm: the variance of f may then follow the noise, which differs from place to place.
It is not concave in the natural parameters, so Adam climbs q(u) too.

The likelihood's noise is independent from task to task, since the bound as GPyTorch computes it
sees no more. `correlated` replaces it by the covariance that maximises the bound at this q(u),

.. math:: \Sigma = \frac{1}{N} \sum_n \left[
    (y_n - \mu_n)(y_n - \mu_n)^\top + \operatorname{Cov}_q(f_n) \right].

References:
    Gaussian processes for big data (Hensman et al., 2013), https://arxiv.org/abs/1309.6835
    Parametric Gaussian process regressors (Jankowiak et al., 2020),
    https://arxiv.org/abs/1910.07123
    Natural gradients in practice (Salimbeni et al., 2018), https://arxiv.org/abs/1803.09151
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...errors import InputError
from .._learning import check_sizes
from .surrogate import LMCLaw

__all__ = ["SparseGP", "Trained", "best_of"]


@dataclass(frozen=True)
class SparseGP:
    """The hyper-parameters of a sparse multi-output Gaussian process.

    Arguments:
        latents: The number of latent functions; None for as many as there are scores.
        inducing_share: The inducing points, as a share of the rows.
        most_inducing: The largest number of them.
        natural_rate: The first rate of the natural gradients.

    Other arguments:
        rate: The first rate of Adam.
        batch_size: Rows a step.
        steps: The number of steps.
        objective: `"elbo"` or `"predictive"`.
        correlated: Whether the noise is correlated from task to task.

    Raises:
        InputError: If a number is not positive, the objective is unknown, or it does not go with
            correlated noise.
    """

    latents: int | None = 5
    inducing_share: float = 0.1
    most_inducing: int = 800
    natural_rate: float = 0.01
    rate: float = 0.01
    batch_size: int = 512
    steps: int = 900
    objective: Literal["elbo", "predictive"] = "elbo"
    correlated: bool = False

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.objective not in ("elbo", "predictive"):
            raise InputError(f"'objective' is {self.objective!r}; choose 'elbo' or 'predictive'.")
        if self.correlated and self.objective != "elbo":
            raise InputError(
                "'correlated' is True, but 'objective' is 'predictive', whose processes already "
                "hold part of the noise; take 'elbo', or leave the noise independent."
            )

    def inducing(self, rows: int) -> int:
        """The number of inducing points for so many rows."""
        return max(1, min(self.most_inducing, round(self.inducing_share * rows)))

    def train(self, x: Tensor, y: Tensor, scores: int) -> Trained:
        """The law of y given x, from rows with shape `(N, D)` and `(N, T)`; random numbers come
        from torch's generator.

        Raises:
            MissingDependencyError: If GPyTorch or scikit-learn is missing.
        """
        from .lmc import climb

        law, change = climb(self, x, y, self.latents or scores)
        if self.correlated:
            law = dataclasses.replace(law, noise=_noise(law, x, y))
        return Trained(self, law, change)


@dataclass(frozen=True)
class Trained:
    """A trained Gaussian process.

    Arguments:
        settings: How it was trained.
        law: What it predicts.
        change: The relative change of the objective over the last tenth of the steps.
    """

    settings: SparseGP
    law: LMCLaw
    change: float


def best_of(
    settings: Sequence[SparseGP],
    rows: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    scores: int,
    trial: float,
) -> Trained:
    """The best of several settings by the log-density of held-out rows after a share of the steps,
    trained for all of them; settings that differ in `correlated` alone share their trial.

    Arguments:
        settings: The candidates.
        rows: The x and y to learn from.
        held_out: The x and y that decide.
        scores: The number of latents of a candidate that names none.
        trial: The share of the steps of a trial.
    """
    best = settings[0]
    if len(settings) > 1:
        found: dict[SparseGP, float] = {}
        laws: dict[SparseGP, LMCLaw] = {}
        for one in settings:
            steps = max(1, round(trial * one.steps))
            plain = dataclasses.replace(one, steps=steps, correlated=False)
            if plain not in laws:
                laws[plain] = plain.train(*rows, scores).law
            law = laws[plain]
            if one.correlated:
                law = dataclasses.replace(law, noise=_noise(law, *rows))
            found[one] = float(law.log_prob(*held_out).mean())
        best = max(found, key=lambda one: found[one])
    return best.train(*rows, scores)


@torch.no_grad()
def _noise(law: LMCLaw, x: Tensor, y: Tensor) -> Tensor:
    """The covariance of the noise that maximises the bound, with shape `(T, T)`."""
    mean, variance = law.latents(x)
    rest = y - mean @ law.mixing
    return rest.T @ rest / len(y) + (law.mixing.T * variance.mean(dim=0)) @ law.mixing
