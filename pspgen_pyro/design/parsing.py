r"""Targets as a person writes them on one line.

===================================================  =============================================
text                                                 region
===================================================  =============================================
``k_h < 1e-12 m^2, strength > 30 MPa``               bounds by name, in the property's own unit or
                                                     any that converts to it; who is not named is
                                                     free
``20 < strength < 30 MPa``,                          an interval
``strength in [20, 30] MPa``
``strength = 30 ± 2 MPa``                            a point with a tolerance ("+-" for "±")
``ln k_h > -27``, ``logit porosity < 2``             a bound on m, the property on its scale
``-10:-9,-7:-5``                                     one interval of m a property, in their order
``k_h < 1e-12; strength > 30 and k_h < 1e-10``       the union of several, which may overlap
===================================================  =============================================

One rule tells the two apart: *a name alone is the property in its unit*, of a `log` property the
value itself; m is meant only where "ln" or "logit" stands before the name, and in the intervals
without names. "and" may stand for a comma, "or" for a semicolon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io.validation import check_instance
from ..schema.units import conversion
from .target import MOST_REGIONS, Box, Boxes, Target

if TYPE_CHECKING:
    from ..schema import Property, Schema

__all__ = ["Bound", "Requirement", "parse_target", "target"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NAME = r"(?:(?P<scale>ln|logit)\s+)?(?P<name>[^\W\d]\w*)"
_UNIT = r"(?P<unit>(?:\s+|(?=[^\W\d]|[%°/]))[^\s<>=±\[\]][^<>=±\[\]]*)?"
_SIGN = r"(?P<sign><=|>=|<|>)"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"{_NAME}\s*{_SIGN}\s*(?P<a>{_NUMBER}){_UNIT}",
        rf"(?P<a>{_NUMBER})\s*{_SIGN}\s*{_NAME}\s*(?P<again><=|>=|<|>)\s*(?P<b>{_NUMBER}){_UNIT}",
        rf"{_NAME}\s+in\s*\[\s*(?P<a>{_NUMBER})\s*,\s*(?P<b>{_NUMBER})\s*\]{_UNIT}",
        rf"{_NAME}\s*=\s*(?P<a>{_NUMBER})\s*(?:±|\+-)\s*(?P<reach>{_NUMBER}){_UNIT}",
    )
)
_WORDS = {"log": "ln", "logit": "logit"}
_COMMA = re.compile(r",(?![^\[]*\])|\s+and\s+")
_SEMICOLON = re.compile(r";|\s+or\s+")


@dataclass(frozen=True)
class Bound:
    """A bound on one property, or two, as it was written.

    Arguments:
        name: The property.
        lower: The lower end; None for none.
        upper: The upper end; None for none.
        unit: The unit of both; the property's own if None.
        scale: "ln" or "logit" where the ends are those of m, else empty.
        point: Whether the two are a point less and plus its tolerance.
        words: The bound without its unit.
    """

    name: str
    lower: float | None
    upper: float | None
    unit: str | None
    scale: str
    point: bool
    words: str

    def ends(self, known: Property) -> tuple[float, float]:
        """The ends on m; infinite where there is none.

        Raises:
            InputError: If they make no sense for this property.
        """
        if self.scale:
            self._check_scale(known)
            a = -np.inf if self.lower is None else self.lower
            return a, np.inf if self.upper is None else self.upper
        a, b = (
            None if end is None else self._value(end, known) for end in (self.lower, self.upper)
        )
        low, high = known.domain
        kept = self.point or ((a is None or low <= a) and (b is None or b <= high))
        if not kept or (a is not None and a >= high) or (b is not None and b <= low):
            raise InputError(
                f"'target' has {self.shown(known)!r}, but the values of {self.name} on a "
                f"{known.scale} scale lie between {low:g} and {high:g}; give a bound in there, or "
                f"write {_WORDS[known.scale]} {self.name} for a bound on m."
            )
        found = -np.inf if a is None else known.bound(a), np.inf if b is None else known.bound(b)
        self._check_detection(known, found)
        return found

    def shown(self, known: Property) -> str:
        """The bound with its unit."""
        unit = known.unit if self.unit is None else self.unit
        return self.words if self.scale or unit == "1" else f"{self.words} {unit}"

    def _value(self, end: float, known: Property) -> float:
        factor, offset = (
            (1.0, 0.0)
            if self.unit is None
            else conversion(self.unit, known.unit, f"target: {self.name}")
        )
        return factor * end + offset

    def _check_scale(self, known: Property) -> None:
        if _WORDS.get(known.scale) != self.scale:
            raise InputError(
                f"'target' has {self.words!r}, but {self.name} is on a {known.scale} scale; write "
                f"{self.name} alone for its value."
            )
        if self.unit is not None:
            raise InputError(
                f"'target' has {self.words!r} in {self.unit!r}, but {self.scale} {self.name} has "
                f"no unit; leave it out, or write {self.name} alone for its value."
            )

    def _check_detection(self, known: Property, ends: tuple[float, float]) -> None:
        low, high = known.ends
        if any(np.isfinite(end) and not low <= end <= high for end in ends):
            limits = " and ".join(f"{v:g}" for v in known.detection_limit if v is not None)
            raise InputError(
                f"'target' has {self.shown(known)!r}, beyond the detection limit {limits} of "
                f"{self.name}, where no measurement tells on which side a material lies; bound it "
                "by the limit or within."
            )


@dataclass(frozen=True)
class Requirement:
    """What is wanted, by the properties' names; a schema makes it a region of m.

    Arguments:
        text: The target, in one of the forms of this module.

    Raises:
        InputError: If the text has none of these forms.

    Example:
        >>> from pspgen_pyro.process import ProcessSpace
        >>> from pspgen_pyro.schema import Schema
        >>> furnace = ProcessSpace(("T",), (900.0,), (1200.0,))
        >>> schema = Schema(process=furnace, properties=("k_h [m^2] log", "strength [MPa]"))
        >>> print(Requirement("k_h < 1 um^2, strength > 30").resolve(schema))
        k_h < 1 um^2 and strength > 30 MPa
    """

    text: str

    def __post_init__(self) -> None:
        check_instance(str, "a text such as 'strength > 30 MPa'", target=self.text)
        regions = _SEMICOLON.split(self.text)
        if len(regions) > MOST_REGIONS:
            raise InputError(
                f"'target' has {len(regions)} regions; give at most {MOST_REGIONS}, wider ones."
            )
        object.__setattr__(self, "_regions", tuple(map(_region, regions)))

    @property
    def regions(self) -> tuple[tuple[Bound, ...] | Box, ...]:
        """The regions whose union this is: bounds by name, or intervals of m."""
        return self._regions  # type: ignore[attr-defined]

    def resolve(self, schema: Schema | None) -> Target:
        """The region of m.

        Raises:
            InputError: If there is no schema, a name or a unit is none of it, a bound makes no
                sense there, or a region is empty.
        """
        if schema is None:
            raise InputError(
                f"'target' is {str(self)!r}, by names, but 'schema' is missing; give the schema, "
                "or ask by `run.verify`."
            )
        boxes = tuple(_box(region, schema) for region in self.regions)
        return boxes[0] if len(boxes) == 1 else Boxes(boxes)

    def __str__(self) -> str:
        return " ".join(self.text.split())


def target(text: str) -> Requirement:
    """A target by the properties' names and units, such as "k_h < 1e-12 m^2, strength > 30 MPa".

    Raises:
        InputError: If the text has none of the forms of this module.
    """
    return Requirement(text)


def parse_target(text: str, schema: Schema) -> Target:
    """The region of m that a text asks for; raises as `Requirement` does."""
    return Requirement(text).resolve(schema)


def _region(text: str) -> tuple[Bound, ...] | Box:
    text = text.strip()
    if not re.search(r"[<>=±]|\sin\s", text):
        return Box.parse(text)
    return tuple(_bound(part.strip()) for part in _COMMA.split(text))


def _box(region: tuple[Bound, ...] | Box, schema: Schema) -> Box:
    if isinstance(region, Box):
        region.check_against(len(schema.properties))
        return region
    lower, upper = (
        np.full(len(schema.properties), -np.inf),
        np.full(len(schema.properties), np.inf),
    )
    words = []
    for bound in region:
        j = schema.index(bound.name)
        known = schema.properties[j]
        a, b = bound.ends(known)
        lower[j], upper[j] = max(a, lower[j]), min(b, upper[j])
        words.append(bound.shown(known))
        if lower[j] >= upper[j]:
            raise InputError(
                f"'target' leaves nothing between the bounds on {bound.name} in "
                f"'{' and '.join(words)}'; the lower end must lie below the upper one."
            )
    return Box(tuple(lower), tuple(upper), " and ".join(words))


def _bound(text: str) -> Bound:
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        raise InputError(
            f"'target' has {text!r}, which is no bound; write a bound as name>number or "
            "name<number, an interval as name in [number, number], a point as "
            "name=number±tolerance, each with its unit if it is not the property's, separated by "
            "commas, for example --target='k_h<1e-12 m^2, strength>30 MPa'."
        )
    if "inf" in {str(abs(float(n))) for n in re.findall(_NUMBER, text)}:
        raise InputError(f"'target' has {text!r}, with a number that is not finite; leave it out.")
    empty = {"b": None, "reach": None, "sign": None, "again": None}
    parts: dict[str, Any] = empty | found.groupdict()
    name, unit, a = parts["name"], (parts["unit"] or "").strip() or None, float(parts["a"])
    scale = parts["scale"] or ""
    words = text[: found.start("unit")] if parts["unit"] else text
    words = " ".join(re.sub(r"([<>]=?|=|±|\+-)", r" \1 ", words).split()).replace("+-", "±")
    if parts["reach"] is not None:
        low, high = _around(name, a, float(parts["reach"]))
        return Bound(name, low, high, unit, scale, True, words)
    if parts["b"] is None:
        low, high = (a, None) if ">" in parts["sign"] else (None, a)
        return Bound(name, low, high, unit, scale, False, words)
    low, high = a, float(parts["b"])
    if parts["sign"] is not None:
        if parts["sign"][0] != parts["again"][0]:
            raise InputError(f"'target' has {text!r}, whose signs point apart; turn one of them.")
        low, high = (high, low) if ">" in parts["sign"] else (low, high)
    return Bound(name, low, high, unit, scale, False, words)


def _around(name: str, centre: float, reach: float) -> tuple[float, float]:
    if reach <= 0:
        raise InputError(
            f"'target' gives {name} the tolerance {reach:g}; a tolerance must be positive."
        )
    return centre - reach, centre + reach
