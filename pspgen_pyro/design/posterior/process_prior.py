"""Where a prior of φ has its support, and whether that lies in the process space; a prior by its
log-density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Independent,
    TransformedDistribution,
    constraints,
)

from ...errors import InputError

if TYPE_CHECKING:
    from ...model import PSPGen

__all__ = ["Tilt", "ends_inside"]

_DRAWS = 1 << 14


@dataclass(frozen=True)
class Tilt:
    r"""A prior of φ by its log-density relative to that of the process space.

    .. math:: p(\varphi) = p_U(\varphi)\, e^{\ell(\varphi)} \big/ \mathbb{E}_{p_U}[e^{\ell}]

    Arguments:
        function: The function :math:`\ell` of φ with shape `(N, P)`, with shape `(N)`.
        constant: The logarithm of the expectation, from 16,384 draws.
    """

    function: Callable[[Tensor], Tensor]
    constant: float

    @classmethod
    def of(cls, function: Any, model: PSPGen) -> Tilt:
        """The prior of a model's settings.

        Raises:
            InputError: If it is no function of φ with shape `(N, P)` to finite numbers or minus
                infinity with shape `(N)`, or it is minus infinity at every draw.
        """
        if not callable(function):
            raise InputError(f"'prior' is {function!r:.60}; {_HOW}.")
        phi = model.tensor(model.process.sample(_DRAWS, np.random.default_rng(0)))
        law: Any = function
        found: Any = law(phi)
        if not isinstance(found, Tensor) or found.shape != phi.shape[:1]:
            came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"'prior' returned {came} for φ of shape {tuple(phi.shape)}; {_HOW}.")
        if bool(found.isnan().any() | (found == torch.inf).any() | (found == -torch.inf).all()):
            raise InputError(
                f"'prior' returned NaN, infinity, or minus infinity everywhere; {_HOW}."
            )
        return cls(law, float(found.double().logsumexp(0)) - math.log(_DRAWS))

    def __call__(self, phi: Tensor) -> Tensor:
        """The normalised log-density, with shape `(*)`, of φ with shape `(*, P)`."""
        rows = self.function(phi.reshape(-1, phi.shape[-1]))
        return rows.reshape(phi.shape[:-1]).to(phi.dtype) - self.constant


_HOW = (
    "pass a distribution, or a function of torch tensors from φ with shape (N, P) to its "
    "log-density with shape (N)"
)


def ends_inside(
    prior: Distribution,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    names: tuple[str, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the prior's support, or why it cannot be used."""
    if tuple(prior.event_shape) != low.shape or tuple(prior.batch_shape):
        raise InputError(
            f"'prior' has batch shape {tuple(prior.batch_shape)} and event shape "
            f"{tuple(prior.event_shape)}; it must be one distribution over the {len(names)} "
            "process parameters: make it with `.to_event(1)`."
        )
    ends = _support(prior)
    if ends is None:
        raise InputError(
            f"'prior' is a {type(prior).__name__} whose support is not known to be bounded; take "
            "one inside the process space, such as Uniform or an affinely transformed Beta."
        )
    a, b = (np.broadcast_to(end.detach().double().cpu().numpy(), low.shape) for end in ends)
    slack = 1e-6 * (high - low)
    outside = (a < low - slack) | (b > high + slack)
    if outside.any():
        j = int(np.argmax(outside))
        raise InputError(
            f"'prior' gives {names[j]} values in [{a[j]:g}, {b[j]:g}], which leaves the process "
            f"space [{low[j]:g}, {high[j]:g}]; choose a prior inside it."
        )
    return np.maximum(a, low), np.minimum(b, high)


def _support(law: Any) -> tuple[Tensor, Tensor] | None:
    """The ends of the support of an elementwise distribution; None where it is unbounded."""
    if isinstance(law, Independent):
        return _support(law.base_dist)
    if isinstance(law, TransformedDistribution):
        ends = _support(law.base_dist)
        if ends is None or not all(isinstance(t, AffineTransform) for t in law.transforms):
            return None
        a, b = ends
        for transform in law.transforms:
            a, b = torch.as_tensor(transform(a)), torch.as_tensor(transform(b))
        return torch.minimum(a, b), torch.maximum(a, b)
    support = law.support
    if isinstance(support, constraints.independent):
        support = support.base_constraint
    if not isinstance(support, constraints.interval):
        return None
    return torch.as_tensor(support.lower_bound), torch.as_tensor(support.upper_bound)
