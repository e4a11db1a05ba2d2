"""Lengths as text, and the unit of permeability of petrophysics."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..schema.units import conversion

__all__ = ["length", "millidarcy"]

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


def length(text: str, what: str = "length") -> float:
    """The metres of a number and a unit of length, such as "0.5 um".

    Arguments:
        text: The number, then m, mm, um, µm, nm or another unit of length.
        what: What has this length, for the sentence of an error.

    Raises:
        InputError: If there is no number or no unit, the number is not positive and finite, or
            the unit is no length.

    Example:
        >>> length("250 um")
        0.00025
    """
    said = f"'{what}' is {text!r}"
    parts = _NUMBER_AND_UNIT.fullmatch(text) if isinstance(text, str) else None
    if parts is None or not parts[2]:
        raise InputError(f'{said}; pass a number and a unit of length, such as "0.5 um".')
    try:
        number = float(parts[1])
    except ValueError as error:
        raise InputError(f'{said}; "{parts[1]}" is no number; pass one such as 0.5.') from error
    if not (number > 0 and math.isfinite(number)):
        raise InputError(f"{said}; a length is a positive finite number, then its unit.")
    return number * conversion(parts[2], "m", what)[0]


def millidarcy[Values: (float, NDArray[np.float64])](k: Values) -> Values:
    """Permeability in millidarcy, of `k` in m²; 1 mD is 9.869233e-16 m².

    Example:
        >>> round(millidarcy(1e-12), 2)
        1013.25
    """
    return k * conversion("m^2", "millidarcy")[0]
