r"""The normal distribution in the tails: intervals, truncated draws, quantiles of mixtures.

:math:`\log(\Phi(b) - \Phi(a))` underflows as it stands when both ends lie in the right tail, so an
interval right of the mean is mirrored to the left one first, where :math:`\log \Phi(a) = \log
\tfrac{1}{2} \operatorname{erfcx}(-a / \sqrt{2}) - a^2 / 2` is exact.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["log_interval_probability", "log_ndtr", "mixture_quantile", "truncated_normal"]


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
    return _LogInterval.apply(lower, upper)


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


def log_ndtr(x: Tensor) -> Tensor:
    r"""The value of :math:`\log \Phi(x)`, whose slope keeps its digits in the tail: that of
    `torch.special.log_ndtr` is 5 % off at -1000 in single precision, and infinite further out."""
    return _LogNdtr.apply(x)


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


class _LogNdtr(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(
            x < -1,
            torch.log(0.5 * torch.special.erfcx(-math.sqrt(0.5) * x)) - 0.5 * x.square(),
            torch.log1p(-0.5 * torch.special.erfc(math.sqrt(0.5) * x)),
        )

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient[0] * _Hazard.apply(x)


class _Hazard(torch.autograd.Function):
    r"""The slope of :math:`\log \Phi(x)`, and its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return math.sqrt(2 / math.pi) / torch.special.erfcx(-math.sqrt(0.5) * x)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        hazard = _Hazard.apply(x)
        return -gradient[0] * hazard * (x + hazard)


class _LogInterval(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lower: Tensor, upper: Tensor) -> Tensor:
        ctx.save_for_backward(lower, upper)
        _, _, log_b, gap = _LogInterval.mirrored(lower, upper)
        return log_b + torch.log(-torch.expm1(gap))

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = ctx.saved_tensors
        a, b, _, gap = _LogInterval.mirrored(lower, upper)
        width = -torch.expm1(gap)
        # where rounding leaves no width, only the nearer end has a slope
        some = width > torch.finfo(gap.dtype).tiny
        share = gradient[0] / torch.where(some, width, 1.0)
        near, far = share * _Hazard.apply(b), -share * torch.exp(gap) * _Hazard.apply(a)
        far = torch.where(some, far, 0.0)
        mirror = lower + upper > 0
        return torch.where(mirror, -near, far), torch.where(mirror, -far, near)

    @staticmethod
    def mirrored(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ends left of the mean, log Φ at the upper one, and how far below it that at the
        lower one is."""
        mirror = lower + upper > 0
        a = torch.where(mirror, -upper, lower).clamp(min=-1e15, max=1e15)
        b = torch.where(mirror, -lower, upper).clamp(min=-1e15, max=1e15)
        log_b = log_ndtr(b)
        gap = (log_ndtr(a) - log_b).clamp(max=-torch.finfo(a.dtype).tiny)
        return a, b, log_b, gap


def _ndtr(x: Tensor) -> Tensor:
    """The normal distribution function; `torch.special.ndtr` has no digits left at −8."""
    return 0.5 * torch.special.erfc(-math.sqrt(0.5) * x)


_ROOT = math.sqrt(2 * math.pi)
_STEPS = 80
