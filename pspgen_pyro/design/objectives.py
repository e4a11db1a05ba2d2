r"""What a design can maximise or minimise over the process space.

=====================  ==============================================================  =========
objective              value at :math:`\varphi`                                        wanted
=====================  ==============================================================  =========
`Probability`          :math:`P(m \in \mathcal{M}_d \mid \varphi)`  (Eq. 1)            large
`Cautious`             the lower end of its 90 % interval                              large
`Product`, `Least`     of several such P                                               large
`Priced`               P less a price times what φ costs                               large
`Cheapest`             what φ costs, where P is large enough                           small
`SquaredDistance`      :math:`\mathbb{E}[\sum_j \omega_j (m_j - t_j)^2 \mid \varphi]`  small
`KullbackLeibler`      :math:`\mathrm{KL}(p_t(m) \,\|\, p(m \mid \varphi))`            small
=====================  ==============================================================  =========

Each is a mean over z0 on a fixed sample, closed-form in m where the mixture allows it:

.. math::
    \mathbb{E}[(m_j - t_j)^2 \mid z] = \sum_c w_c [(\mu_{cj} - t_j)^2 + \sigma_{cj}^2], \qquad
    p(m \mid \varphi) = \mathbb{E}_{z_0} \sum_c w_c \prod_j
        \mathcal{N}(m_j \mid \mu_{cj}, \sigma_{cj}^2).

`score` is what an optimiser climbs (for `Probability` the logarithm, whose slope does not vanish
far from the target), `value` what a person reads. All but the last two are `chances` and may be
asked of an ensemble.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal

from ..errors import InputError
from ..io.validation import check_whole
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .estimates import Estimate, mean_of
from .probability import fixed_sample, scrambled, sobol_normal, weighted_law
from .target import Target

__all__ = ["KullbackLeibler", "Objective", "SquaredDistance"]


class Objective(ABC):
    """A number for every φ, differentiable on a fixed sample of z0."""

    smooth: bool = True
    """Whether the score has a gradient everywhere and nothing constrains φ but its bounds; else
    `SLSQP` climbs."""

    @property
    def regions(self) -> tuple[Target, ...]:
        """The regions of m whose probabilities are asked for; the training data must support
        them."""
        return ()

    def space(self, process: ProcessSpace) -> ProcessSpace:
        """The settings to search."""
        return process

    def sample(self, model: PSPGen | Ensemble, draws: int, seed: int) -> Tensor:
        """The fixed sample to optimise on, see `fixed_sample`."""
        return fixed_sample(model, draws, seed)

    def estimate(
        self, model: PSPGen | Ensemble, phi: NDArray[np.float64], **options: Any
    ) -> Estimate:
        """The value at φ with shape `(*, P)` and its standard error; options as of
        `scrambled`."""
        one = _one(model, self)
        return mean_of(scrambled(one, partial(self.value, one), phi, **options))

    def prepared(self, model: PSPGen | Ensemble, noise: Tensor) -> Objective:
        """The objective with what it needs to know of the model as a whole; itself if nothing."""
        return self

    def told(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        """Whose slope tells how sensitive a design is, with shape `(N)`: the score."""
        return self.score(model, phi, noise)

    def unmet(self, model: Any, phi: Tensor, noise: Tensor) -> str:
        """Which constraint a design does not fulfil, with shape `(1, P)`; empty if it does."""
        return ""

    @abstractmethod
    def check(self, model: PSPGen | Ensemble) -> None:
        """Says so if the objective does not fit the model.

        Raises:
            InputError: If it does not.
        """

    @abstractmethod
    def score(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        """What an optimiser climbs, with shape `(N)`, for φ with shape `(N, P)` and standard
        normal draws with shape `(S, D0)`."""

    def value(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        """What a person reads, with shape `(N)`; arguments as in `score`."""
        return -self.score(model, phi, noise)


@dataclass(frozen=True)
class SquaredDistance(Objective):
    r"""The mean weighted squared distance of m from a point, to be small.

    Arguments:
        point: The point :math:`t`, one number a property.
        weights: The weights :math:`\omega`, one a property; all one if None.

    Raises:
        InputError: If the lengths differ, or a weight is negative.
    """

    point: tuple[float, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "point", tuple(float(t) for t in self.point))
        if self.weights is not None and (
            len(self.weights) != len(self.point) or not all(w >= 0 for w in self.weights)
        ):
            raise InputError(
                f"'weights' is {self.weights}; give {len(self.point)} numbers that are not "
                "negative, one a property."
            )

    def check(self, model: PSPGen | Ensemble) -> None:
        """The point must have the dimension of the properties."""
        _one(model, self)
        _check_size("point", len(self.point), model)

    def score(self, model: PSPGen, phi: Tensor, noise: Tensor) -> Tensor:
        """Minus the mean squared distance."""
        law, log_weights = weighted_law(model, phi, noise)
        point = law.loc.new_tensor(self.point)
        weights = law.loc.new_tensor(self.weights or (1.0,) * len(self.point))
        square = ((law.loc - point).square() + law.scale.square()) @ weights
        mean = (law.log_weights.exp() * square).sum(dim=-1)
        return -(log_weights.exp() * mean).sum(dim=-1)

    def __str__(self) -> str:
        return f"E‖m − ({', '.join(f'{t:g}' for t in self.point)})‖²"


@dataclass(frozen=True, eq=False)
class KullbackLeibler(Objective):
    r"""The divergence of the model's density of m from a wanted one, to be small.

    .. math::
        \mathrm{KL}(p_t \,\|\, p(\cdot \mid \varphi)) \approx \frac{1}{L} \sum_l \Big[
            \log p_t(m_l) - \log \frac{1}{S} \sum_s p(m_l \mid z_0^{(s)}, g(\varphi)) \Big],
        \quad m_l \sim p_t

    The points :math:`m_l` are quasi-random where `density` has an inverse distribution function or
    is a multivariate normal, and plain draws otherwise; they stay the same for every φ.

    Arguments:
        density: The wanted density :math:`p_t`, a distribution with event shape `(K)`.
        points: The number :math:`L` of points.
        seed: Seeds the points.

    Raises:
        InputError: If the density has a batch shape, or `points` is not positive.
    """

    density: Distribution
    points: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        shapes = tuple(self.density.batch_shape), tuple(self.density.event_shape)
        if shapes[0] or len(shapes[1]) != 1:
            raise InputError(
                f"'density' has batch shape {shapes[0]} and event shape {shapes[1]}; it must be "
                "one distribution over the properties: make it with `Independent(…, 1)`."
            )
        check_whole(points=self.points)
        m = _quasi_random(self.density, self.points, self.seed).detach()
        object.__setattr__(self, "_m", m)
        object.__setattr__(self, "_negative_entropy", self.density.log_prob(m).mean().item())

    def check(self, model: PSPGen | Ensemble) -> None:
        """The density must have the dimension of the properties."""
        _one(model, self)
        _check_size("density", self.density.event_shape[0], model)

    def score(self, model: PSPGen, phi: Tensor, noise: Tensor) -> Tensor:
        """Minus the divergence."""
        law, log_weights = weighted_law(model, phi, noise)
        m: Tensor = self._m.to(law.loc)  # type: ignore[attr-defined]
        # (L, N, S): every point under every mixture
        log_density = law.log_prob(m[:, None, None, :])
        mixed = torch.logsumexp(log_density + log_weights, dim=-1)
        return mixed.mean(dim=0) - self._negative_entropy  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return f"KL({type(self.density).__name__} ‖ p(m | φ))"


def _one(model: PSPGen | Ensemble, objective: Objective) -> PSPGen:
    """The model, if it is one."""
    if isinstance(model, PSPGen):
        return model
    raise InputError(
        f"'target' is {objective}, an objective of one model, but 'model' is an ensemble; give a "
        "region, or one of its members."
    )


def _check_size(name: str, came: int, model: PSPGen | Ensemble) -> None:
    if came != model.dims.properties:
        raise InputError(
            f"'{name}' has {came} entries but the model has {model.dims.properties} properties; "
            "give one for each."
        )


def _quasi_random(density: Distribution, points: int, seed: int) -> Tensor:
    size = density.event_shape[0]
    if isinstance(density, MultivariateNormal):
        noise = sobol_normal(points, size, seed, density.loc.dtype)
        return density.loc + noise @ density.scale_tril.mT
    if isinstance(density, Independent):
        base = density.base_dist
        if type(base).icdf is not Distribution.icdf:
            uniform = torch.special.ndtr(sobol_normal(points, size, seed, torch.float64))
            return base.icdf(uniform.to(torch.get_default_dtype()))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return density.sample((points,))
