r"""The cases of the study: which chain, which data, which targets.

| case | pixels | parameters | training triads | targets |
|---|---|---|---|---|
| case1 | 36 × 36 | 2 | 2,500 φ × 4 | L, M, R |
| case2 | 36 × 36 | 2 | as case1, without any in R or within 0.5 of it | R |
| case3 | 36 × 36 | 2 | 2,500 φ × 1 | L, M, R |
| case4 | 128 × 128 | 2 | 2,500 φ × 4 | L, M, R |
| case5 | 36 × 36 | 10 | 10,000 φ × 1 | low, high |
| three_phase | 36 × 36 | 2 | 2,500 φ × 4 | L, M, R |
| elastic | 36 × 36 | 2 | 2,500 φ × 4 | L, M, R |

Targets are boxes of :math:`m = \log k` (horizontal, vertical), of a unit cell of side 1. L opens
the vertical direction and blocks the horizontal one, R the reverse, M opens both.

`three_phase` is ours, not the paper's: the field of Case 1, smoothed and cut into three phases of
fractions 0.4, 0.3 and 0.3 with the conductivities 1, 10 and 100; k is the effective conductivity.
Layers would give m = 0.837 across and 3.509 along, and every m lies between the two. L asks for
nearly the one horizontally and nearly the other vertically, R the reverse, M for the middle.

`elastic` is ours too: the images of Case 1 as glass (the phase 1; E = 70 GPa, ν = 0.22) in epoxy
(3 GPa, 0.35), in plane strain. m is :math:`(\log C_{11}, \log C_{22}, C_{12}, \log C_{66})` in
GPa. L asks for C22 above 30 and C11 below 20 GPa, R the reverse, M for both above 23.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..chain import Chain, EffectiveConductivity, ElasticStiffness, Permeability
from ..errors import InputError
from ..process import ProcessSpace
from ..process.symmetries import Mirror, PeriodicShift, Permutation, Reflection, Transposition
from ..structure import (
    PRESETS,
    PhaseSeparatedField,
    Preset,
    ThresholdedField,
    five_mode_spectrum,
    two_mode_spectrum,
)

__all__ = ["CASES", "Case", "Region", "Split", "case"]

Region = tuple[tuple[float, ...], tuple[float, ...]]
"""The lower and the upper corner of a box in property space."""


@dataclass(frozen=True)
class Split:
    r"""A part of a case's data.

    Arguments:
        index: The first number of every spawn key of this split.
        points: The number of φ; of a grid, the number along each axis.
        replicates: The number of microstructures a φ.
        grid: Whether the φ form a uniform grid, ends included, or are drawn uniformly.
    """

    index: int
    points: int
    replicates: int
    grid: bool = False


@dataclass(frozen=True)
class Case:
    r"""One problem of the study.

    Arguments:
        name: The name.
        chain: The simulator.
        preset: How the structure simulator turns a spectrum into an image.
        targets: The target regions, by name.
        splits: The data sets by name, at the paper's sizes.
        excluded: A region whose triads are no part of the *training* data, or None.
    """

    name: str
    chain: Chain
    preset: Preset
    targets: Mapping[str, Region]
    splits: Mapping[str, Split]
    excluded: Region | None = field(default=None)

    @property
    def process(self) -> ProcessSpace:
        """The admissible process parameters."""
        return self.chain.process

    def excludes(self, m: ArrayLike) -> NDArray[np.bool_]:
        """Whether each m, with shape `(*, K)`, lies in the excluded region, with shape `(*)`."""
        values = np.asarray(m, dtype=float)
        if self.excluded is None:
            return np.zeros(values.shape[:-1], dtype=bool)
        lower, upper = self.excluded
        return ((values >= lower) & (values <= upper)).all(axis=-1)


def case(
    name: str,
    preset: str = "calibrated",
    formulation: str | None = None,
    solver: str | None = None,
) -> Case:
    """A case of the study by its name.

    Arguments:
        name: "case1" to "case5", "three_phase" or "elastic".
        preset: "calibrated" or "as_stated", see `pspgen_pyro.structure`; of "three_phase" it
            decides the filter only.
        formulation: That of the property, its own default if None. Permeability has "study" and
            "consistent", see `pspgen_pyro.properties`; the targets are meant for "study".
        solver: That of the property, its own default if None: "multifrontal" or "dolfinx", of
            "three_phase" "scipy" or "dolfinx".

    Raises:
        InputError: If there is no such case, preset, formulation or solver.

    Example:
        >>> case("case1").targets["L"]
        ((-10.0, -7.0), (-9.0, -5.0))
    """
    if name not in CASES:
        raise InputError(f"'case' is {name!r}; choose one of {', '.join(CASES)}.")
    if preset not in PRESETS:
        raise InputError(f"'preset' is {preset!r}; choose one of {', '.join(PRESETS)}.")
    chosen = {"formulation": formulation, "solver": solver}
    return CASES[name](PRESETS[preset], **{k: v for k, v in chosen.items() if v is not None})


_SMALL: dict[str, Region] = {
    "L": ((-10.0, -7.0), (-9.0, -5.0)),
    "M": ((-7.0, -7.0), (-5.0, -5.0)),
    "R": ((-7.0, -10.0), (-5.0, -9.0)),
}
_LARGE: dict[str, Region] = {
    "L": ((-12.5, -8.0), (-11.0, -5.0)),
    "M": ((-8.0, -8.0), (-6.0, -6.0)),
    "R": ((-8.0, -12.5), (-5.0, -11.0)),
}
_BOTH: dict[str, Region] = {
    "low": ((-10.0, -10.0), (-7.0, -7.0)),
    "high": ((-7.0, -7.0), (-4.0, -4.0)),
}
_LAYERED: dict[str, Region] = {
    "L": ((0.8, 3.2), (1.0, 3.6)),
    "M": ((1.75, 1.75), (2.5, 2.5)),
    "R": ((3.2, 0.8), (3.6, 1.0)),
}
_SOFT, _STIFF, _EVEN, _ANY = (
    (-math.inf, math.log(20)),
    (math.log(30), math.inf),
    (math.log(23), math.inf),
    (-math.inf, math.inf),
)
_LOADED: dict[str, Region] = {
    name: ((c11[0], c22[0], _ANY[0], _ANY[0]), (c11[1], c22[1], _ANY[1], _ANY[1]))
    for name, c11, c22 in (("L", _SOFT, _STIFF), ("M", _EVEN, _EVEN), ("R", _STIFF, _SOFT))
}
_MARGIN = 0.5


def _splits(points: int, replicates: int) -> dict[str, Split]:
    return {"train": Split(0, points, replicates), "test": Split(1, 500, 4)}


_REFERENCE = {"reference": Split(2, 20, 500, grid=True)}


def _directed() -> ProcessSpace:
    """The process of the two-mode spectrum: the weight of one direction, and the width of both."""
    symmetries = (PeriodicShift(), Reflection(), Mirror("phi1"))
    return ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0), ("1", "1"), symmetries)


def _two_parameters(
    name: str,
    preset: Preset,
    *,
    n: int = 36,
    gamma: float = 2.0,
    targets: Mapping[str, Region] = _SMALL,
    replicates: int = 4,
    excluded: Region | None = None,
    **settings: Any,
) -> Case:
    structure = PhaseSeparatedField(n, two_mode_spectrum, preset, gamma)
    chain = Chain(_directed(), structure, Permeability(**settings))
    splits = _splits(2500, replicates) | _REFERENCE
    return Case(name, chain, preset, targets, splits, excluded)


def _case2(preset: Preset, **settings: Any) -> Case:
    lower, upper = _SMALL["R"]
    near = tuple(a - _MARGIN for a in lower), tuple(b + _MARGIN for b in upper)
    target = {"R": _SMALL["R"]}
    return _two_parameters("case2", preset, targets=target, excluded=near, **settings)


def _case5(preset: Preset, **settings: Any) -> Case:
    names = tuple(f"phi{i}{j}" for j in (1, 2) for i in range(1, 6))
    terms = Permutation(tuple(zip(names[:5], names[5:], strict=True)))
    symmetries = (PeriodicShift(), Reflection(), Transposition(), terms)
    process = ProcessSpace(
        names, (1.0,) * 5 + (0.02,) * 5, (9.0,) * 5 + (2.0,) * 5, ("1",) * 10, symmetries
    )
    structure = PhaseSeparatedField(36, five_mode_spectrum, preset, 2.0)
    chain = Chain(process, structure, Permeability(**settings))
    return Case("case5", chain, preset, _BOTH, _splits(10_000, 1))


def _three_phase(preset: Preset, **settings: Any) -> Case:
    structure = ThresholdedField(36, two_mode_spectrum, (0.4, 0.3, 0.3), filter=preset.filter)
    chain = Chain(_directed(), structure, EffectiveConductivity((1.0, 10.0, 100.0), **settings))
    return Case("three_phase", chain, preset, _LAYERED, _splits(2500, 4) | _REFERENCE)


def _elastic(preset: Preset, **settings: Any) -> Case:
    structure = PhaseSeparatedField(36, two_mode_spectrum, preset, 2.0)
    stiffness = ElasticStiffness((3.0, 70.0), (0.35, 0.22), **settings)
    chain = Chain(_directed(), structure, stiffness)
    return Case("elastic", chain, preset, _LOADED, _splits(2500, 4) | _REFERENCE)


CASES: dict[str, Callable[..., Case]] = {
    "case1": partial(_two_parameters, "case1"),
    "case2": _case2,
    "case3": partial(_two_parameters, "case3", replicates=1),
    "case4": partial(_two_parameters, "case4", n=128, gamma=10.0, targets=_LARGE),
    "case5": _case5,
    "three_phase": _three_phase,
    "elastic": _elastic,
}
"""The cases by name, each as a function of the preset and the settings of the property."""
