r"""Reference materials: their properties, grouped by the settings that made them.

A target's fraction at setting :math:`g` is :math:`\hat q_g = n_g^{-1} \sum_{i \in g} 1[m_i \in
\mathcal{M}_d]`, where :math:`n_g` may be 1: replicates are no condition. Probabilities are
compared with it at every setting; draws and densities, which cost more, are scored on some of the
materials, spread over all settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.scales import robust_scale
from ..design import Box, Target
from ..errors import InputError
from ..process import ProcessSpace
from ..schema import Schema
from ..study import CASES, case

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = ["ReferenceMaterials", "decile_targets", "spread_rows", "study_targets"]

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReferenceMaterials:
    """Properties of reference materials, grouped by their settings.

    Arguments:
        schema: What a triad is.
        phi: The different settings, with shape `(G, P)`.
        m: The properties, with shape `(N, K)`.
        group: The setting of each material, with shape `(N)`.
        rows: The materials on which draws and densities are scored, as evenly spread over the
            settings as can be, with shape `(R)`.
        index: The sample of the triads set that each material is, with shape `(N)`.
    """

    schema: Schema
    phi: _Array
    m: _Array
    group: NDArray[np.int64]
    rows: NDArray[np.int64]
    index: NDArray[np.int64]

    @classmethod
    def of(
        cls, triads: Triads, *, rows: int = 4000, settings: int = 2000, seed: int = 0
    ) -> ReferenceMaterials:
        """The materials of a triads set; those of which some property is unknown are left out.

        Arguments:
            triads: The triads, of any number of replicates a setting.

        Other arguments:
            rows: The largest number of materials on which draws and densities are scored.
            settings: The largest number of settings; of more, that many are drawn.
            seed: Seeds both choices.

        Raises:
            InputError: If fewer than ten materials are known, or a property is infinite.
        """
        data = triads.data
        m = np.asarray(data["m"].values, dtype=float)
        if np.isinf(m).any():
            raise InputError(
                f"'reference' has {int(np.isinf(m).any(axis=1).sum())} sample(s) with an infinite "
                "m; declare a detection limit, or leave the value empty if it is unknown."
            )
        rng, known = np.random.default_rng(seed), np.flatnonzero(~np.isnan(m).any(axis=1))
        index = data["phi_index"].values
        different = np.unique(index[known])
        if len(different) > settings:
            known = known[np.isin(index[known], rng.choice(different, settings, replace=False))]
        if len(known) < 10:
            raise InputError(
                f"'reference' has {len(known)} material(s) with known properties; give at least "
                "10."
            )
        _, first, group = np.unique(index[known], return_index=True, return_inverse=True)
        phi = data["phi"].values[known[first]]
        return cls(triads.schema, phi, m[known], group, spread_rows(group, rows, rng), known)

    @property
    def process(self) -> ProcessSpace:
        """The process space."""
        return self.schema.process

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties."""
        return self.schema.property_names

    @property
    def scale(self) -> _Array:
        """The robust scale of each property over the materials, with shape `(K)`."""
        return robust_scale(self.m)[1]

    @property
    def samples(self) -> NDArray[np.int64]:
        """How many materials each setting has, with shape `(G)`."""
        return np.bincount(self.group, minlength=len(self.phi))

    def fraction(self, target: Target) -> _Array:
        """The fraction of the materials of each setting in the target, with shape `(G)`."""
        hits = np.bincount(self.group, weights=target.contains(self.m), minlength=len(self.phi))
        return hits / self.samples

    @property
    def axes(self) -> list[_Array] | None:
        """The values of each parameter if the settings are a full grid of them, else None."""
        axes = [np.unique(column) for column in self.phi.T]
        sizes = [len(axis) for axis in axes]
        return axes if math.prod(sizes) == len(self.phi) and min(sizes) > 1 else None

    def surface(self, values: NDArray[Any]) -> xr.DataArray:
        """Values of the settings, with shape `(G)`, over one dimension a process parameter.

        Raises:
            InputError: If the settings are no full grid.
        """
        if (axes := self.axes) is None:
            raise InputError(
                f"'reference' has {len(self.phi)} different φ, which are no full grid; simulate "
                "one with `pspgen simulate CASE --split reference`."
            )
        table = values[np.lexsort(self.phi.T[::-1])].reshape([len(axis) for axis in axes])
        return xr.DataArray(table, coordinates(self.process, axes), self.process.names)


def coordinates(
    process: ProcessSpace, axes: Sequence[_Array]
) -> dict[str, tuple[str, _Array, dict[str, str]]]:
    """The coordinates of a grid of settings, with their units."""
    entries = zip(process.names, axes, process.units, strict=True)
    return {name: (name, axis, {"units": unit}) for name, axis, unit in entries}


def study_targets(triads: Triads) -> dict[str, Target]:
    """The targets of the study's case that the triads belong to; none if they belong to none."""
    name = triads.data.attrs.get("case")
    if name not in CASES:
        return {}
    return {key: Box(*ends) for key, ends in case(name).targets.items()}


def decile_targets(reference: ReferenceMaterials) -> dict[str, Target]:
    """For each property its bottom and its top decile over the reference, whatever the others do.

    Ties at the edge of a decile (at a detection limit, say) belong to it. A decile that all
    materials are in is no question and left out.

    Returns:
        The targets by name, "low" and "high" with the name of the property.
    """
    found: dict[str, Target] = {}
    k = len(reference.property_names)
    for j, name in enumerate(reference.property_names):
        values = reference.m[:, j]
        low, high = (float(q) for q in np.quantile(values, (0.1, 0.9), method="nearest"))
        for which, a, b in (("low", -np.inf, low), ("high", high, np.inf)):
            lower, upper = [-np.inf] * k, [np.inf] * k
            lower[j], upper[j] = a, b
            target = Box(tuple(lower), tuple(upper))
            if not target.contains(reference.m).all():
                found[f"{which} {name}"] = target
    return found


def spread_rows(
    group: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """At most `count` indices, as evenly spread over the groups as can be, in ascending order."""
    order = rng.permutation(len(group))
    by_group = order[np.argsort(group[order], kind="stable")]
    sizes = np.bincount(group)
    turn = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # members of one turn come in random order, so that a part of a turn favours no group
    return np.sort(by_group[np.lexsort((rng.random(len(group)), turn))[:count]])
