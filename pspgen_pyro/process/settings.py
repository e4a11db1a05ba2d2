r"""What one setting of a process can be.

An entry of :math:`\varphi` is a number whatever the setting: the value of a `Real`, an `Integer`,
an `Ordinal` or a `Fixed` one, and the place of its name, from 0 on, of a `Categorical` one. What
people read and write (`shown`, `read`) are values and names.

.. list-table::

   * - setting
     - prior
     - the networks see
   * - `Real`
     - uniform; with `log` uniform in :math:`\log \varphi`
     - its value, or its logarithm
   * - `Integer`, `Ordinal`
     - each level as likely
     - its value
   * - `Categorical`
     - each name as likely
     - one indicator a name
   * - `Fixed`
     - its value
     - nothing
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.kinds import Kind
from ..io.validation import check_flags, check_name, is_number

__all__ = ["Categorical", "Fixed", "Integer", "Ordinal", "Real", "Setting", "parse_setting"]

_MOST_LEVELS = 100_000
_LARGEST = 1e37
_TEXT = re.compile(
    r"\s*(?P<name>[^\[\]]+?)\s*(?:\[(?P<unit>[^\]]*)\])?"
    r"\s+(?P<kind>real|integer|levels|names|fixed)\s+(?P<rest>.+?)\s*"
)


class Setting(Kind, ABC, family="setting"):
    """One setting of a process."""

    unit: str
    log: ClassVar[bool] | bool = False
    """Whether equal ratios count alike rather than equal differences."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest entry of φ."""

    @property
    def levels(self) -> NDArray[np.float64] | None:
        """The entries of φ that are allowed, in ascending order; None if all between the bounds
        are."""
        return None

    @property
    def plain(self) -> bool:
        """Whether it is a real number that is learned by its value."""
        return False

    @property
    def words(self) -> tuple[str, ...] | None:
        """The names that its entries stand for; None if they stand for themselves."""
        return None

    def shown(self, value: float) -> str:
        """An entry of φ as people write it, without its unit."""
        return f"{value:.4g}"

    @abstractmethod
    def describe(self) -> str:
        """What is allowed, in words."""


@dataclass(frozen=True)
class Real(Setting):
    """A real number.

    Arguments:
        low: The lower bound.
        high: The upper bound.
        unit: Its unit; "1" if it has none.
        log: Whether it is drawn, plotted and learned by its logarithm.

    Raises:
        InputError: If a bound is no finite number, they are not in order, or a logarithm has none.

    Example:
        >>> Real(900, 1200, "K").describe()
        '900 to 1200 K'
    """

    low: float
    high: float
    unit: str = "1"
    log: bool = False

    def __post_init__(self) -> None:
        _numbers(self, "low", "high")
        check_name(self.unit, "unit")
        check_flags(log=self.log)
        if not self.low < self.high:
            raise InputError(
                f"'low' is {self.low:g} and 'high' {self.high:g}; give a lower bound below the "
                "upper one."
            )
        if self.log and self.low <= 0:
            raise InputError(
                f"'low' is {self.low:g} but 'log' is on; a logarithm needs a lower bound above 0."
            )

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def plain(self) -> bool:
        return not self.log

    def describe(self) -> str:
        scale = ", by its logarithm" if self.log else ""
        return f"{self.low:g} to {self.high:g}{_of(self.unit)}{scale}"


@dataclass(frozen=True)
class Integer(Setting):
    """A whole number.

    Arguments:
        low: The smallest.
        high: The largest.
        unit: Its unit; "1" if it has none.

    Raises:
        InputError: If a bound is not whole, or they are not in order.
    """

    low: float
    high: float
    unit: str = "1"

    def __post_init__(self) -> None:
        _numbers(self, "low", "high")
        check_name(self.unit, "unit")
        whole = float(self.low).is_integer() and float(self.high).is_integer()
        if not (whole and self.low < self.high and self.high - self.low < _MOST_LEVELS):
            raise InputError(
                f"'low' is {self.low:g} and 'high' {self.high:g}; both must be whole numbers, the "
                f"first less than the second, and at most {_MOST_LEVELS} apart."
            )

    @property
    def bounds(self) -> tuple[float, float]:
        return float(self.low), float(self.high)

    @property
    def levels(self) -> NDArray[np.float64]:
        return np.arange(self.low, self.high + 1, dtype=np.float64)

    def describe(self) -> str:
        return f"whole numbers {self.low:g} to {self.high:g}{_of(self.unit)}"


@dataclass(frozen=True)
class Ordinal(Setting):
    """One of a few numbers, such as the sieves or the furnace programmes there are.

    Arguments:
        values: The numbers.
        unit: Their unit; "1" if they have none.

    Raises:
        InputError: If there are fewer than two, one is not finite, or two are equal.
    """

    values: tuple[float, ...]
    unit: str = "1"

    def __post_init__(self) -> None:
        check_name(self.unit, "unit")
        listed = self.values if isinstance(self.values, list | tuple | np.ndarray) else ()
        fit = all(_fits(value) for value in listed)
        values = tuple(sorted(float(value) for value in listed)) if fit else ()
        if len(set(values)) < max(2, len(values)) or not np.isfinite(values).all():
            raise InputError(
                f"'values' is {self.values!r:.80}; give at least two finite numbers, each once."
            )
        object.__setattr__(self, "values", values)

    @property
    def bounds(self) -> tuple[float, float]:
        return self.values[0], self.values[-1]

    @property
    def levels(self) -> NDArray[np.float64]:
        return np.array(self.values)

    def describe(self) -> str:
        return f"one of {', '.join(f'{v:g}' for v in self.values)}{_of(self.unit)}"


@dataclass(frozen=True)
class Categorical(Setting):
    """One of a few names without an order, such as alloys or binders.

    Arguments:
        names: The names.

    Raises:
        InputError: If there are fewer than two, or two are equal.
    """

    names: tuple[str, ...]
    unit: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        names = tuple(self.names) if isinstance(self.names, list | tuple) else ()
        for name in names:
            check_name(name, "names")
        if len(set(names)) < max(2, len(names)):
            raise InputError(
                f"'names' is {self.names!r:.80}; give at least two words, each once and without "
                "spaces around it."
            )
        object.__setattr__(self, "names", names)

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, len(self.names) - 1.0

    @property
    def levels(self) -> NDArray[np.float64]:
        return np.arange(len(self.names), dtype=np.float64)

    @property
    def words(self) -> tuple[str, ...]:
        return self.names

    def shown(self, value: float) -> str:
        return self.names[round(value)]

    def describe(self) -> str:
        return f"one of {', '.join(self.names)}"


@dataclass(frozen=True)
class Fixed(Setting):
    """A number that is the same in every row: told, and not learned from.

    Arguments:
        value: The number.
        unit: Its unit; "1" if it has none.

    Raises:
        InputError: If the number is not finite.
    """

    value: float
    unit: str = "1"

    def __post_init__(self) -> None:
        _numbers(self, "value")
        check_name(self.unit, "unit")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.value, self.value

    @property
    def levels(self) -> NDArray[np.float64]:
        return np.array([self.value])

    def describe(self) -> str:
        return f"{self.value:g}{_of(self.unit)} always"


def parse_setting(text: str) -> tuple[str, Setting] | None:
    """The name of a setting and what it can be; None if the text declares neither.

    Arguments:
        text: "T [K] real 900:1200", "t [h] real 1:100 log", "n integer 6:12", "sieve [um] levels
            63|90|125", "binder names clay|resin" or "F [N] fixed 3".

    Raises:
        InputError: If what follows the kind does not fit it.

    Example:
        >>> parse_setting("n integer 6:12")
        ('n', Integer(low=6.0, high=12.0, unit='1'))
    """
    if (found := _TEXT.fullmatch(text)) is None:
        return None
    unit, rest = found["unit"] or "1", found["rest"]
    try:
        return found["name"], _SPELT[found["kind"]](rest, unit)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"'process' has {text!r:.80}; write real 900:1200, real 1:100 log, integer 6:12, "
            "levels 63|90|125, names clay|resin or fixed 3 after the name."
        ) from error


def _real(rest: str, unit: str) -> Setting:
    ends, _, scale = rest.partition(" ")
    if scale.strip() not in ("", "log"):
        raise ValueError(rest)
    low, high = map(float, ends.split(":"))
    return Real(low, high, unit, bool(scale.strip()))


def _integer(rest: str, unit: str) -> Setting:
    low, high = map(float, rest.split(":"))
    return Integer(low, high, unit)


_SPELT: dict[str, Callable[[str, str], Setting]] = {
    "real": _real,
    "integer": _integer,
    "levels": lambda rest, unit: Ordinal(tuple(map(float, rest.split("|"))), unit),
    "names": lambda rest, _: Categorical(tuple(word.strip() for word in rest.split("|"))),
    "fixed": lambda rest, unit: Fixed(float(rest), unit),
}


def _numbers(setting: Setting, *names: str) -> None:
    """Makes plain numbers of some entries."""
    for name in names:
        came = getattr(setting, name)
        if not _fits(came):
            raise InputError(
                f"'{name}' is {came!r:.40}; give a number, finite and at most {_LARGEST:g} in "
                "size."
            )
        object.__setattr__(setting, name, float(came))  # type: ignore[arg-type]


def _fits(value: Any) -> bool:
    """Whether it is a number that single precision holds, in which the networks work."""
    return is_number(value) and abs(value) <= _LARGEST


def _of(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"
