r"""One property of a material: its unit, its scale, and what is known of how it is measured.

The model works with m, the property on its *scale*, of a value v in the property's unit:

============  =====================================  =====================================
scale         m                                      for
============  =====================================  =====================================
``linear``    :math:`v`                              what may have either sign
``log``       :math:`\ln v`                          positive values over decades
``logit``     :math:`\ln \frac{v - a}{b - v}`        values between two limits a and b
============  =====================================  =====================================

At a detection limit ℓ the law of v has an atom: whatever lies beyond is reported as ℓ, and a
probability counts it as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from ..errors import InputError
from ..io.validation import Record, check_instance, check_name
from .units import conversion

__all__ = ["DIRECTIONS", "Direction", "Property"]

Direction = Literal["horizontal", "vertical", "through"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""Along the columns, the rows and the layers, the last axis of `x` first."""

_LARGEST = 1e37
_WORD = re.compile(r"[^\W\d]\w*")
_HEAD = re.compile(r"\s*(?P<name>\w+)\s*(?:\[(?P<unit>[^\]]*)\])?\s*(?P<rest>.*)")


class Property(Record):
    """One property of m.

    Arguments:
        name: The name, a word.
        unit: The unit of its values; "1" where it has none.
        scale: "linear", "log" or "logit".
        limits: The limits (a, b) of a `logit` property, in its unit.
        quantity: What it is a component of, if it is one direction of a quantity. Properties that
            name the same quantity are that quantity along different directions: they share
            weights, and a transposed image exchanges them.
        direction: The direction: "horizontal" (along a row of pixels), "vertical" (along a
            column) or, of volumes, "through" (along the layers).
        detection_limit: The values (below, above) beyond which no measurement tells any more, in
            its unit; None for no such limit.
        measurement_error: The standard deviation of a measurement of m, on the property's scale
            (of `log`, about the relative error).

    Raises:
        InputError: If an entry does not fit; the sentence has its path.

    Example:
        >>> k = Property.parse("k_h [m^2] log quantity=k direction=horizontal below=1e-18")
        >>> k.scaled([1e-12, 0.0]).round(2)
        array([-27.63, -41.45])
    """

    name: str
    unit: str = "1"
    scale: Literal["linear", "log", "logit"] = "linear"
    limits: tuple[float, float] | None = None
    quantity: str | None = None
    direction: Direction | None = None
    detection_limit: tuple[float | None, float | None] = (None, None)
    measurement_error: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Property:
        if not _WORD.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} is no word of letters, digits and _")
        check_name(self.unit, "unit")
        if (self.scale == "logit") != (self.limits is not None):
            raise ValueError("a logit scale and its two limits go together; give both or neither")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(f"the limits {self.limits} are inverted or equal")
        if self.quantity is not None and self.direction is None:
            raise ValueError(
                f"{self.name} is a component of {self.quantity!r} but says no direction; add "
                "direction='horizontal', 'vertical' or 'through'"
            )
        below, above = self.detection_limit
        if below is not None and above is not None and not below < above:
            raise ValueError(f"the detection limits {self.detection_limit} are inverted or equal")
        a, b = self.domain
        for end in (below, above):
            if end is not None and not a < end < b:
                raise ValueError(
                    f"the detection limit {end:g} does not lie inside ({a:g}, {b:g}), the values "
                    f"that a {self.scale} scale has"
                )
        return self

    @classmethod
    def parse(cls, text: str) -> Property:
        """Reads "name [unit] scale key=value …".

        The keys are `quantity`, `direction`, `below` and `above` (detection limits), `limits` (as
        a:b) and `error`; scale and keys may be left out.

        Raises:
            InputError: If the text is not of this form.
        """
        check_instance(str, "'name [unit] scale'", property=text)
        found = _HEAD.fullmatch(text)
        if found is None:
            raise InputError(f"'property' is {text!r}; {_FORM}")
        entries: dict[str, Any] = {"name": found["name"], "unit": (found["unit"] or "1").strip()}
        below, above = None, None
        told: set[str] = set()
        for word in found["rest"].split():
            key, _, value = word.partition("=")
            kind = key if value else "scale"
            if kind in told:
                raise InputError(f"'property' is {text!r}, which says the {kind} twice; {_FORM}")
            told.add(kind)
            if not value and key in ("linear", "log", "logit"):
                entries["scale"] = key
            elif key in ("quantity", "direction") and value:
                entries[key] = value
            elif key == "limits" and value:
                entries["limits"] = tuple(_number(text, end) for end in value.split(":"))
            elif key == "below" and value:
                below = _number(text, value)
            elif key == "above" and value:
                above = _number(text, value)
            elif key == "error" and value:
                entries["measurement_error"] = _number(text, value)
            else:
                raise InputError(f"'property' is {text!r}, where {word!r} is unknown; {_FORM}")
        return cls(**entries, detection_limit=(below, above))

    @property
    def ends(self) -> tuple[float, float]:
        """The detection limits on the property's scale; infinite where there is none."""
        below, above = self.detection_limit
        low = -np.inf if below is None else float(self._to_scale(np.float64(below)))
        return low, np.inf if above is None else float(self._to_scale(np.float64(above)))

    def scaled(self, values: ArrayLike) -> NDArray[np.float64]:
        """The property on its scale, m, from values in its unit, of the same shape.

        A value at or beyond a detection limit becomes that limit; NaN, for unknown, stays.

        Raises:
            InputError: If a value is infinite, or has no m on this scale.
        """
        v = np.array(values, dtype=np.float64)
        below, above = self.detection_limit
        v = np.where(v < below, below, v) if below is not None else v
        v = np.where(v > above, above, v) if above is not None else v
        a, b = self.domain
        # the networks work in single precision
        bad = ~(np.isnan(v) | ((v > a) & (v < b) & (np.abs(v) <= _LARGEST)))
        if bad.any():
            row = int(np.argwhere(bad)[0][0]) if v.ndim else 0
            came = float(v[bad].flat[0])
            raise InputError(
                f"property {self.name!r} is {came:g} in row {row + 1} ({int(bad.sum())} such), "
                f"but a {self.scale} scale needs finite values inside ({a:g}, {b:g}), at most "
                f"{_LARGEST:g} in size; declare a "
                "detection limit (below=… or above=…), another scale, or leave the value empty "
                "if it is unknown."
            )
        return self._to_scale(v)

    def values(self, m: ArrayLike) -> NDArray[np.float64]:
        """The values in the property's unit, from m on its scale; of the same shape."""
        m = np.asarray(m, dtype=np.float64)
        if self.scale == "log":
            return np.exp(m)
        if self.limits is not None:
            a, b = self.limits
            return a + (b - a) / (1 + np.exp(-m))
        return m

    def bound(self, value: float, unit: str | None = None) -> float:
        """A bound on the property as a bound on m; beyond the scale's values it is infinite.

        Arguments:
            value: The bound.
            unit: Its unit; the property's own if None.

        Raises:
            InputError: If the unit does not convert to the property's.
        """
        if unit is not None:
            factor, offset = conversion(unit, self.unit, self.name)
            value = factor * value + offset
        a, b = self.domain
        if value <= a:
            return -np.inf
        return np.inf if value >= b else float(self._to_scale(np.float64(value)))

    @property
    def domain(self) -> tuple[float, float]:
        """The open interval of the values, in the unit, that have an m."""
        if self.scale == "log":
            return 0.0, np.inf
        return (-np.inf, np.inf) if self.limits is None else self.limits

    @property
    def label(self) -> str:
        """What an axis of m is called.

        Example:
            >>> Property(name="k", unit="m^2", scale="log").label
            'ln(k / m^2)'
        """
        unit = "" if self.unit == "1" else self.unit
        if self.scale == "log":
            return f"ln({self.name} / {unit})" if unit else f"ln {self.name}"
        if self.scale == "logit":
            return f"logit {self.name}"
        return f"{self.name} [{unit}]" if unit else self.name

    def _to_scale(self, v: NDArray[np.float64] | np.float64) -> Any:
        if self.scale == "log":
            return np.log(v)
        if self.limits is not None:
            a, b = self.limits
            return np.log((v - a) / (b - v))
        return v

    def __str__(self) -> str:
        words = [self.name, f"[{self.unit}]", self.scale]
        if self.direction is not None:
            words.append(f"{self.direction}" + (f" {self.quantity}" if self.quantity else ""))
        return " ".join(words)


_FORM = (
    'write "name [unit] scale", such as "k_h [m^2] log" or "porosity logit limits=0:1", and after '
    "it quantity=…, direction=horizontal, vertical or through, below=…, above=… (detection "
    "limits) or error=… as far as they apply."
)


def _number(text: str, word: str) -> float:
    try:
        if "_" in word:
            raise ValueError
        return float(word)
    except ValueError as error:
        raise InputError(f"'property' is {text!r}, where {word!r} is no number.") from error


def check_properties(properties: Sequence[Property]) -> None:
    """Raises a ValueError if two properties have one name, or do not fit their quantity."""
    names = [p.name for p in properties]
    if not names:
        raise ValueError("there is no property; declare at least one")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"there are two properties of the name {twice[0]!r}; names differ")
    groups: dict[str, list[Property]] = {}
    for p in properties:
        if p.quantity is not None:
            groups.setdefault(p.quantity, []).append(p)
    for quantity, members in groups.items():
        first = members[0]
        for p in members[1:]:
            if p.direction in [q.direction for q in members[: members.index(p)]]:
                raise ValueError(f"quantity {quantity!r} has two {p.direction} components")
            if (p.unit, p.scale, p.limits, p.detection_limit) != (
                first.unit,
                first.scale,
                first.limits,
                first.detection_limit,
            ):
                raise ValueError(
                    f"{first.name} and {p.name} are declared as one quantity {quantity!r} but "
                    "differ in unit, scale or limits; declare them alike, or without a quantity"
                )
