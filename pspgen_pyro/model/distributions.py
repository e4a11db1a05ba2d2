r"""The mixture of diagonal Gaussians that every property decoder returns.

.. math::
    p(m) = \sum_{c=1}^{C} w_c \prod_{j=1}^{K} \mathcal{N}(m_j \mid \mu_{cj}, \sigma_{cj}^2)

Its probability of a box needs no sampling,

.. math::
    P(a \le m \le b) = \sum_c w_c \prod_j
        \left[\Phi\!\left(\tfrac{b_j - \mu_{cj}}{\sigma_{cj}}\right)
            - \Phi\!\left(\tfrac{a_j - \mu_{cj}}{\sigma_{cj}}\right)\right],

and is computed in logarithms: :math:`\log(\Phi(b) - \Phi(a))` underflows as it stands when both
ends lie in the right tail, so an interval right of the mean is mirrored to the left one first,
where :math:`\log \Phi(a) = \log \tfrac{1}{2} \operatorname{erfcx}(-a / \sqrt{2}) - a^2 / 2` is
exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pyro.distributions import (
    Categorical,
    MixtureSameFamily,  # pyright: ignore
    Normal,
)
from torch import Tensor

__all__ = [
    "NormalMixture",
    "log_interval_probability",
    "mixture_quantile",
    "truncated_normal",
]


def log_interval_probability(lower: Tensor, upper: Tensor) -> Tensor:
    r"""The value of :math:`\log[\Phi(b) - \Phi(a)]` for standardised ends, finite wherever
    :math:`a < b`.

    Arguments:
        lower: The ends :math:`a`, with shape `(*)`; may be :math:`-\infty`.
        upper: The ends :math:`b`, with shape `(*)`; may be :math:`+\infty`.

    Returns:
        The log-probability, with shape `(*)`, differentiable in both ends.

    Example:
        >>> log_interval_probability(torch.tensor(40.0), torch.tensor(41.0)).isfinite().item()
        True
    """
    mirror = lower + upper > 0
    a = torch.where(mirror, -upper, lower).clamp(min=-1e15, max=1e15)
    b = torch.where(mirror, -lower, upper).clamp(min=-1e15, max=1e15)
    log_a, log_b = _log_ndtr(a), _log_ndtr(b)
    gap = (log_a - log_b).clamp(max=-torch.finfo(a.dtype).tiny)
    return log_b + torch.log(-torch.expm1(gap))


def truncated_normal(
    loc: Tensor, scale: Tensor, lower: Tensor, upper: Tensor, generator: torch.Generator
) -> Tensor:
    """Draws of normals given that they lie between two ends, by inversion in double precision.

    Arguments:
        loc: The means, with shape `(*)`.
        scale: The standard deviations, with shape `(*)`.
        lower: The lower ends, with shape `(*)`; may be infinite.
        upper: The upper ends, likewise.
        generator: The source of random numbers.

    Example:
        >>> far = torch.full((3,), 30.0)
        >>> drawn = truncated_normal(0 * far, 0 * far + 1, far, far + 1, torch.Generator())
        >>> bool(((drawn >= far) & (drawn < far + 0.5)).all())
        True
    """
    a, b = ((end.double() - loc) / scale for end in (lower, upper))
    # in the left half the distribution function keeps its digits
    mirror = a + b > 0
    a, b = torch.where(mirror, -b, a), torch.where(mirror, -a, b)
    # torch's ndtr is zero below -9
    below, above = (0.5 * torch.erfc(-end / math.sqrt(2)) for end in (a, b))
    uniform = torch.rand(loc.shape, generator=generator, dtype=torch.float64).to(loc.device)
    z = torch.special.ndtri(below + (above - below) * uniform)
    # beyond 37 standard deviations nothing is left to invert
    z = torch.minimum(torch.maximum(z, a), b)
    drawn = loc + scale * torch.where(mirror, -z, z)
    return torch.minimum(torch.maximum(drawn.to(loc), lower), upper)


def _log_ndtr(x: Tensor) -> Tensor:
    r"""The value of :math:`\log \Phi(x)`, whose slope keeps its digits in the tail: that of
    `torch.special.log_ndtr` is 5 % off at -1000 in single precision, and infinite further out."""
    left = x < -1
    tail, body = torch.where(left, x, -1.0), torch.where(left, -1.0, x)
    return torch.where(
        left,
        torch.log(0.5 * torch.special.erfcx(-math.sqrt(0.5) * tail)) - 0.5 * tail.square(),
        torch.log1p(-0.5 * torch.special.erfc(math.sqrt(0.5) * body)),
    )


def mixture_quantile(noise: Tensor, weights: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    r"""The z with :math:`\sum_c w_c \Phi((z - \mu_c) / \sigma_c) = \Phi(\epsilon)`: the
    transport of a standard normal to a mixture in one dimension, differentiable once.

    Newton's method on :math:`\Phi^{-1}(\sum_c w_c \Phi(\cdot))`, which is straight for one
    component, in a shrinking bracket; the slopes are those of the implicit function theorem.

    Arguments:
        noise: The :math:`\epsilon`, with shape `(*)`.
        weights: The weights, with shape `(*, C)`.
        loc: The means, with shape `(*, C)`.
        scale: The standard deviations, with shape `(*, C)`.

    Example:
        >>> one = torch.ones(1)
        >>> mixture_quantile(torch.tensor(2.0), one, 3 * one, 0.5 * one)
        tensor(4.)
    """
    # the tail that is the smaller one keeps its digits
    side = torch.where(noise > 0, -1.0, 1.0).to(noise)

    def tail(z: Tensor) -> Tensor:
        standard = (z.unsqueeze(-1) - loc) / scale
        return (weights * _ndtr(side.unsqueeze(-1) * standard)).sum(-1)

    def density(z: Tensor) -> Tensor:
        standard = (z.unsqueeze(-1) - loc) / scale
        return (weights * torch.exp(-0.5 * standard.square()) / (scale * _ROOT)).sum(-1)

    with torch.no_grad():
        ends = loc + scale * noise.unsqueeze(-1)
        low, high = ends.amin(-1), ends.amax(-1)
        z, last, eps = (weights * ends).sum(-1), high - low, torch.finfo(noise.dtype).eps
        for _ in range(_STEPS):
            back = side * torch.special.ndtri(tail(z).clamp(max=1))
            gap = back - noise
            low, high = torch.where(gap < 0, z, low), torch.where(gap > 0, z, high)
            close = high - low <= 4 * eps * (1 + z.abs())
            done = close | (gap.abs() <= 32 * eps * (1 + noise.abs()))
            if done.all():
                break
            newton = z - gap * torch.exp(-0.5 * back.square()) / (_ROOT * density(z))
            good = (newton > low) & (newton < high) & ((newton - z).abs() < 0.5 * last)
            step = torch.where(good, newton, (low + high) / 2)
            last = (step - z).abs()
            z = torch.where(done, z, step)
        slope = density(z).clamp(min=1e-30)
    excess = side * (tail(z) - _ndtr(side * noise))
    return z - (excess - excess.detach()) / slope


def _ndtr(x: Tensor) -> Tensor:
    """The normal distribution function; `torch.special.ndtr` has no digits left at −8."""
    return 0.5 * torch.special.erfc(-math.sqrt(0.5) * x)


class NormalMixture(MixtureSameFamily):
    r"""A mixture of :math:`C` diagonal Gaussians in :math:`K` properties.

    Arguments:
        log_weights: The logits of :math:`w`, with shape `(*, C)`.
        loc: The means :math:`\mu`, with shape `(*, C, K)`.
        scale: The standard deviations :math:`\sigma`, with shape `(*, C, K)`.

    Example:
        >>> mixture = NormalMixture(torch.zeros(2), torch.zeros(2, 1), torch.ones(2, 1))
        >>> mixture.log_box_probability(torch.tensor([-1.96]), torch.tensor([1.96])).exp()
        tensor(0.9500)
    """

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor) -> None:
        super().__init__(
            Categorical(logits=log_weights, validate_args=False),
            Normal(loc, scale, validate_args=False).to_event(1),
            validate_args=False,
        )
        self.log_weights = torch.log_softmax(log_weights, dim=-1)
        self.loc = loc
        self.scale = scale

    def expand(
        self, batch_shape: Sequence[int], _instance: NormalMixture | None = None
    ) -> NormalMixture:
        """The same mixture with a larger batch shape."""
        c, k = self.loc.shape[-2:]
        return NormalMixture(
            self.log_weights.expand(*batch_shape, c),
            self.loc.expand(*batch_shape, c, k),
            self.scale.expand(*batch_shape, c, k),
        )

    def unsqueezed(self) -> NormalMixture:
        """The same mixtures with a last batch axis of length one."""
        return NormalMixture(
            self.log_weights.unsqueeze(-2), self.loc.unsqueeze(-3), self.scale.unsqueeze(-3)
        )

    def separated(self) -> NormalMixture:
        """The components, each a mixture of one, along a last batch axis."""
        return NormalMixture(
            torch.zeros_like(self.log_weights).unsqueeze(-1),
            self.loc.unsqueeze(-2),
            self.scale.unsqueeze(-2),
        )

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw of m from each mixture, with shape `(*, K)`, without a gradient."""
        with torch.no_grad():
            *batch, _, k = self.loc.shape
            uniform = torch.rand(*batch, 1, generator=generator, dtype=self.loc.dtype)
            below = self.log_weights.exp().cumsum(dim=-1)[..., :-1] < uniform.to(self.loc.device)
            index = below.sum(dim=-1)[..., None, None].expand(*batch, 1, k)
            loc, scale = (t.gather(-2, index).squeeze(-2) for t in (self.loc, self.scale))
            noise = torch.randn(loc.shape, generator=generator, dtype=loc.dtype).to(loc.device)
            return loc + scale * noise

    def log_box_probability(self, lower: Tensor, upper: Tensor) -> Tensor:
        r"""The value of :math:`\log P(a \le m \le b)`, with shape `(*)`, for ends with shape
        `(K,)`, which may be infinite."""
        # an infinite end has no slope: 0 · ∞ would make it NaN
        lower, upper = lower.clamp(min=-1e15), upper.clamp(max=1e15)
        interval = log_interval_probability(
            (lower - self.loc) / self.scale, (upper - self.loc) / self.scale
        )
        return torch.logsumexp(self.log_weights + interval.sum(dim=-1), dim=-1)


_ROOT = math.sqrt(2 * math.pi)
_STEPS = 80
