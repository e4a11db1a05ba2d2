r"""An ensemble of PSP-GEN as one predictor: the even mixture of its members,

.. math:: p(m \mid \varphi) = \frac{1}{K} \sum_{k=1}^{K} p_k(m \mid \varphi).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from torch import Tensor

from ..design import Target
from ..errors import InputError
from ..io.validation import check_positive, check_seed
from ..model import PSPGen
from .base import Predictor, PSPGenPredictor

__all__ = ["EnsemblePredictor"]


class EnsemblePredictor(Predictor):
    """The mixture of trained models, each with its latent integrated out at the same Sobol points.

    Arguments:
        members: The models, such as an `Ensemble`.
        name: What tables and figures call it.

    Other arguments:
        options: Those of `PSPGenPredictor`.

    Raises:
        InputError: If there is no member.
    """

    def __init__(self, members: Sequence[PSPGen], name: str = "ensemble", **options: Any) -> None:
        if not len(members):
            raise InputError("'members' is empty; give at least one model.")
        self._each = [PSPGenPredictor(one, name, **options) for one in members]
        self.name = name
        self.process = members[0].process
        self.property_names = members[0].property_names

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        return np.mean([one.probability(target, phi) for one in self._each], axis=0)

    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        densities = [one.log_density(phi, m) for one in self._each]
        return np.asarray(logsumexp(densities, axis=0)) - math.log(len(densities))

    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        check_positive(draws=draws)
        check_seed(seed)
        rng = np.random.default_rng(seed)
        chosen = rng.integers(len(self._each), size=draws)
        inputs = self._inputs(phi)
        found = np.empty((len(inputs), draws, len(self.property_names)))
        for k, one in enumerate(self._each):
            own, mine = int(rng.integers(2**31)), np.flatnonzero(chosen == k)
            if len(mine):
                found[:, mine] = one.sample(phi, len(mine), own)
        return found

    @property
    def _like(self) -> Tensor:
        return self._each[0].model.m_loc
