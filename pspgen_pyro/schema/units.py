"""Units of measurement, by pint: whether one converts to another, by what factor; lengths as
text."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from ..errors import InputError

__all__ = ["conversion", "length_parts"]

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
_DIMENSIONLESS = ("", "1", "-")


@cache
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry()
    # the symbols of petrophysics and of alloys, which pint lacks
    registry.define("millidarcy = 1e-3 * darcy = mD")
    registry.define("at_percent = 0.01 = at%")
    registry.define("wt_percent = 0.01 = wt%")
    return registry


def _parsed(unit: str) -> Any:
    text = unit.strip()
    if text in _DIMENSIONLESS:
        return _registry().Unit("dimensionless")
    # "W/(m K)" as physicists write it
    return _registry().parse_units(text.replace("·", "*"))


def conversion(given: str, wanted: str, what: str = "unit") -> tuple[float, float]:
    """The factor a and the offset b with (value in `wanted`) = a (value in `given`) + b.

    Arguments:
        given: The unit that came.
        wanted: The unit that is needed.
        what: What has this unit, for the sentence of an error.

    Raises:
        InputError: If there is no conversion between the two.

    Example:
        >>> conversion("mm", "m")
        (0.001, 0.0)
    """
    if given.strip() == wanted.strip() or {given.strip(), wanted.strip()} <= {*_DIMENSIONLESS}:
        return 1.0, 0.0
    try:
        quantity = _registry().Quantity
        zero = quantity(0.0, _parsed(given)).to(_parsed(wanted)).magnitude
        one = quantity(1.0, _parsed(given)).to(_parsed(wanted)).magnitude
    except Exception as error:  # noqa: BLE001
        raise InputError(
            f"'{what}' is in {given!r}, which does not convert to {wanted!r}; give it in that "
            "unit."
        ) from error
    return float(one - zero), float(zero)


def length_parts(text: str, what: str = "length") -> tuple[float, str]:
    """The number and the unit of a length such as "0.5 um".

    Arguments:
        text: The number, then m, mm, um, µm, nm or another unit of length.
        what: What has this length, for the sentence of an error.

    Raises:
        InputError: If there is no number or no unit, the number is not positive and finite, or
            the unit is no length.

    Example:
        >>> length_parts("250 um")
        (250.0, 'um')
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
    conversion(parts[2], "m", what)
    return number, parts[2]
