"""`pspgen import`: a table of your own, and its images, into a triads store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import InputError

__all__ = ["Import"]

_BOUNDS = re.compile(r"(?P<name>[^=]+)=(?P<low>[^:]+):(?P<high>[^:\[]+)(?:\[(?P<unit>[^\]]*)\])?")


@dataclass(frozen=True)
class Import:
    """Check a CSV file with one row a sample, and its images, and keep them as a triads store.

    Example: pspgen import table.csv --process a,b --property "k_h [m^2] log" --out mine.zarr
    """

    table: Annotated[Positional[Path], arg(metavar="TABLE")]
    """The CSV file, with a header."""
    process: str
    """The columns that are settings, as names separated by commas, each with its unit in brackets
    if it has one: "T [K],t [h]". After the name may come what it can be: real 900:1200, real 1:100
    log, integer 6:12, levels 63|90|125, names clay|resin, fixed 3."""
    property: UseAppendAction[tuple[str, ...]]
    """A column that is a property, as "name [unit] scale"; once for each. After the scale (linear,
    log or logit) may come below=, above= (detection limits), error=, quantity=, direction= and
    limits=a:b."""
    out: Path
    """The store to make; it must not exist."""
    bounds: UseAppendAction[tuple[str, ...]] = ()
    """The bounds of a setting, as "name=low:high" or "name=low:high[unit]"; once for each.
    Default: the range of the data."""
    constraint: UseAppendAction[tuple[str, ...]] = ()
    """What settings fulfil together, as "a + b + c = 100", "a <= 2 b" or "at most 2 of a, b, c";
    once for each."""
    images: str | None = None
    """The column that holds the paths of the images, or a pattern such as "img/*.png" whose files
    are the rows in order; both count from the table's folder."""
    phases: int | Literal["grey"] | None = None
    """The number of phases of the images, or grey."""
    periodic: bool = False
    """The images go on at their opposite edges."""
    pixel_size: float | None = None
    """The side of a pixel."""
    pixel_unit: str | None = None
    """Its unit."""
    validation: float = 0.1
    """The part of the settings that validates."""
    seed: int = 0
    """Seeds the folds."""

    def run(self) -> int | None:
        from ..data.triads import Triads
        from ..io.publish import refuse_existing

        refuse_existing(self.out)
        triads = Triads.from_table(
            self.table,
            process=self._process(),
            constraints=self.constraint,
            properties=self.property,
            images=self.images,
            microstructure=self._microstructure(),
            validation=self.validation,
            seed=self.seed,
        )
        triads.save(self.out)
        print(f"{self.out}: {len(triads)} triads")
        return None

    def _process(self) -> dict[str, Any]:
        from ..data.columns import split_unit
        from ..process.settings import parse_setting

        declared: dict[str, Any] = {}
        for text in self.process.split(","):
            if (told := parse_setting(text)) is not None:
                declared[told[0]] = told[1]
                continue
            name, unit = split_unit(text)
            declared[name if unit is None else f"{name} [{unit}]"] = None
        places = {split_unit(key)[0]: key for key in declared}
        for text in self.bounds:
            name, bounds = _bounds(text)
            if name not in places:
                raise InputError(
                    f"'bounds' has {text!r}, but 'process' names {', '.join(places)}; give bounds "
                    "of these."
                )
            declared[places[name]] = bounds
        return declared

    def _microstructure(self) -> dict[str, Any] | None:
        described = (self.phases, self.pixel_size, self.pixel_unit) != (None,) * 3 or self.periodic
        if self.images is None:
            if described:
                raise InputError("the images are described but not given; add --images.")
            return None
        if self.phases is None:
            raise InputError(
                "'images' are given but not what they are; add --phases 2 (or another number, or "
                "grey), and --periodic if they go on at their opposite edges."
            )
        return {
            "phases": self.phases,
            "periodic": self.periodic,
            "pixel_size": self.pixel_size,
            "pixel_unit": self.pixel_unit,
        }


def _bounds(text: str) -> tuple[str, tuple[Any, ...]]:
    """The name and the bounds in "name=low:high[unit]"."""
    found = _BOUNDS.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        ends = float(found["low"]), float(found["high"])
    except ValueError as error:
        raise InputError(f"'bounds' is {text!r}; write a=0:1 or a=0:1[K].") from error
    return found["name"].strip(), ends if found["unit"] is None else (*ends, found["unit"])
