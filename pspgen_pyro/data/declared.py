"""What the caller declares of φ, x and m, read into the entries of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import check_instance
from ..process import ProcessSpace, Real, Setting
from ..process.settings import parse_setting
from ..schema import Microstructure, Property
from .columns import named, split_unit
from .pixels import shown_values

__all__ = [
    "Bounds",
    "Images",
    "Process",
    "Properties",
    "Settings",
    "read_microstructure",
    "read_properties",
    "read_settings",
]

Bounds = tuple[float, float] | tuple[float, float, str] | Setting | None
Process = ProcessSpace | Mapping[str, Bounds] | Sequence[str] | None
Properties = str | Property | Sequence[str | Property]
Images = Microstructure | Mapping[str, Any] | None


@dataclass(frozen=True)
class Settings:
    """What is declared of the process.

    Arguments:
        names: The names of the parameters.
        units: Their units.
        kinds: What each can be; None for a real number in the range of the data.
        constraints: What they must fulfil together.
        space: The process space, where it was declared as a whole.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[Setting | None, ...]
    constraints: tuple[str, ...] = ()
    space: ProcessSpace | None = None

    @classmethod
    def of(cls, space: ProcessSpace) -> Settings:
        """What a whole process space declares."""
        return cls(space.names, space.units, space.settings, (), space)

    @property
    def unbounded(self) -> tuple[str, ...]:
        """The parameters whose bounds are the range of the data."""
        return tuple(n for n, kind in zip(self.names, self.kinds, strict=True) if kind is None)

    def process(self, phi: NDArray[np.float64]) -> ProcessSpace:
        """The process space, with the range of `phi`, of shape `(N, P)`, where no bounds are
        declared."""
        if self.space is not None:
            return self.space
        kinds = [
            Real(float(v.min()), float(v.max()), unit) if kind is None else kind
            for kind, unit, v in zip(self.kinds, self.units, phi.T, strict=True)
        ]
        found = dict(zip(self.names, kinds, strict=True))
        return ProcessSpace.of(found, constraints=self.constraints)

    def coded(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The settings with the places of their names where they are words.

        Raises:
            InputError: If a word is none of the declared ones.
        """
        columns = zip(self.names, self.kinds, strict=True)
        named = {n: kind.words for n, kind in columns if kind is not None and kind.words}
        return frame.assign(
            **{n: _places(frame[n].tolist(), n, words) for n, words in named.items()}
        )


def read_settings(
    process: Process, frame: pd.DataFrame, constraints: str | Sequence[str] = ()
) -> Settings:
    """What the declaration of a process says.

    Arguments:
        process: A process space; a mapping from names, or "name [unit]", to (low, high),
            (low, high, unit), a `Setting`, or None for the range of the data; the names alone, or
            with what they can be, such as "n integer 6:12"; or None for all columns of `frame`.
        frame: The settings.
        constraints: What they must fulfil together.

    Raises:
        InputError: If the declaration has another form.
    """
    check_instance((str, list, tuple), "texts such as 'a + b = 1'", constraints=constraints)
    bound = (constraints,) if isinstance(constraints, str) else tuple(constraints)
    if isinstance(process, ProcessSpace):
        if bound:
            raise InputError(
                "'constraints' are given beside a ProcessSpace, which has its own; give it them."
            )
        return Settings.of(process)
    if process is None:
        numbered = [f"phi{j + 1}" for j in range(len(frame.columns))]
        process = [str(column) for column in frame.columns] if named(frame) else numbered
    if isinstance(process, str):
        process = [process]
    if not isinstance(process, Mapping | Sequence) or not process:
        raise InputError(f"'process' is {process!r:.80}; {_PROCESS}")
    items = list(process.items() if isinstance(process, Mapping) else [(p, None) for p in process])
    names, units, kinds = zip(*(_parameter(*item) for item in items), strict=True)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"'process' names {twice[0]!r} twice; names differ.")
    return Settings(names, units, kinds, bound)


def read_properties(properties: Properties) -> tuple[Property, ...]:
    """The declared properties.

    Raises:
        InputError: If there is none, or one is neither a `Property` nor the text of one.
    """
    if isinstance(properties, str | Property):
        properties = [properties]
    fits = isinstance(properties, Sequence) and len(properties) > 0
    if not fits or not all(isinstance(p, str | Property) for p in properties):
        raise InputError(
            f"'properties' is {properties!r:.80}; give one a column of m, with unit and scale, "
            'such as ["k_h [m^2] log", "strength [MPa]"].'
        )
    return tuple(Property.parse(p) if isinstance(p, str) else p for p in properties)


def read_microstructure(declared: Images, x: NDArray[Any] | None) -> Microstructure | None:
    """The declared microstructure, whose shape the images may fill in.

    Arguments:
        declared: A `Microstructure`, or its entries without the shape.
        x: The images, with shape `(N, H, W)` or, of volumes that are declared with their shape,
            `(N, D, H, W)`, if there are any.

    Raises:
        InputError: If there are images and no declaration or the other way round, or they differ.
    """
    if x is None:
        if declared is not None:
            raise InputError("'microstructure' is declared but 'x' is None; give the images too.")
        return None
    if x.ndim not in (3, 4) or 0 in x.shape or x.dtype.kind not in "buif":
        raise InputError(
            f"'x' has shape {x.shape} and holds {x.dtype}; images are numbers with the shape "
            "(N, H, W), volumes with (N, D, H, W), one for each row of phi."
        )
    if not isinstance(declared, Microstructure | Mapping):
        raise InputError(f"'x' has shape {x.shape} and {shown_values(x)}, but {_IMAGES}")
    if isinstance(declared, Mapping):
        if not {"phases", "periodic"} <= set(declared):
            raise InputError(f"'microstructure' is {dict(declared)!r:.80}, but {_IMAGES}")
        if x.ndim == 4 and "shape" not in declared:
            raise InputError(
                f"'x' has shape {x.shape}; if these are volumes, declare their 'shape' (D, H, W) "
                "in 'microstructure'; colours must be made labels or grey values first."
            )
        entries: dict[str, Any] = {"shape": x.shape[1:], **declared}
        declared = Microstructure(**entries)
    if x.shape[1:] != declared.shape:
        raise InputError(
            f"'x' has images of {x.shape[1:]} pixels, but the microstructure is declared with "
            f"{declared.shape}; rows come first, then columns."
        )
    return declared


def _places(column: Sequence[Any], name: str, words: tuple[str, ...]) -> list[Any]:
    """The number of the word in each row; numbers of words are left as they are."""
    places = {word: float(k) for k, word in enumerate(words)}
    found: list[Any] = []
    for row, cell in enumerate(column):
        number = isinstance(cell, int | float | np.number)
        # a name may look like a number, and then it is the name
        word = cell.strip() if isinstance(cell, str) else f"{cell:g}" if number else cell
        if word not in places and not number and cell is not None:
            raise InputError(
                f"'phi' is {cell!r:.40} in row {row + 1}, column {name!r}, which is none of the "
                f"declared names: {', '.join(words)}; declare it too, or correct it."
            )
        found.append(places.get(word, cell))
    return found


def _parameter(key: Any, value: Any) -> tuple[str, str, Setting | None]:
    """The name and the unit of one parameter, and what it can be."""
    if not isinstance(key, str):
        raise InputError(f"'process' has the name {key!r}; {_PROCESS}")
    if value is None and (told := parse_setting(key)) is not None:
        return told[0], told[1].unit, told[1]
    name, unit = split_unit(key)
    if isinstance(value, Setting):
        if unit not in (None, value.unit):
            raise InputError(
                f"'process' has {key!r} but its setting has the unit {value.unit!r}; declare one."
            )
        return name, value.unit, value
    if value is None:
        return name, unit or "1", None
    try:
        check_instance((list, tuple, np.ndarray), "a pair", value=value)
        low, high, *rest = value
        (unit,) = rest or (unit,)
    except (TypeError, ValueError) as error:
        raise InputError(f"'process' has {key!r}: {value!r}; {_PROCESS}") from error
    try:
        unit = "1" if unit in (None, "") else unit
        return name, unit, Real(low, high, unit)
    except InputError as error:
        raise InputError(f"'process' has {key!r}: {value!r}: {error}") from error


_PROCESS = (
    'give names, as ["T [K]", "n integer 6:12"], a mapping to bounds or settings, as {"T": (900, '
    '1200, "K"), "n": Integer(6, 12)}, or a ProcessSpace.'
)
_IMAGES = (
    "what they are is not declared; pass microstructure=dict(phases=2, periodic=False): the "
    'number of phases (or "grey"), and whether the image goes on at its opposite edge.'
)
