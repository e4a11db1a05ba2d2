r"""Are the microstructures right? Reconstructed and generated ones beside real ones.

*Reconstruction.* A real x is encoded to the mean of :math:`q(z_0 \mid x, m, \varphi)` and decoded
to the most probable image. Its accuracy is the fraction of pixels that are right, beside that of
the one phase that most pixels have, and the share of directions whose void percolates as before.

*Generation.* At one :math:`\varphi`, :math:`z_0` comes from its prior. Real and generated images
are compared by the void fraction; by the mean two-point correlation :math:`\bar C(r)`, whose
difference is

.. math::
    \mathrm{RMS}^2 = \max\Bigl(0, \frac{1}{n^2} \sum_r \bigl[(\bar C_1(r) - \bar C_2(r))^2
        - v_1(r) - v_2(r)\bigr]\Bigr)

with the noise :math:`v(r)` of each mean taken off; and by the energy distance of their properties
by the same solver,

.. math::
    \mathcal{E} = 2\, \mathbb{E}\|m_1 - m_2\| - \mathbb{E}\|m_1 - m_1'\|
        - \mathbb{E}\|m_2 - m_2'\|,

0 for equal laws; permutations of the pooled materials give its p-value.

References:
    Energy statistics: A class of statistics based on distances (Székely & Rizzo, 2013)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from ..design import Estimate, Materials
from ..errors import InputError
from ..model import PSPGen
from ..properties import percolation
from ..runs import Run
from ..structure import two_point_correlation
from .calibration import clustered_mean
from .solved import SolvedImages, materials_at

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = [
    "Generated",
    "Reconstruction",
    "energy_distance",
    "generated_check",
    "reconstruction_check",
    "spread_settings",
]

_BATCH = 500
_PERMUTATIONS = 499


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """How much of x survives encoding and decoding.

    Arguments:
        x: The real images, with shape `(N, H, W)`.
        back: Their reconstructions.
        accuracy: The fraction of pixels that are right.
        majority: The fraction of pixels of the phase that most pixels have: the accuracy of an
            answer that knows nothing of x.
        percolation: The share of directions that percolate in both or in neither.
    """

    x: NDArray[np.uint8]
    back: NDArray[np.uint8]
    accuracy: Estimate
    majority: float
    percolation: Estimate

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "images": len(self.x),
            "accuracy": self.accuracy.to_json(),
            "majority_class": self.majority,
            "percolates_alike": self.percolation.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Generated:
    """Real and generated materials of one setting.

    Arguments:
        phi: The setting, with shape `(P)`.
        real: Real ones.
        generated: The model's.
        void: Generated minus real mean void fraction.
        correlation: The difference of the mean two-point correlations, without noise.
        noise: The standard deviation of the difference that the noise alone would leave.
        distance: The energy distance of the properties; None where the generated have none.
        p_value: The share of permutations with at least that distance; None likewise.
        unsolved: How many of each have no finite property.
        void_label: The label of the void, the last phase.
    """

    phi: NDArray[np.float64]
    real: SolvedImages
    generated: SolvedImages
    void: Estimate
    correlation: float
    noise: float
    distance: float | None
    p_value: float | None
    unsolved: tuple[int, int]
    void_label: int = 1

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        pair = {"real": self.real, "generated": self.generated}
        void = {name: _void(one.x == self.void_label) for name, one in pair.items()}
        return {
            "phi": self.phi.tolist(),
            "materials": {
                name: {"source": one.source, "count": len(one.x)} for name, one in pair.items()
            },
            "void_fraction": {name: float(void[name].mean()) for name, one in pair.items()},
            "void_fraction_sd": {name: float(void[name].std()) for name, one in pair.items()},
            "void_fraction_difference": self.void.to_json(),
            "two_point_correlation": {"rms_difference": self.correlation, "noise": self.noise},
            "blocked": {name: one.blocked for name, one in pair.items()},
            "energy_distance": self.distance,
            "p_value": self.p_value,
            "without_property": dict(zip(pair, self.unsolved, strict=True)),
        }


def reconstruction_check(
    model: PSPGen, materials: Materials, group: ArrayLike | None = None
) -> Reconstruction:
    """Encodes and decodes real images.

    Arguments:
        model: The trained model.
        materials: Real or simulated materials.
        group: The number of the setting of each, with shape `(N)`; every one of its own if None.

    Raises:
        InputError: If there is no material.
    """
    if not len(materials):
        raise InputError("'materials' is empty; give at least one material.")
    back = _reconstruct(model, materials)
    index = np.arange(len(back)) if group is None else np.asarray(group)
    right = (back == materials.images).reshape(len(back), -1).mean(axis=1)
    share = np.bincount(materials.images.ravel()).max() / materials.images.size
    last = model.schema.images.last_label
    both = (percolation(materials.images == last) == percolation(back == last)).mean(axis=1)
    return Reconstruction(
        materials.images,
        back,
        clustered_mean(right, index),
        float(share),
        clustered_mean(both, index),
    )


def generated_check(
    run: Run, triads: Triads, phi: ArrayLike, *, count: int = 200, seed: int = 0
) -> list[Generated]:
    """Compares real and generated materials at several settings.

    Arguments:
        run: The run.
        triads: Reference triads; those nearest to a setting are the real ones where there is no
            simulator.
        phi: The settings, with shape `(S, P)`.

    Other arguments:
        count: How many materials of each kind a setting.
        seed: Seeds them.

    Raises:
        InputError: If a setting lies outside the process space or `count` is less than ten.
    """
    if count < 10:
        raise InputError(f"'count' is {count}; take at least 10 materials a setting.")
    found = []
    for i, setting in enumerate(np.atleast_2d(run.members[0].process.check(phi))):
        real, made = materials_at(run, setting, triads, count=count, seed=seed + i)
        found.append(_compare(setting, real, made, run.schema.images.last_label, seed + i))
    return found


def energy_distance(
    first: ArrayLike, second: ArrayLike, *, permutations: int = _PERMUTATIONS, seed: int = 0
) -> tuple[float, float]:
    """The energy distance of two samples without bias, and its p-value.

    Arguments:
        first: Points, with shape `(N, K)`.
        second: Points, with shape `(M, K)`.

    Other arguments:
        permutations: How often the pooled points are dealt out anew.
        seed: Seeds them.

    Returns:
        The distance, which may be negative by chance, and the share of deals with at least it.

    Raises:
        InputError: If a sample has fewer than two points.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> energy_distance(rng.normal(size=(50, 1)), 3 + rng.normal(size=(50, 1)))[1]
        0.002
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise InputError(f"the samples have {n} and {m} points; a distance takes 2 of each.")
    pooled = np.concatenate([a, b])
    table, rng = cdist(pooled, pooled), np.random.default_rng(seed)
    deals = np.array([np.arange(n + m), *(rng.permutation(n + m) for _ in range(permutations))])
    mine = np.zeros((len(deals), n + m))
    np.put_along_axis(mine, deals[:, :n], 1.0, axis=1)
    theirs = 1 - mine
    near = mine @ table
    within, across = (near * mine).sum(axis=1), (near * theirs).sum(axis=1)
    beyond = ((theirs @ table) * theirs).sum(axis=1)
    value = 2 * across / (n * m) - within / (n * (n - 1)) - beyond / (m * (m - 1))
    return float(value[0]), float((value >= value[0]).mean())


def spread_settings(phi: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """At most `count` settings far apart: the most central one, then always the one farthest from
    those chosen, in units of the range of each parameter.

    Example:
        >>> spread_settings(np.array([[0.0], [0.4], [1.0]]), 2).ravel().tolist()
        [0.4, 1.0]
    """
    unit = (phi - phi.min(axis=0)) / np.maximum(np.ptp(phi, axis=0), 1e-12)
    chosen = [int(((unit - 0.5) ** 2).sum(axis=1).argmin())]
    while len(chosen) < min(count, len(phi)):
        chosen.append(int(cdist(unit, unit[chosen]).min(axis=1).argmax()))
    return phi[chosen]


@torch.no_grad()
def _reconstruct(model: PSPGen, materials: Materials) -> NDArray[np.uint8]:
    model.eval()
    parts = []
    for i in range(0, len(materials), _BATCH):
        x, m, phi = (
            model.tensor(values[i : i + _BATCH])
            for values in (materials.images, materials.m, materials.phi)
        )
        z0 = model.latent_given(x, m, phi).mean
        parts.append(model.decoder_x.likeliest(z0, model.latent_of_process(phi)).cpu().numpy())
    return np.concatenate(parts)


def _compare(
    phi: NDArray[np.float64], real: SolvedImages, made: SolvedImages, last: int, seed: int
) -> Generated:
    correlation, noise = _correlation_gap(real.x == last, made.x == last)
    void = [_void(one.x == last) for one in (real, made)]
    error = sum(v.var(ddof=1) / len(v) for v in void) ** 0.5
    known = [one.m[np.isfinite(one.m).all(axis=1)] for one in (real, made)]
    distance = (None, None)
    if min(len(m) for m in known) >= 2:
        distance = energy_distance(*known, seed=seed)
    unsolved = (len(real.m) - len(known[0]), len(made.m) - len(known[1]))
    gap = Estimate(np.asarray(void[1].mean() - void[0].mean()), np.asarray(error))
    return Generated(phi, real, made, gap, correlation, noise, *distance, unsolved, last)


def _correlation_gap(first: NDArray, second: NDArray) -> tuple[float, float]:
    pairs = [two_point_correlation(x, dimensions=x.ndim - 1) for x in (first, second)]
    noise = sum(c.var(axis=0, ddof=1) / len(c) for c in pairs)
    square = (pairs[0].mean(axis=0) - pairs[1].mean(axis=0)) ** 2
    return max(0.0, float((square - noise).mean())) ** 0.5, float(np.mean(noise)) ** 0.5


def _void(void: NDArray[np.bool_]) -> NDArray[np.float64]:
    return void.reshape(len(void), -1).mean(axis=1)


def names_of(found: Sequence[Generated], names: Sequence[str]) -> list[str]:
    """The setting of each by the names of its first parameters, for titles."""
    rows = []
    for one in found:
        some = [f"{name} = {value:.3g}" for name, value in zip(names, one.phi, strict=True)]
        rows.append(", ".join(some[:2]) + (", …" if len(some) > 2 else ""))
    return rows
