r"""Process space: the settings an engineer controls.

A process has :math:`P` parameters :math:`\varphi` with names, units and bounds; the admissible set
is the box
:math:`U_\varphi = [l_1, u_1] \times \dots \times [l_P, u_P]`, and the prior :math:`p(\varphi)` is
uniform on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, InputError
from ..io.validation import Record, read
from .symmetries import Symmetry

__all__ = ["ProcessSpace"]


@dataclass(frozen=True)
class ProcessSpace:
    r"""The admissible process parameters :math:`U_\varphi`.

    Arguments:
        names: One name a parameter, in the order of the last axis of `phi`.
        lower: The lower bounds, in the parameters' units.
        upper: The upper bounds.
        units: One unit a parameter; "1" where it has none.
        symmetries: What the process knows of its own symmetries in law; no part of equality.

    Raises:
        InputError: If the lengths differ or a bound is not finite or inverted.

    Example:
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> process.check([5.0, 1.0])
        array([5., 1.])
    """

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    units: tuple[str, ...] = ()
    symmetries: tuple[Symmetry, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.units:
            object.__setattr__(self, "units", ("1",) * len(self.names))
        if not len(self.names) == len(self.lower) == len(self.upper) == len(self.units):
            raise InputError(
                f"'names', 'lower', 'upper' and 'units' have lengths {len(self.names)}, "
                f"{len(self.lower)}, "
                f"{len(self.upper)} and {len(self.units)}; give one of each for every parameter."
            )
        bounds = np.array([self.lower, self.upper], dtype=float)
        if not np.isfinite(bounds).all() or (bounds[0] >= bounds[1]).any():
            raise InputError(
                f"'lower' {self.lower} and 'upper' {self.upper} must be finite, each lower bound "
                "below its upper one."
            )
        for symmetry in self.symmetries:
            symmetry.check_against(self)

    def __len__(self) -> int:
        return len(self.names)

    def to_json(self) -> dict[str, Any]:
        """The process space, ready for JSON."""
        return {
            "names": list(self.names),
            "lower": list(self.lower),
            "upper": list(self.upper),
            "units": list(self.units),
            "symmetries": [symmetry.to_json() for symmetry in self.symmetries],
        }

    @classmethod
    def from_json(cls, spec: Any, where: str = "process") -> ProcessSpace:
        """The process space that `to_json` described.

        Raises:
            DataError: If an entry is missing, unknown or of another type.
        """
        found = read(_Stored, spec, where)
        symmetries = tuple(Symmetry.from_json(one) for one in found.symmetries)
        try:
            return cls(found.names, found.lower, found.upper, found.units, symmetries)
        except InputError as error:
            raise DataError(f"'{where}' does not fit together: {error}") from error

    def check(self, phi: ArrayLike) -> NDArray[np.float64]:
        """Returns `phi` as float64 with shape `(*, P)`, or says why it is not in the process
        space. A value beyond a bound by no more than the rounding of single precision is put on
        it.

        Raises:
            InputError: If the last axis is not P long, a value is not finite, or one lies outside
                the bounds.
        """
        values = np.asarray(phi, dtype=float)
        if values.ndim == 0 or values.shape[-1] != len(self):
            came = 1 if values.ndim == 0 else values.shape[-1]
            raise InputError(
                f"'phi' has {came} parameter(s) but this process has {len(self)}: "
                f"{', '.join(self.names)}; "
                "pass them in that order."
            )
        if not np.isfinite(values).all():
            raise InputError(
                "'phi' holds NaN or infinite values; every process parameter must be a finite "
                "number."
            )
        outside = self.outside(values)
        if outside.any():
            j = int(np.argwhere(outside)[0][-1])
            value = values[outside].flat[0]
            raise InputError(
                f"'phi' has {self.names[j]} = {value:g}, outside [{self.lower[j]:g}, "
                f"{self.upper[j]:g}]; "
                "choose a value inside the process space."
            )
        return np.clip(values, self.lower, self.upper)

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which entries of φ with shape `(*, P)` lie beyond a bound by more than the rounding of
        single precision."""
        # a bound that went through single precision is still that bound
        slack = _ROUNDING * np.abs([self.lower, self.upper]).max(axis=0)
        return (values < self.lower - slack) | (values > self.upper + slack)

    def sample(
        self, shape: int | tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        r"""Draws :math:`\varphi \sim \mathcal{U}(U_\varphi)`, with shape `(*shape, P)`."""
        size = (shape,) if isinstance(shape, int) else shape
        return rng.uniform(self.lower, self.upper, size=(*size, len(self)))

    def grid(self, points: int) -> NDArray[np.float64]:
        """A uniform grid with both ends included, with shape `(points ** P, P)`; the first
        parameter varies slowest."""
        axes = [np.linspace(a, b, points) for a, b in zip(self.lower, self.upper, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self))


class _Stored(Record):
    """A process space as JSON holds it."""

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    units: tuple[str, ...] = ()
    symmetries: tuple[dict[str, Any], ...] = ()


_ROUNDING = 1e-6
