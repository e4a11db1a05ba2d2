r"""Two-point features: a few numbers that tell a microstructure.

The two-point map of a phase on the periodic cell,

.. math:: S_2(r) = \frac{1}{HW} \sum_s v(s)\, v(s + r) = \mathcal{F}^{-1}[|\hat v|^2](r) / HW,

with :math:`v = 1` in the phase and :math:`S_2(0)` its fraction, is taken of every phase but the
first: of the void where there are two, since the other maps are affine in it. Their principal
components :math:`w_i`, as few as explain a share of the variance, give the scores

.. math:: \alpha_i = \bigl(w_i^\top (S_2 - \bar S_2) - \mu_i\bigr) / \sigma_i

with mean 0 and variance 1 over the training rows. The maps are centred and not scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...io.optional import optional
from ...structure import two_point_correlation

__all__ = ["TwoPointScores", "two_point_maps"]

# maps longer than this get a randomised solver in single precision
_LONG = 8192
_CHUNK = 500


@dataclass(frozen=True)
class TwoPointScores:
    """The standardised scores of two-point maps.

    Arguments:
        phases: The number of phases of the images.
        centre: The mean map of the training rows, with shape `(F)`.
        components: The principal components, with shape `(q, F)`.
        scale: The standard deviations of the scores, with shape `(q)`.
        explained: The cumulative shares of the variance, with shape `(q)`.
    """

    phases: int
    centre: NDArray[np.floating]
    components: NDArray[np.floating]
    scale: NDArray[np.floating]
    explained: NDArray[np.floating]

    @classmethod
    def fit(cls, x: Tensor, phases: int = 2, share: float = 0.9, seed: int = 0) -> Self:
        """The fewest components that explain a share of the variance.

        Arguments:
            x: Labels, with shape `(N, H, W)`; the training rows alone.
            phases: The number of phases.

        Other arguments:
            share: The share of the variance.
            seed: Seeds the randomised solver that long maps need.

        Raises:
            MissingDependencyError: If scikit-learn is missing.
        """
        maps = two_point_maps(x, phases)
        found = _components(maps, share, seed)
        explained = found.explained_variance_ratio_.cumsum()
        q = min(int(np.searchsorted(explained, share)) + 1, len(explained))
        components = found.components_[:q]
        scale = ((maps - found.mean_) @ components.T).std(axis=0)
        return cls(phases, found.mean_, components, scale, explained[:q])

    def __len__(self) -> int:
        return len(self.components)

    def __call__(self, x: Tensor) -> Tensor:
        """The scores of labels with shape `(N, H, W)`, with shape `(N, q)`, in double
        precision."""
        scores = [
            (two_point_maps(part, self.phases) - self.centre) @ self.components.T / self.scale
            for part in x.split(_CHUNK)
        ]
        return torch.tensor(np.concatenate(scores), dtype=torch.float64)


def two_point_maps(x: Tensor, phases: int = 2) -> NDArray[np.floating]:
    """The two-point maps of every phase but the first, flat and one after the other.

    Arguments:
        x: Labels, with shape `(N, H, W)` or `(N, D, H, W)`.
        phases: The number of phases.

    Returns:
        The maps, with shape `(N, (phases - 1) * pixels)`; single precision where they are long.

    Example:
        >>> two_point_maps(torch.tensor([[[1, 0], [1, 0]]]))
        array([[0.5, 0. , 0.5, 0. ]])
    """
    size, dimensions = (phases - 1) * x[0].numel(), x.ndim - 1
    maps = np.empty((len(x), size), dtype=np.float32 if size > _LONG else np.float64)
    for start in range(0, len(x), _CHUNK):
        part = x[start : start + _CHUNK].cpu().numpy()
        each = [
            two_point_correlation(part == phase, dimensions=dimensions)
            for phase in range(1, phases)
        ]
        maps[start : start + _CHUNK] = np.stack(each, axis=1).reshape(len(part), size)
    return maps


def _components(maps: NDArray[np.floating], share: float, seed: int) -> Any:
    """A fitted `PCA` with at least as many components as the share needs."""
    pca = optional("sklearn.decomposition", "The comparison method", "study").PCA
    most = min(maps.shape)
    if maps.shape[1] <= _LONG:
        return pca(svd_solver="full").fit(maps)
    count = min(32, most)
    while True:
        found = pca(count, svd_solver="randomized", random_state=seed).fit(maps)
        if found.explained_variance_ratio_.sum() >= share or count == most:
            return found
        count = min(2 * count, most)
