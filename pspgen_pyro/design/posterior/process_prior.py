"""Where a prior of φ has its support, and whether that lies in the process space."""

from __future__ import annotations

from typing import Any

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

__all__ = ["ends_inside"]


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
