r"""Coordinates of the settings in which their prior is standard normal.

A real setting that nothing binds is :math:`a + (b - a)\, \Phi(u)`, or that of its logarithm. Those
that constraints bind are a point of a polytope, of dimension k: with its inequalities
:math:`w_i^\top y \le 1` around its analytic centre and :math:`g(\theta) = \max_i w_i^\top \theta`,

.. math::
    y = \frac{\theta}{g(\theta)}\, F_k(r)^{1/k}, \qquad r = \lVert u \rVert,\ \theta = u / r,

where :math:`F_k` is the distribution function of the length of k standard normal numbers. The
walls lie at infinity, and y is uniform if draws of u have the weight

.. math:: w(u) = g(\theta)^{-k} / \mathbb{E}\left[g(\theta)^{-k}\right].

Discrete settings are summed out: every feasible combination of them, a slice, has the same
coordinates, and which slice a draw lies in is drawn exactly afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...process import ProcessSpace

__all__ = ["BoxCoordinates", "ProcessCoordinates", "SliceCoordinates"]

_MOST, _DIRECTIONS = 256, 1 << 14


class ProcessCoordinates(Protocol):
    """Coordinates u of the settings."""

    size: int
    """How many."""

    def settings(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The settings in every slice, with shape `(*, S, P)`, and the logarithms of the slices'
        weights, with shape `(*, S)`, at coordinates with shape `(*, size)`."""
        ...


@dataclass(frozen=True, eq=False)
class BoxCoordinates:
    """Those of a box: one slice.

    Arguments:
        low: The lower ends, with shape `(P)`.
        span: The widths.
    """

    low: Tensor
    span: Tensor

    @property
    def size(self) -> int:
        """The number P."""
        return len(self.low)

    def settings(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """See `ProcessCoordinates.settings`."""
        phi = self.low + self.span * torch.special.ndtr(u)
        return phi.unsqueeze(-2), u.new_zeros((*u.shape[:-1], 1))


class SliceCoordinates:
    """Those of any process space with at most 256 slices.

    Arguments:
        process: The process space.
        like: A tensor whose device and precision they have.

    Raises:
        InputError: If there are more slices.
    """

    def __init__(self, process: ProcessSpace, like: Tensor) -> None:
        feasible = process.feasible
        slices = feasible.slices if feasible.count() <= 16 * _MOST else None
        if slices is None or len(slices) > _MOST:
            raise InputError(
                f"the discrete settings have more than {_MOST} admissible combinations, too many "
                "to sum over; fix some of them, or ask `run.design` instead."
            )

        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(np.asarray(values)).to(like)

        free = np.isnan([fixed for fixed, _ in slices])
        bound = free & feasible.bound
        loose = (free & ~feasible.bound)[0]
        parts = [polytope.rounded for _, polytope in slices]
        most = max(basis.shape[1] for _, basis, _ in parts)
        walls = max(len(rows) for *_, rows in parts)
        self.loose = torch.tensor(np.flatnonzero(loose))
        self.size = int(loose.sum()) + most
        # φ = offset + matrix y in every slice
        offset, matrix = np.zeros(free.shape), np.zeros((*free.shape, most))
        rows, dims = np.zeros((len(slices), walls, most)), np.zeros(len(slices))
        for s, ((fixed, _), (centre, basis, wall)) in enumerate(zip(slices, parts, strict=True)):
            k = basis.shape[1]
            offset[s] = np.where(np.isnan(fixed), 0.0, fixed)
            offset[s, bound[s]] = feasible.lower[bound[s]] + feasible.width[bound[s]] * centre
            matrix[s, bound[s], :k] = feasible.width[bound[s], None] * basis
            rows[s, : len(wall), :k], dims[s] = wall, k
        self.offset, self.matrix, self.rows, self.dims = map(tensor, (offset, matrix, rows, dims))
        self.used = tensor(np.arange(most) < dims[:, None])
        low, high = feasible.lower[loose], feasible.upper[loose]
        log = np.array([one.log for one in process.settings])[loose]
        self.log = torch.tensor(log).to(like.device)
        low, high = (np.where(log, np.log(np.where(log, v, 1.0)), v) for v in (low, high))
        self.low, self.span = tensor(low), tensor(high - low)
        self.constant = -math.log(len(slices)) - self._log_mean(most, like)

    def _log_mean(self, most: int, like: Tensor) -> Tensor:
        r"""The value of :math:`\log \mathbb{E}[g(\theta)^{-k}]` in every slice."""
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(_DIRECTIONS, max(1, most), generator=generator).to(like)[:, :most]
        weight = self._inside(u)[1]
        return weight.double().logsumexp(dim=0).to(like) - math.log(_DIRECTIONS)

    def settings(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """See `ProcessCoordinates.settings`."""
        count = len(self.loose)
        y, weight = self._inside(u[..., count:])
        phi = self.offset + (self.matrix @ y.unsqueeze(-1)).squeeze(-1)
        loose = self.low + self.span * torch.special.ndtr(u[..., :count])
        loose = torch.where(self.log, loose.where(self.log, 0.0).exp(), loose)
        loose = loose.unsqueeze(-2).expand(*phi.shape[:-1], count)
        return phi.index_copy(-1, self.loose.to(phi.device), loose), weight + self.constant

    def _inside(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The points of the polytopes, with shape `(*, S, k)`, and their log-weights before the
        constant, with shape `(*, S)`."""
        u = u.unsqueeze(-2) * self.used
        if not u.shape[-1]:
            return u, u.new_zeros(u.shape[:-1])
        tiny = torch.finfo(u.dtype).tiny ** 0.5
        r = (u.square().sum(dim=-1) + tiny).sqrt()
        theta = u / r.unsqueeze(-1)
        gauge = (self.rows @ theta.unsqueeze(-1)).squeeze(-1).amax(dim=-1)
        gauge = torch.where(self.dims > 0, gauge.clamp_min(tiny), 1.0)
        dims = self.dims.clamp_min(1)
        reach = torch.special.gammainc((dims / 2).expand_as(r), r.square() / 2).clamp_min(tiny)
        reach = reach ** (1 / dims)
        return theta * (reach / gauge).unsqueeze(-1), -self.dims * gauge.log()
