r"""The distributions that the parts of the model return.

A mixture of diagonal Gaussians,

.. math::
    p(m) = \sum_{c=1}^{C} w_c \prod_{j=1}^{K} \mathcal{N}(m_j \mid \mu_{cj}, \sigma_{cj}^2),

gives the probability of a box without sampling,

.. math::
    P(a \le m \le b) = \sum_c w_c \prod_j
        \left[\Phi\!\left(\tfrac{b_j - \mu_{cj}}{\sigma_{cj}}\right)
            - \Phi\!\left(\tfrac{a_j - \mu_{cj}}{\sigma_{cj}}\right)\right].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import (
    Categorical,
    Independent,
    Normal,
    TorchDistribution,
)
from torch import Tensor
from torch.distributions import constraints, kl_divergence

from .normal import log_interval_probability, log_ndtr, mixture_quantile

__all__ = ["Blocks", "EntrywiseMixture", "NormalMixture", "divergence", "entry_log_prob"]


class NormalMixture(TorchDistribution):
    r"""A mixture of :math:`C` diagonal Gaussians in :math:`K` properties, some of them observed
    between detection limits.

    .. math:: p(m) = \sum_c w_c \prod_j p_{cj}(m_j), \qquad p_{cj}(m_j) = \begin{cases}
        \mathcal{N}(m_j \mid \mu_{cj}, \sigma_{cj}^2) & \ell_j < m_j < h_j \\
        \Phi((\ell_j - \mu_{cj}) / \sigma_{cj}) & m_j = \ell_j \\
        \Phi((\mu_{cj} - h_j) / \sigma_{cj}) & m_j = h_j \end{cases}

    A detection limit is an atom: all that lies beyond is reported there. An entry of m that is
    unknown, NaN, is integrated out.

    Arguments:
        log_weights: The logits of :math:`w`, with shape `(*, C)`.
        loc: The means :math:`\mu`, with shape `(*, C, K)`.
        scale: The standard deviations :math:`\sigma`, with shape `(*, C, K)`.
        ends: The detection limits :math:`\ell` and :math:`h`, with shape `(2, K)`, infinite where
            there is none; None for no limit at all.

    Example:
        >>> mixture = NormalMixture(torch.zeros(2), torch.zeros(2, 1), torch.ones(2, 1))
        >>> mixture.log_box_probability(torch.tensor([-1.96]), torch.tensor([1.96])).exp()
        tensor(0.9500)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector  # pyright: ignore

    def __init__(
        self, log_weights: Tensor, loc: Tensor, scale: Tensor, ends: Tensor | None = None
    ) -> None:
        self._hold(torch.log_softmax(log_weights, dim=-1), loc, scale, ends)

    def _hold(self, log_weights: Tensor, loc: Tensor, scale: Tensor, ends: Tensor | None) -> None:
        self.log_weights, self.loc, self.scale, self.ends = log_weights, loc, scale, ends
        shape = loc.shape
        if scale.shape != shape:
            shape = torch.broadcast_shapes(shape, scale.shape)
        super().__init__(shape[:-2], shape[-1:], validate_args=False)

    @classmethod
    def normalised(
        cls, log_weights: Tensor, loc: Tensor, scale: Tensor, ends: Tensor | None = None
    ) -> NormalMixture:
        """The mixture whose weights add up to one already: arguments as of the constructor."""
        mixture = cls.__new__(cls)
        mixture._hold(log_weights, loc, scale, ends)
        return mixture

    def expand(
        self, batch_shape: Sequence[int], _instance: NormalMixture | None = None
    ) -> NormalMixture:
        """The same mixture with a larger batch shape."""
        c, k = self.loc.shape[-2:]
        return self.normalised(
            self.log_weights.expand(*batch_shape, c),
            self.loc.expand(*batch_shape, c, k),
            self.scale.expand(*batch_shape, c, k),
            self.ends,
        )

    def unsqueezed(self) -> NormalMixture:
        """The same mixtures with a last batch axis of length one."""
        return self.normalised(
            self.log_weights.unsqueeze(-2),
            self.loc.unsqueeze(-3),
            self.scale.unsqueeze(-3),
            self.ends,
        )

    def separated(self) -> NormalMixture:
        """The components, each a mixture of one, along a last batch axis."""
        return NormalMixture(
            torch.zeros_like(self.log_weights).unsqueeze(-1),
            self.loc.unsqueeze(-2),
            self.scale.unsqueeze(-2),
            self.ends,
        )

    def widened(self, by: Tensor) -> NormalMixture:
        """The same mixture with independent noise of these standard deviations, with shape `(K,)`,
        added."""
        scale = torch.hypot(self.scale, by)
        return self.normalised(self.log_weights, self.loc, scale, self.ends)

    def narrowed(self, by: Tensor, least: Tensor) -> NormalMixture:
        """The same mixture with independent noise of these standard deviations, with shape `(K,)`,
        taken out; no component becomes narrower than `least`."""
        variance = self.scale.square() - by.square()
        scale = torch.maximum(variance, torch.minimum(least, self.scale).square()).sqrt()
        return self.normalised(self.log_weights, self.loc, scale, self.ends)

    def log_prob(self, value: Tensor) -> Tensor:
        each = entry_log_prob(value.unsqueeze(-2), self.loc, self.scale, self.ends)
        return torch.logsumexp(self.log_weights + each.sum(dim=-1), dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.expand((*sample_shape, *self.batch_shape)).draw()

    @property
    def mean(self) -> Tensor:
        """The means of the mixtures without their detection limits, with shape `(*, K)`."""
        return (self.log_weights.exp().unsqueeze(-1) * self.loc).sum(dim=-2)

    @property
    def variance(self) -> Tensor:
        """The variances of the same, with shape `(*, K)`."""
        apart = (self.loc - self.mean.unsqueeze(-2)).square()
        return (self.log_weights.exp().unsqueeze(-1) * (self.scale.square() + apart)).sum(dim=-2)

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw of m from each mixture, with shape `(*, K)`, without a gradient."""
        with torch.no_grad():
            *batch, _, k = self.loc.shape
            uniform = torch.rand(*batch, 1, generator=generator, dtype=self.loc.dtype)
            below = self.log_weights.exp().cumsum(dim=-1)[..., :-1] < uniform.to(self.loc.device)
            index = below.sum(dim=-1)[..., None, None].expand(*batch, 1, k)
            loc, scale = (t.gather(-2, index).squeeze(-2) for t in (self.loc, self.scale))
            noise = torch.randn(loc.shape, generator=generator, dtype=loc.dtype).to(loc.device)
            return clamped(loc + scale * noise, self.ends)

    def log_box_probability(self, lower: Tensor, upper: Tensor) -> Tensor:
        r"""The value of :math:`\log P(a \le m \le b)`, with shape `(*)`, for ends with shape
        `(K,)`, which may be infinite. A detection limit inside counts all that lies beyond it."""
        lower, upper = self.reaching(lower, upper)
        # an infinite end has no slope: 0 · ∞ would make it NaN
        lower, upper = lower.clamp(min=-1e15 * self._unit), upper.clamp(max=1e15 * self._unit)
        interval = log_interval_probability(
            (lower - self.loc) / self.scale, (upper - self.loc) / self.scale
        )
        interval = torch.where(lower < upper, interval, _NEVER)
        return torch.logsumexp(self.log_weights + interval.sum(dim=-1), dim=-1)

    def reaching(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """The ends of a box for what is measured between the detection limits: infinite where a
        limit lies inside, and the wrong way round where the box lies beyond one."""
        if self.ends is None:
            return lower, upper
        low, high = self.ends
        empty = (upper < low) | (lower > high)
        lower = torch.where(lower <= low, -torch.inf, lower)
        upper = torch.where(upper >= high, torch.inf, upper)
        return torch.where(empty, torch.inf, lower), torch.where(empty, -torch.inf, upper)

    @property
    def _unit(self) -> Tensor:
        return self.scale.detach().amax().clamp(min=torch.finfo(self.scale.dtype).tiny)


def entry_log_prob(
    value: Tensor, loc: Tensor, scale: Tensor, ends: Tensor | None = None
) -> Tensor:
    """The log-density of each entry of m under its own Gaussian: the logarithm of the atom at a
    detection limit, 0 where m is NaN; with the shape of all arguments broadcast."""
    known = value.isfinite()
    standard = (torch.where(known, value, loc.detach()) - loc) / scale
    density = -0.5 * standard.square() - scale.log() - _HALF_LOG_2PI
    if ends is not None and bool(ends.isfinite().any()):
        low, high = ends
        below = log_ndtr((low.clamp(min=-1e30) - loc) / scale)
        above = log_ndtr((loc - high.clamp(max=1e30)) / scale)
        density = torch.where(value <= low, below, torch.where(value >= high, above, density))
    return torch.where(known, density, torch.zeros(()).to(density))


def clamped(m: Tensor, ends: Tensor | None) -> Tensor:
    """What is reported of m: never more than the detection limits."""
    return m if ends is None else torch.minimum(torch.maximum(m, ends[0]), ends[1])


class EntrywiseMixture(TorchDistribution):
    r"""Independent mixtures of :math:`C` Gaussians, one an entry: :math:`q(u) = \prod_j \sum_c
    w_{jc}\, \mathcal{N}(u_j \mid \mu_{jc}, \sigma_{jc}^2)`.

    Draws are reparametrised by the quantile function of each mixture.

    Arguments:
        log_weights: The logits of :math:`w`, with shape `(*, K, C)`.
        loc: The means, with shape `(*, K, C)`.
        scale: The standard deviations, with shape `(*, K, C)`.

    Example:
        >>> law = EntrywiseMixture(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3, 2))
        >>> law.rsample((5,)).shape
        torch.Size([5, 3])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector  # pyright: ignore
    has_rsample = True

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.log_weights, self.loc, self.scale = log_weights.log_softmax(-1), loc, scale
        super().__init__(loc.shape[:-2], loc.shape[-2:-1], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> EntrywiseMixture:
        shape = (*batch_shape, *self.loc.shape[-2:])
        return EntrywiseMixture(*(part.expand(shape) for part in self.parts))

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The log-weights, the means and the standard deviations."""
        return self.log_weights, self.loc, self.scale

    def entries(self, value: Tensor, ends: Tensor | None = None) -> Tensor:
        """The log-density of each entry, with shape `(*, K)`; see `entry_log_prob`."""
        each = entry_log_prob(
            value.unsqueeze(-1), self.loc, self.scale, None if ends is None else ends.unsqueeze(-1)
        )
        mixed = torch.logsumexp(self.log_weights + each, dim=-1)
        return torch.where(value.isfinite(), mixed, torch.zeros(()).to(mixed))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.entries(value).sum(dim=-1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = (*sample_shape, *self.loc.shape[:-1])
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        law = self.expand(shape[:-1])
        return mixture_quantile(noise, law.log_weights.exp(), law.loc, law.scale)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            shape = (*sample_shape, *self.loc.shape)
            index = Categorical(logits=self.log_weights.expand(shape)).sample().unsqueeze(-1)
            loc, scale = (t.expand(shape).gather(-1, index)[..., 0] for t in self.parts[1:])
            return loc + scale * torch.randn_like(loc)

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp() * self.loc).sum(dim=-1)

    @property
    def variance(self) -> Tensor:
        second = (self.log_weights.exp() * (self.scale.square() + self.loc.square())).sum(dim=-1)
        return (second - self.mean.square()).clamp(min=0)


class Blocks(TorchDistribution):
    """Independent laws of consecutive entries of one vector.

    Arguments:
        laws: The laws, each of a vector, with the same batch shape.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector  # pyright: ignore

    def __init__(self, *laws: Any) -> None:
        self.laws = laws
        self.sizes = [law.event_shape[-1] for law in laws]
        super().__init__(laws[0].batch_shape, torch.Size([sum(self.sizes)]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return all(law.has_rsample for law in self.laws)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Blocks:
        return Blocks(*(law.expand(torch.Size(batch_shape)) for law in self.laws))

    def split(self, value: Tensor) -> tuple[Tensor, ...]:
        """The entries of each law."""
        return value.split(self.sizes, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        pairs = zip(self.laws, self.split(value), strict=True)
        return sum(law.log_prob(part) for law, part in pairs)  # type: ignore[return-value]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return torch.cat([law.rsample(torch.Size(sample_shape)) for law in self.laws], dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return torch.cat([law.sample(torch.Size(sample_shape)) for law in self.laws], dim=-1)

    @property
    def mean(self) -> Tensor:
        return torch.cat([law.mean for law in self.laws], dim=-1)

    @property
    def variance(self) -> Tensor:
        return torch.cat([law.variance for law in self.laws], dim=-1)


def divergence(q: Any, p: Any, value: Tensor) -> Tensor:
    r"""The divergence :math:`\mathrm{KL}(q \,\|\, p)`, with shape `(*)`: in closed form between
    diagonal Gaussians, block by block, and by the one draw `value` of q elsewhere."""
    if isinstance(q, Blocks) and isinstance(p, Blocks) and q.sizes == p.sizes:
        parts = zip(q.laws, p.laws, q.split(value), strict=True)
        return sum(divergence(*part) for part in parts)  # type: ignore[return-value]
    if _diagonal(q) and _diagonal(p):
        return kl_divergence(q, p)
    return q.log_prob(value) - p.log_prob(value)


def _diagonal(law: Any) -> bool:
    return isinstance(law, Independent) and isinstance(law.base_dist, Normal)


_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_NEVER = -1e4
"""The log-probability of a box that no material can reach: zero in any precision, and no NaN."""
