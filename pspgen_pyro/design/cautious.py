"""A probability that shall be high even at the lower end of its interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from ..model import PSPGen
from ..model.ensemble import Ensemble
from .chances import Chance, Probability, mean_log, typical_variance
from .estimates import link, reach_of
from .target import Target

__all__ = ["Cautious", "Derived"]


class Derived(Chance):
    """A chance that is made of another one, `of`."""

    of: Chance

    @property
    def parts(self) -> tuple[Probability, ...]:
        return self.of.parts

    def exactly(self) -> Derived:
        return replace(self, of=self.of.exactly())  # type: ignore[type-var]

    def grouped(self, logs: Tensor) -> Tensor:
        return self.of.grouped(logs)

    def check(self, model: PSPGen | Ensemble) -> None:
        self.of.check(model)

    def prepared(self, model: PSPGen | Ensemble, noise: Tensor) -> Derived:
        return replace(self, of=self.of.prepared(model, noise))  # type: ignore[type-var]


@dataclass(frozen=True)
class Cautious(Derived):
    r"""The lower end of the 90 % interval of the probability of a region; its score is
    :math:`h(\bar P) - 1.4\, t\, \tilde s`, see `estimates`. The value is P itself.

    Arguments:
        of: The region, or the probability of one or several.
        typical: The mean over the process space of the variance of :math:`h(P_k)`, one a group;
            None until the model is known.
    """

    of: Chance
    typical: tuple[float, ...] | None = None

    def __init__(self, of: Target | Chance, typical: tuple[float, ...] | None = None) -> None:
        object.__setattr__(self, "of", Probability(of) if isinstance(of, Target) else of)
        object.__setattr__(self, "typical", typical)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.of.smooth

    def prepared(self, model: PSPGen | Ensemble, noise: Tensor) -> Cautious:
        """With the networks' typical variance."""
        spread = self.grouped(self.at_places(model, noise))
        return replace(self, typical=tuple(map(typical_variance, spread)))

    def check(self, model: PSPGen | Ensemble) -> None:
        """There must be several networks, and the region must have the dimension of the
        properties."""
        super().check(model)
        count = sum(max(1, member.prior.members) for member in model.members)
        if count < 2:
            raise InputError(
                "'target' is to be met cautiously, but this model has one network, which does not "
                "know how sure it is; train a default model, or an ensemble."
            )

    def pieces(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        """The lower ends, as values of h."""
        known = self if self.typical is not None else self.prepared(model, noise)
        each = self.each(model, phi, noise)
        mean, own = self.grouped(mean_log(each)).exp(), self.grouped(each).exp()
        rows = zip(mean, own, known.typical or (), strict=True)
        return torch.stack([link(p) - reach_of(k, typical) for p, k, typical in rows])

    def level(self, p: float) -> float:
        return float(link(p))

    def promise(self, score: Tensor) -> Tensor:
        # beyond 0 and 1 too, where `unlink` has no slope
        return (torch.sigmoid(score) - 0.01) / 0.98

    def __str__(self) -> str:
        return f"cautious {self.of}"
