r"""Forest weights: the training rows themselves, weighted by how near a forest finds them.

.. math::
    P(m \in \mathcal{M}_d \mid \varphi) = \sum_i w_i(\varphi)\, 1[m_i \in \mathcal{M}_d],
    \qquad
    w_i(\varphi) = \frac{1}{T} \sum_{t=1}^{T}
        \frac{1[\ell_t(\varphi_i) = \ell_t(\varphi)]}
        {\#\{j : \ell_t(\varphi_j) = \ell_t(\varphi)\}}

with the leaf :math:`\ell_t(\varphi)` of φ in tree :math:`t`. Nothing is assumed of the shape of
the law: ties at a detection limit stay ties, an outlier stays one row. A draw is a row of a leaf
of a tree, both chosen at random; there is no density.

References:
    Quantile regression forests (Meinshausen, 2006), https://jmlr.org/papers/v7/meinshausen06a.html
    Extremely randomized trees (Geurts, Ernst & Wehenkel, 2006)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..design import Target
from ..io.optional import optional
from ..process import Symmetry
from ._learning import Scaling, images, labelled_rows
from .base import Rival, generator_of, to_numpy

if TYPE_CHECKING:
    from ..data.batches import Batch

__all__ = ["ForestWeights"]

# (φ, tree) pairs a pass
_CHUNK = 1 << 22


@dataclass
class ForestWeights(Rival):
    """The training rows weighted by the leaves of extremely randomised trees (scikit-learn).

    Rows of which some property is unknown are left out.

    Arguments:
        trees: The number :math:`T` of trees.
        leaf: The smallest number of rows of a leaf.
        name: What tables and figures call it.
    """

    trees: int = 300
    leaf: int = 3
    name: str = "forest weights"
    has_density: ClassVar[bool] = False

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        phi, m = labelled_rows(train)
        self.scaling = Scaling(self.process, m)
        phi, m, count = images(symmetries, self.process, phi, m)
        self.m = self._exact(m)
        sklearn = optional("sklearn.ensemble", "The rival 'forest'", "rivals")
        self.forest = sklearn.ExtraTreesRegressor(
            self.trees,
            # the images of a row under the symmetries count as one row
            min_samples_leaf=self.leaf * count,
            random_state=int(torch.randint(2**31, ())),
        )
        values = to_numpy(self.scaling.m(m))
        # scikit-learn warns of a single column
        values = values[:, 0] if values.shape[1] == 1 else values
        self.forest.fit(to_numpy(self.scaling.phi(phi)), values)
        leaves = self._leaves(phi)
        # the rows of leaf ℓ of tree t are order[t, start[t, ℓ] : start[t, ℓ] + size[t, ℓ]]
        self.order = np.argsort(leaves, axis=0, kind="stable").T
        self.size = np.stack([np.bincount(c, minlength=leaves.max() + 1) for c in leaves.T])
        self.start = self.size.cumsum(axis=1) - self.size

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        hits = target.contains(self.m)[self.order].cumsum(axis=1)
        hits = np.pad(hits, ((0, 0), (1, 0)))
        trees = np.arange(self.trees)
        found = []
        for part in inputs.split(max(1, _CHUNK // self.trees)):
            leaf = self._leaves(part)
            start, size = self.start[trees, leaf], self.size[trees, leaf]
            inside = hits[trees, start + size] - hits[trees, start]
            found.append((inside / size).mean(axis=1))
        return np.concatenate(found).reshape(np.shape(phi)[:-1])

    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        raise self._refusal(
            "how its training rows weigh and no density of m", "`probability` or `sample`"
        )

    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        generator_of(draws, seed)
        leaf, rng = self._leaves(self._inputs(phi)), np.random.default_rng(seed)
        tree = rng.integers(self.trees, size=(len(leaf), draws))
        chosen = np.take_along_axis(leaf, tree, axis=1)
        place = self.start[tree, chosen] + rng.integers(self.size[tree, chosen])
        return self.m[self.order[tree, place]]

    def _leaves(self, phi: torch.Tensor) -> NDArray[np.int64]:
        """The leaf of each φ in each tree, with shape `(N, T)`."""
        return self.forest.apply(to_numpy(self.scaling.phi(phi)))
