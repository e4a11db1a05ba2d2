r"""Logistic regression on the indicator of the target: a probability and nothing else.

.. math::
    P(m \in \mathcal{M}_d \mid \varphi) = \frac{1}{1 + \exp(-w^\top f(\varphi))},

where :math:`f` are the monomials of the standardised φ up to a degree. It is fitted anew for every
target it is asked about, on the training rows it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..design import Target
from ..io.optional import optional
from ..process import Symmetry
from ._learning import Scaling, images, labelled_rows
from .base import Rival, to_numpy

if TYPE_CHECKING:
    from ..data.batches import Batch

__all__ = ["LogisticIndicator"]


@dataclass
class LogisticIndicator(Rival):
    """Logistic regression on polynomials of φ (scikit-learn), fitted for each target when asked.

    Arguments:
        degree: The degree of the polynomials.
        strength: The inverse strength of the quadratic penalty on the weights (scikit-learn's C).

    Other arguments:
        name: What tables and figures call it.
    """

    degree: int = 4
    strength: float = 10.0
    name: str = "logistic regression"
    has_density: ClassVar[bool] = False
    has_draws: ClassVar[bool] = False

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        phi, m = labelled_rows(train)
        self.scaling = Scaling(self.process, m)
        phi, m, count = images(symmetries, self.process, phi, m)
        self.phi, self.m = to_numpy(self.scaling.phi(phi)), self._exact(m)
        # the images of a row count as one row together
        self.weight = 1 / count
        self.fitted: dict[Target, Any] = {}

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        if target not in self.fitted:
            self.fitted[target] = self._regression(target)
        values = to_numpy(self.scaling.phi(inputs))
        return self.fitted[target](values).reshape(np.shape(phi)[:-1])

    def _regression(self, target: Target) -> Callable[[NDArray[np.float64]], Any]:
        """The fitted regression, or one number if the rows are all in or all out."""
        hits = target.contains(self.m)
        if hits.all() or not hits.any():
            # half a row on the other side: certainty cannot be counted
            rows = len(hits) * self.weight
            share = (hits.sum() * self.weight + 0.5) / (rows + 1)
            return lambda values: np.full(len(values), share)
        features, linear, pipeline = (
            optional(f"sklearn.{module}", "The rival 'logistic'", "rivals")
            for module in ("preprocessing", "linear_model", "pipeline")
        )
        model = pipeline.make_pipeline(
            features.PolynomialFeatures(self.degree, include_bias=False),
            linear.LogisticRegression(C=self.strength, max_iter=2000),
        )
        weights = np.full(len(hits), self.weight)
        model.fit(self.phi, hits, logisticregression__sample_weight=weights)
        return lambda values: model.predict_proba(values)[:, 1]

    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        raise self._refusal("the probability of a target and no density of m", "`probability`")

    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        raise self._refusal("the probability of a target and draws no m", "`probability`")
