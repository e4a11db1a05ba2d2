r"""Targets as a person writes them on one line.

==============================================  ==================================================
text                                            region
==============================================  ==================================================
``-10:-9,-7:-5``                                one interval a property, in their order
``horizontal>-7,vertical<-9``                   bounds by name; a property not named is free
``k_horizontal>1e-3``                           a bound on :math:`k = e^m` instead of m
``horizontal=-7±0.5,vertical=-9±0.5``           a point with a tolerance ("+-" for "±")
``-10:-9,-7:-5; horizontal>-6,vertical>-6``     the union of several, which may overlap
==============================================  ==================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InputError
from .target import Box, Boxes, Target

__all__ = ["parse_target"]

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_BOUND = re.compile(rf"(\w+)\s*(<=|>=|<|>)\s*{_NUMBER}")
_POINT = re.compile(rf"(\w+)\s*=\s*{_NUMBER}\s*(?:±|\+-)\s*{_NUMBER}")


def parse_target(text: str, names: Sequence[str]) -> Target:
    r"""Reads a target.

    Arguments:
        text: The target, in one of the forms above.
        names: The names of the properties, as in `model.property_names`.

    Raises:
        InputError: If the text has none of these forms, a name is unknown, or a region is empty.

    Example:
        >>> print(parse_target("horizontal>-7, vertical<-9", ("horizontal", "vertical")))
        [-7, ∞) × (-∞, -9]
    """
    parts = [_region(part.strip(), names) for part in text.split(";")]
    return parts[0] if len(parts) == 1 else Boxes(tuple(parts))


def _region(text: str, names: Sequence[str]) -> Box:
    if not re.search("[<>=±]", text):
        box = Box.parse(text)
        box.check_against(len(names))
        return box
    lower: dict[str, float] = {}
    upper: dict[str, float] = {}
    for part in text.split(","):
        name, a, b = _bounds(part.strip())
        if a is not None:
            lower[name] = max(a, lower.get(name, a))
        if b is not None:
            upper[name] = min(b, upper.get(name, b))
    return Box.bounded(names, {name: (lower.get(name), upper.get(name)) for name in lower | upper})


def _bounds(part: str) -> tuple[str, float | None, float | None]:
    if found := _BOUND.fullmatch(part):
        name, sign, number = found.groups()
        return (name, float(number), None) if ">" in sign else (name, None, float(number))
    if found := _POINT.fullmatch(part):
        name, centre, reach = found[1], float(found[2]), float(found[3])
        if reach <= 0:
            raise InputError(
                f"'target' gives {name} the tolerance {reach:g}; a tolerance must be positive."
            )
        return name, centre - reach, centre + reach
    raise InputError(
        f"'target' has {part!r}, which is no bound; write a bound as name>number or name<number "
        "and a point as name=number±tolerance, separated by commas, "
        "for example --target='horizontal>-7,vertical<-9'."
    )
