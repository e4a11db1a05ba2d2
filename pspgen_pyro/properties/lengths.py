"""Lengths as text, and the unit of permeability of petrophysics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..schema.units import conversion, length_parts

__all__ = ["length", "millidarcy"]


def length(text: str, what: str = "length") -> float:
    """The metres of a number and a unit of length, such as "0.5 um".

    Raises:
        InputError: As of `pspgen_pyro.schema.units.length_parts`.

    Example:
        >>> length("250 um")
        0.00025
    """
    number, unit = length_parts(text, what)
    return number * conversion(unit, "m", what)[0]


def millidarcy[Values: (float, NDArray[np.float64])](k: Values) -> Values:
    """Permeability in millidarcy, of `k` in m²; 1 mD is 9.869233e-16 m².

    Example:
        >>> round(millidarcy(1e-12), 2)
        1013.25
    """
    return k * conversion("m^2", "millidarcy")[0]
