"""The probability of a target at settings that somebody chose: nothing is taken off, for nobody
searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from ..model import PSPGen
from ..model.ensemble import Ensemble
from .chances import Probability
from .estimates import EnsembleEstimate
from .parsing import Requirement
from .target import Target
from .tolerance import Tolerance

__all__ = ["probability"]


def probability(
    model: PSPGen | Ensemble,
    target: Target | Requirement,
    phi: ArrayLike,
    *,
    tolerance: Mapping[str, Any] | str | Tolerance | None = None,
    draws: int = 1024,
    replicates: int = 8,
    seed: int = 1,
) -> EnsembleEstimate:
    r"""The probability :math:`P(m \in \mathcal{M}_d \mid \varphi)`, with a 90 % interval for what
    training could not know.

    Arguments:
        model: The trained model, or an ensemble.
        target: The region.
        phi: Process parameters, with shape `(*, P)`.

    Other arguments:
        tolerance: How well φ is held, such as `{"T": 5, "t": "2 %"}`: P is then the mean over
            φ + δ, see `design.tolerance`.
        draws: Sobol points a scrambling, of z0 and of δ; unused where p(m | φ) has a closed form,
            a quarter of them there for δ.
        replicates: Independent scramblings; the standard error is that of their mean.
        seed: Seeds the scramblings.

    Raises:
        InputError: If φ, or φ with its tolerance, lies outside the process space, the target has
            another dimension than m, the tolerance cannot be read, or there are fewer than two
            replicates.
    """
    values = model.process.check(phi)
    held = None if tolerance is None else Tolerance.of(tolerance, model.process)
    asked = Probability(target.resolve(model.schema), held)
    return asked.estimate(model, values, draws=draws, replicates=replicates, seed=seed)
