r"""The trend of a prior: where a Gaussian process puts the properties, of few settings.

A network that learned from a hundred settings knows less of a smooth surface than a Gaussian
process does. So each network of a `MixturePrior` says how the law lies about the mean of one,

.. math::
    f_k(\varphi) = \mu + \sum_{i \in \mathcal{S}_k} c(\varphi, \varphi_i)\, a_i, \qquad
    a = (C + N)^{-1} (\bar u - \mu), \qquad
    c(\varphi, \varphi') = \sigma^2 \left(1 + r + \tfrac{1}{3} r^2 \right) e^{-r},

:math:`r = \sqrt{5} \lVert (\varphi - \varphi') / \ell \rVert`, with :math:`\mathcal{S}_k` the
settings that the network learns from, :math:`\bar u_i` the mean of a property over the rows at
such a setting, and N diagonal: the variance s² of the noise over the number of rows. One length an
input and the scales maximise the posterior density of the rows of all networks together, with
:math:`\log \ell \sim \mathcal{N}(\sqrt{2} + \tfrac{1}{2} \log Q, 3)` in widths of the data, Q the
number of inputs, :math:`\log \sigma^2, \mu \sim \mathcal{N}(0, 1)` and :math:`\log s^2 \sim
\mathcal{N}(-2.5, 1.5^2)`. While a network learns from a row, the mean there is what the *other*
settings say, as it is at a new one.

References:
    Gaussian Processes for Machine Learning (Rasmussen & Williams, 2006), sections 2.2 and 5.4.2
    Vanilla Bayesian optimization performs great in high dimensions (Hvarfner et al., 2024)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

__all__ = ["Trend"]

# settings that say enough of the lengths, that are a start, and fewer than which say nothing
_ENOUGH, _FEW, _FEWEST = 300, 100, 5
_FAR, _STEPS, _JITTER, _TINY = 5.0, 60, 1e-6, 1e-12
_NORMAL_MEDIAN = 0.6745
# of log σ², log noise, μ, and every log ℓ in widths of the data
_BOUNDS = (-4.0, 4.0), (-8.0, 2.0), (-3.0, 3.0), (-3.0, 7.0)


class Trend(nn.Module):
    r"""The means :math:`f_k` of all members and entries; 0 until it has learned something.

    Arguments:
        members: The number of members.
        inputs: The number Q of what the networks see of a setting.
        entries: The number of entries of u.
        settings: The largest number of settings to learn from.
    """

    where: Tensor
    weights: Tensor
    lengths: Tensor
    scales: Tensor
    count: Tensor

    def __init__(self, members: int, inputs: int, entries: int, settings: int) -> None:
        super().__init__()
        self.register_buffer("where", torch.zeros(settings, inputs))
        self.register_buffer("weights", torch.zeros(members, settings, entries))
        self.register_buffer("lengths", torch.ones(entries, inputs))
        # by entry σ², the variance of the noise and μ
        self.register_buffer("scales", torch.zeros(entries, 3))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def settings(self) -> int:
        """The largest number of settings to learn from."""
        return len(self.where)

    def forward(self, phi: Tensor) -> Tensor:
        """Maps standardised settings with shape `(*, Q)` to means with shape `(members, *,
        entries)`."""
        batch, n = phi.shape[:-1], int(self.count)
        if not n:
            return phi.new_zeros(len(self.weights), *batch, self.weights.shape[-1])
        flat, parts = phi.reshape(-1, phi.shape[-1]), []
        for j, length in enumerate(self.lengths):
            across = _correlation(flat / length, self.where[:n] / length)
            parts.append(self.scales[j, 2] + self.weights[:, :n, j] @ across.mT)
        return torch.stack(parts, dim=-1).reshape(len(self.weights), *batch, len(parts))

    def forget(self) -> None:
        """Makes it 0 everywhere."""
        self.count.zero_()
        self.weights.zero_()

    @torch.no_grad()
    def learn(
        self, phi: Tensor, u: Tensor, group: Tensor, weight: Tensor, *, afresh: bool
    ) -> tuple[Tensor, Tensor]:
        """Learns from rows.

        Arguments:
            phi: Standardised settings, with shape `(R, Q)`.
            u: Values of the entries, with shape `(R, entries)`; NaN where one is unknown.
            group: The number of each row's setting; its images under symmetries have the same, and
                are left out with it.
            weight: How much each member learns from a row, with shape `(members, R)`.

        Other arguments:
            afresh: Whether to find lengths and scales anew, if there are not more settings than it
                may learn from; else those that it has stay, and without any it stays 0.

        Returns:
            What every member expects at every row if its setting is left out, with shape
            `(members, R, entries)`, and by entry the typical distance of u from that.
        """
        seen = _Seen.from_rows(phi, u, group, weight)
        few = len(seen.where) <= self.settings
        learning = few if afresh else int(self.count) > 0
        self.forget()
        if not learning:
            return self(phi), u.new_ones(u.shape[1])
        seen = seen if few else seen.some(self.settings)
        n, left_out = len(seen.where), []
        self.where[:n] = seen.where.to(self.where)
        for j in range(u.shape[1]):
            if afresh:
                lengths, scales = seen.fitted(j)
                self.lengths[j], self.scales[j] = lengths.to(phi), scales.to(phi)
            parts = self.lengths[j].cpu().double(), self.scales[j].cpu().double()
            weights, without = seen.solved(j, *parts)
            self.weights[:, :n, j] = weights.to(phi)
            left_out.append(without.to(phi))
        self.count.fill_(n)
        expected, without = self(phi), torch.stack(left_out, dim=-1)
        expected = torch.where(without.isnan(), expected, without)
        off = (u - expected).abs().masked_fill(weight.unsqueeze(-1) == 0, torch.nan)
        spread = off.flatten(0, 1).nanquantile(0.5, dim=0) / _NORMAL_MEDIAN
        return expected, torch.where(spread.isfinite(), spread, 1.0)


@dataclass(frozen=True)
class _Seen:
    """Settings and what was seen at each, in double precision.

    Arguments:
        where: The settings, all different, with shape `(S, Q)`.
        of: The number of every row's setting, with shape `(R)`; -1 of a row that does not count.
        mean, count: The mean and the number of the known values there, with shape `(S, entries)`.
        group: The number of the group of each, with shape `(S)`.
        used: Whether each member learns from it, with shape `(members, S)`.
    """

    where: Tensor
    of: Tensor
    mean: Tensor
    count: Tensor
    group: Tensor
    used: Tensor

    @classmethod
    def from_rows(cls, phi: Tensor, u: Tensor, group: Tensor, weight: Tensor) -> _Seen:
        phi, u, weight = (one.cpu().double() for one in (phi, u, weight))
        where, of = torch.unique(phi, dim=0, return_inverse=True)
        known, values = u.isfinite().double(), u.nan_to_num().clamp(-_FAR, _FAR)
        none = u.new_zeros(len(where), u.shape[1])
        count = none.index_add(0, of, known)
        mean = none.index_add(0, of, values * known) / count.clamp(min=1)
        groups = torch.zeros(len(where), dtype=torch.int64)
        groups[of] = group.cpu()
        unseen = weight.new_zeros(len(weight), len(where))
        unseen = unseen.index_add(1, of, (weight == 0).double())
        return cls(where, of, mean, count, groups, unseen == 0)

    def some(self, most: int) -> _Seen:
        """The settings of some groups, chosen at random, that are not more than `most`."""
        _, number, sizes = torch.unique(self.group, return_inverse=True, return_counts=True)
        order = torch.randperm(len(sizes))
        kept = torch.zeros(len(sizes), dtype=torch.bool)
        kept[order] = sizes[order].cumsum(0) <= most
        rows = kept[number]
        renumbered = torch.where(rows, rows.cumsum(0) - 1, -1)
        columns = self.where, self.mean, self.count, self.group
        where, mean, count, group = (column[rows] for column in columns)
        return _Seen(where, renumbered[self.of], mean, count, group, self.used[:, rows])

    def fitted(self, j: int) -> tuple[Tensor, Tensor]:
        """The lengths of entry j, with shape `(Q,)`, and its σ², noise and μ."""
        known = (self.count[:, j] > 0).nonzero().squeeze(-1)
        known = known[torch.randperm(len(known))[:_ENOUGH]]
        y, count, x = self.mean[known, j], self.count[known, j], self.where[known]
        size = x.shape[1]
        if len(known) < _FEWEST:
            return x.new_ones(size), torch.stack([y.new_zeros(()), y.new_ones(()), y.sum() / 5])
        width = x.amax(0) - x.amin(0)
        width = torch.where(width > 0, width, 1.0)
        short = math.log(0.7) + 0.5 * math.log(size)
        # from where a part of the settings leads, all lead further
        starts = [np.array([0.0, -2.0, 0.0, *[length] * size]) for length in (short, short + 1.5)]
        for few in sorted({min(_FEW, len(known)), len(known)}):
            loss = partial(_loss, x[:few] / width, y[:few], count[:few])
            ends = [
                minimize(
                    loss,
                    start,
                    jac=True,
                    method="L-BFGS-B",
                    bounds=[*_BOUNDS[:3], *[_BOUNDS[3]] * size],
                    options={"maxiter": _STEPS},
                )
                for start in starts
            ]
            starts = [min(ends, key=lambda end: end.fun).x]
        at = torch.tensor(starts[0])
        return at[3:].exp() * width, torch.stack([at[0].exp(), at[1].exp(), at[2]])

    def solved(self, j: int, lengths: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """The weights a of every member for entry j, times σ², with shape `(members, S)`, and what
        it expects at the rows that it learns from if their group is left out, NaN at others, with
        shape `(members, R)`."""
        scale, noise, level = scales
        weights = self.where.new_zeros(self.used.shape)
        expected = self.where.new_full((len(self.used), len(self.of)), torch.nan)
        covariance = scale * _correlation(self.where / lengths, self.where / lengths)
        for k, used in enumerate(self.used):
            at = (used & (self.count[:, j] > 0)).nonzero().squeeze(-1)
            if not len(at):
                continue
            y = self.mean[at, j]
            own = torch.diag(noise / self.count[at, j] + _JITTER)
            inverse = torch.linalg.inv(covariance[at][:, at] + own)
            solved = inverse @ (y - level)
            weights[k, at] = scale * solved
            without = self.where.new_full((len(self.where),), torch.nan)
            for block in _blocks(self.group[at]):
                inner = inverse[block.unsqueeze(-1), block.unsqueeze(-2)]
                off = torch.linalg.solve(inner, solved[block].unsqueeze(-1)).squeeze(-1)
                without[at[block]] = y[block] - off
            expected[k] = without[self.of].masked_fill(self.of < 0, torch.nan)
        return weights, expected


@torch.enable_grad()
def _loss(
    x: Tensor, y: Tensor, count: Tensor, values: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Twice the negative logarithm of the posterior density of log σ², log s², μ and every log ℓ,
    but for a constant, and its gradient."""
    at = torch.tensor(values, requires_grad=True)
    scale, noise, mean, length = at[0].exp(), at[1].exp(), at[2], at[3:].exp()
    covariance = scale * _correlation(x / length, x / length)
    factor = torch.linalg.cholesky(covariance + torch.diag(noise / count + _JITTER))
    off = y - mean
    solved = torch.cholesky_solve(off.unsqueeze(-1), factor).squeeze(-1)
    middle = math.sqrt(2) + 0.5 * math.log(x.shape[1])
    prior = ((at[3:] - middle).square() / 3).sum() + at[0].square() + mean.square()
    prior = prior + ((at[1] + 2.5) / 1.5).square()
    value = off @ solved + 2 * factor.diagonal().log().sum() + prior
    return value.item(), torch.autograd.grad(value, at)[0].numpy()


def _blocks(group: Tensor) -> Iterator[Tensor]:
    """The numbers of the members of every group, those of groups of one size together, with shape
    `(G, size)`."""
    _, of, sizes = torch.unique(group, return_inverse=True, return_counts=True)
    order = torch.argsort(of, stable=True)
    first = sizes.cumsum(0) - sizes
    for size in sizes.unique().tolist():
        yield order[first[sizes == size].unsqueeze(-1) + torch.arange(size)]


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Matérn's, of smoothness 5/2, between points with shapes `(N, Q)` and `(S, Q)`."""
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1) - 2 * a @ b.mT
    r = (5 * squares.clamp(min=0) + _TINY).sqrt()
    return (1 + r + r.square() / 3) * torch.exp(-r)
