"""The rows that the prior learns from, as its members see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.batches import Batch
from ..model import PSPGen
from ..model.distributions import EntrywiseMixture, NormalMixture, clamped
from ..model.reader import Reader
from ..process import Symmetry
from .descent import robust

__all__ = ["Reading", "Rows", "halves"]

_ROWS = 500


@dataclass(frozen=True)
class Reading:
    """A reader, and which properties it is asked for, with shape `(K,)`."""

    reader: Reader
    of: Tensor


@dataclass(frozen=True)
class Rows:
    """Every row and its images under the symmetries, as the prior sees them.

    Arguments:
        phi: Settings, with shape `(R, P)`.
        m: Standardised properties, with shape `(R, K)`; NaN where unknown.
        law: What the reader says of the properties; None if nobody asks it.
        read: Where m is drawn from that law, with shape `(R, K)`.
        ends: The standardised detection limits.
        weight: How much each member of the prior learns from a row, 0 or 2 of one in pairs, with
            shape `(members, R)`.
        trend: What each member's Gaussian process expects without the row's setting, with shape
            `(members, R, K)`; None to ask it at the settings as they are.
        spread: How far the properties typically are from that, with shape `(K,)`.
        moved_by: Symmetries with too many elements to list, of which each step takes one.
        model: Whose settings and properties they are.
    """

    phi: Tensor
    m: Tensor
    law: EntrywiseMixture | None
    read: Tensor
    ends: Tensor
    weight: Tensor
    trend: Tensor | None
    spread: Tensor
    moved_by: tuple[Symmetry, ...]
    model: PSPGen

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: PSPGen,
        train: Batch,
        symmetries: tuple[Symmetry, ...],
        reading: Reading | None,
        *,
        afresh: bool,
    ) -> Rows:
        """The rows of `train` and their images; the prior's Gaussian processes learn from them,
        `afresh` or with the lengths that they have."""
        settings, properties, parts, order = [], [], [], []
        whole = torch.arange(len(train))
        for i, batch in enumerate(train.ordered(_ROWS)):
            for rows in batch.orbit(symmetries, model.process):
                order.append(whole[i * _ROWS :][: len(rows)])
                settings.append(rows.phi)
                properties.append(model.standardise_properties(rows.m))
                if reading is not None:
                    parts.append(reading.reader.taken_at_its_word(rows.images).parts)
        m, law, read = torch.cat(properties), None, torch.zeros(())
        if reading is not None:
            law = EntrywiseMixture(*(torch.cat(column) for column in zip(*parts, strict=True)))
            read = m.isnan() & reading.of
        rows = torch.cat(order)
        setting = torch.unique(train.phi, dim=0, return_inverse=True)[1].cpu()
        weight = halves(train, setting, model.prior.members).to(m)[:, rows]
        many = tuple(s for s in symmetries if s.of_settings)
        phi = torch.cat(settings)
        carried, trend, spread = model.prior.trend, None, m.new_ones(m.shape[1])
        if carried is not None and not many:
            inputs, group = model.standardise(phi), setting[rows]
            trend, spread = carried.learn(inputs, m, group, weight, afresh=afresh)
        elif carried is not None and afresh:
            carried.forget()
        ends = model.standard_ends
        return cls(phi, m, law, read, ends, weight, trend, spread, many, model)

    def moved(self, index: Tensor) -> Tensor:
        """The settings of some rows under a random element of what cannot be listed."""
        phi = self.phi[index]
        for symmetry in self.moved_by:
            phi = symmetry.settings(self.model.process, phi)
        return phi

    def log_prob(self, index: Tensor, phi: Tensor, m: Tensor, drop: float) -> Tensor:
        """What every member says of m at some rows, whose settings are `phi`, with shape
        `(members, R)`."""
        inputs = self.model.standardise(phi)
        trend = None if self.trend is None else self.trend[:, index]
        laws: Any = self.model.prior.laws(inputs, drop, trend)
        laws = self.model.decoder_m.marginal(laws)
        between = NormalMixture.normalised(laws.log_weights, laws.loc, laws.scale, self.ends)
        return robust(between.log_prob(m), m)

    @property
    def judged(self) -> bool:
        """Whether some member has not learned from some row."""
        return bool((self.weight == 0).any())

    @torch.no_grad()
    def told_unseen(self) -> float:
        """The mean of what the mixture of those members that did not learn from a row says of its
        properties, known or read."""
        total, count = 0.0, 0
        for index in torch.arange(len(self.phi)).split(_ROWS * 8):
            m = self.drawn(index)
            each = self.log_prob(index, self.phi[index], m, 0.0)
            unseen = self.weight[:, index] == 0
            judges = unseen.sum(0)
            rows = m.isfinite().any(-1) & (judges > 0)
            told = each.masked_fill(~unseen, -torch.inf).logsumexp(0) - judges.log()
            total += float(told[rows].sum())
            count += int(rows.sum())
        return total / max(1, count)

    def drawn(self, index: Tensor) -> Tensor:
        """The properties of some rows, with what is read."""
        if self.law is None:
            return self.m[index]
        law = EntrywiseMixture(*(part[index] for part in self.law.parts))
        return torch.where(self.read[index], clamped(law.sample(), self.ends), self.m[index])

    def indices(self, size: int) -> Iterator[Tensor]:
        """Batches of rows in ever new orders."""
        while True:
            yield from torch.randperm(len(self.phi)).split(size)


def halves(rows: Batch, setting: Tensor, members: int) -> Tensor:
    """What each member learns from, 0 or 2, with shape `(members, N)`: the members of a pair share
    the settings out evenly, those with known properties and those without apart; 1 where there are
    too few to share. `setting` is the number of each row's."""
    known = torch.bincount(setting, rows.partly_labelled.cpu())
    pools = [pool for pool in ((known > 0).nonzero(), (known == 0).nonzero()) if len(pool)]
    weight = torch.ones(members, len(known))
    if members < 2 or len(pools[0]) < 2:
        return weight[:, setting]
    for k in range(0, members, 2):
        for pool in pools:
            first = pool[torch.randperm(len(pool)), 0][: len(pool) // 2]
            weight[k : k + 2, pool[:, 0]] = torch.tensor([[0.0], [2.0]])[: members - k]
            weight[k : k + 2, first] = torch.tensor([[2.0], [0.0]])[: members - k]
    return weight[:, setting]
