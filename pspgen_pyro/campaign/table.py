"""The table of a campaign: what goes out to the laboratory, and what comes back filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.checks import check_inside, check_known
from ..data.columns import chosen, numbers
from ..data.declared import Settings
from ..data.layout import encoded, sha256
from ..data.pixels import pixels
from ..data.table import censored, images_of, parse_csv, read_text
from ..errors import InputError
from ..process import Integer
from ..schema import Schema
from .journal import Experiment, Result, Told

__all__ = ["EXPERIMENT", "FAILED", "Read", "blank_table", "headings", "read_results"]

EXPERIMENT, FAILED = "experiment", "failed"
_YES = ("1", "1.0", "true", "yes", "y", "x", "failed")
_NO = ("0", "0.0", "false", "no", "n")
# settings that differ by less, in widths of the process space, are equal (see `data.folds`)
_EQUAL = 1e-9


@dataclass(frozen=True)
class Read:
    """A table of results.

    Arguments:
        told: What it says.
        images: The image of each of its results, labels or grey values, by the name of its file.
        notes: What was understood, and what deserves a second look.
    """

    told: Told
    images: Mapping[str, NDArray[Any]]
    notes: list[str]


def headings(schema: Schema) -> tuple[list[str], list[str]]:
    """The columns of the settings and of the properties: names with units."""
    process = zip(schema.process.names, schema.process.units, strict=True)
    properties = [(p.name, p.unit) for p in schema.properties]
    settings, values = ([_heading(*one) for one in part] for part in (process, properties))
    return settings, values


def blank_table(schema: Schema, experiments: Sequence[Experiment]) -> pd.DataFrame:
    """One row an experiment: its name, its setting, and empty cells to fill in."""
    settings, properties = headings(schema)
    columns: dict[str, Any] = {EXPERIMENT: [one.id for one in experiments]}
    phi = np.array([one.phi for one in experiments]).reshape(-1, len(settings))
    for heading, setting, values in zip(settings, schema.process.settings, phi.T, strict=True):
        if setting.words:
            columns[heading] = [*map(setting.shown, values)]
        else:
            columns[heading] = values.astype(int) if isinstance(setting, Integer) else values
    return pd.DataFrame(columns | {name: None for name in (*properties, FAILED)})


def read_results(
    table: str | Path | pd.DataFrame,
    schema: Schema,
    asked: Mapping[str, Experiment],
    images: str | None,
    corrects: bool,
) -> Read:
    """The results in a table, checked as any data are.

    Arguments:
        table: A CSV file, or a table in memory.
        schema: What a triad is.
        asked: The experiments that were asked for, by their names.
        images: The column that holds the paths of the images, or a pattern, as in
            `Triads.from_table`; both count the rows of materials that were made only.
        corrects: Whether the table corrects what was told before.

    Raises:
        InputError: If something is wrong with it; the sentence names the row and the column.
    """
    if isinstance(table, pd.DataFrame):
        path, text = Path("table"), table.to_csv(index=False)
    else:
        path, text = Path(table), read_text(Path(table))
    frame, said = parse_csv(text, path)
    try:
        rows = _Rows.of(frame, schema, path)
        rows.said.extend(_ignored(frame, schema, images))
        results = rows.results(asked)
        kept = [one for one in results if one is not None]
        if not kept:
            raise InputError(
                f"none of its {len(results)} rows has a result; fill in a property, or write 1 "
                f"under {FAILED!r} for an experiment that failed."
            )
        made = [one is not None and not one.failed for one in results]
        x, about_images = _images(images, frame.iloc[np.flatnonzero(made)], path.parent, schema)
    except InputError as error:
        raise InputError(f"{path.name}: {error} (Row 1 is the first below the header.)") from error
    names = [] if x is None else [sha256(one.tobytes())[:16] for one in x]
    rest = iter(names)
    told = Told(
        source=path.name,
        digest=sha256(encoded([text, names]).encode()),
        results=tuple(
            one if one.failed else one.model_copy(update={"image": next(rest, None)})
            for one in kept
        ),
        corrects=corrects,
    )
    found = {} if x is None else dict(zip(names, x, strict=True))
    return Read(told, found, [*said, *rows.said, *about_images])


@dataclass(frozen=True)
class _Rows:
    """The cells of a table: names of experiments, settings (N, P), values (N, K), failures."""

    names: list[str | None]
    phi: NDArray[np.float64]
    values: NDArray[np.float64]
    failed: list[bool]
    width: NDArray[np.float64]
    said: list[str]

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema, path: Path) -> _Rows:
        process, properties = schema.process, schema.properties
        settings, of_phi = chosen(frame, process.names, process.units, path.name, renaming=False)
        phi = numbers(Settings.of(process).coded(settings), "phi")
        check_known(phi, process.names)
        phi = check_inside(process, phi)
        names, units = schema.property_names, [p.unit for p in properties]
        cells, of_m = chosen(frame, names, units, path.name, renaming=False)
        values = numbers(censored(cells, properties), "m")
        schema.scaled(values)
        failed = [_is_failed(cell, i) for i, cell in enumerate(_column(frame, FAILED))]
        named = [None if cell is None else cell.lower() for cell in _column(frame, EXPERIMENT)]
        width = process.feasible.width
        return cls(named, phi, values, failed, width, [*of_phi, *of_m])

    def results(self, asked: Mapping[str, Experiment]) -> list[Result | None]:
        """The result of each row; None where there is none yet."""
        found = [self._result(i, asked) for i in range(len(self.names))]
        if empty := [i + 1 for i, one in enumerate(found) if one is None]:
            self.said.append(
                f"{len(empty)} row(s) without a result, the first is row {empty[0]}: still "
                f"pending; write 1 under {FAILED!r} for an experiment that failed"
            )
        return found

    def _result(self, i: int, asked: Mapping[str, Experiment]) -> Result | None:
        name, known = self.names[i], ~np.isnan(self.values[i])
        if name is not None and name not in asked:
            raise InputError(
                f"row {i + 1} names the experiment {name!r}, which was not asked for; asked for "
                f"were {_some(list(asked)) or 'none so far'}. Leave the cell empty for an "
                "experiment of your own."
            )
        if self.failed[i] and known.any():
            raise InputError(
                f"row {i + 1} is marked as failed but has the value "
                f"{self.values[i][known][0]:g}; remove one of the two."
            )
        if not (known.any() or self.failed[i]):
            return None
        values = tuple(float(v) if k else None for v, k in zip(self.values[i], known, strict=True))
        phi = self._setting(i, None if name is None else asked[name], asked)
        return Result(experiment=name, phi=phi, values=values, failed=self.failed[i])

    def _setting(
        self, i: int, wanted: Experiment | None, asked: Mapping[str, Experiment]
    ) -> tuple[float, ...]:
        """The setting of a row, with roundings of the one that was asked for taken back."""
        phi = self.phi[i]
        if wanted is None:
            twin = next((one for one in asked.values() if self._equal(phi, one)), None)
            if twin is not None:
                self.said.append(
                    f"row {i + 1} names no experiment but has the setting of {twin.id}: counted "
                    "beside it; name it if it is that experiment"
                )
        elif self._equal(phi, wanted):
            return wanted.phi
        else:
            self.said.append(
                f"row {i + 1} is {wanted.id} at another setting than asked for: counted at its own"
            )
        return tuple(map(float, phi))

    def _equal(self, phi: NDArray[np.float64], other: Experiment) -> bool:
        return bool((np.abs(phi - np.array(other.phi)) <= _EQUAL * self.width).all())


def _heading(name: str, unit: str) -> str:
    return name if unit in ("", "1") else f"{name} [{unit}]"


def _column(frame: pd.DataFrame, name: str) -> list[str | None]:
    """The cells of a column of the campaign's own; None each if there is no such column."""
    found = [j for j, heading in enumerate(frame.columns) if str(heading).lower() == name]
    if len(found) > 1:
        raise InputError(f"there are {len(found)} columns {name!r}; remove all but one.")
    if not found:
        return [None] * len(frame)
    return [None if pd.isna(cell) else str(cell) for cell in frame.iloc[:, found[0]]]


def _is_failed(cell: str | None, i: int) -> bool:
    word = "0" if cell is None else cell.lower()
    if word not in (*_YES, *_NO):
        raise InputError(
            f"column {FAILED!r} of row {i + 1} is {cell!r:.40}; write 1 for an experiment that "
            "failed, and nothing for the others."
        )
    return word in _YES


def _ignored(frame: pd.DataFrame, schema: Schema, images: str | None) -> list[str]:
    """A note on the columns that say nothing to a campaign."""
    names = {*schema.process.names, *schema.property_names, images}
    there = [str(heading) for heading in frame.columns]
    own = [heading.lower() for heading in there]
    more = [
        heading
        for heading, word in zip(there, own, strict=True)
        if word not in (EXPERIMENT, FAILED)
        and heading not in names
        and heading.split("[")[0].split("(")[0].strip() not in names
    ]
    said = [f"columns left aside: {_some(more)}"] if more else []
    if EXPERIMENT not in own:
        said.append(f"there is no column {EXPERIMENT!r}: every row is an experiment of your own")
    return said


def _images(
    images: str | None, frame: pd.DataFrame, folder: Path, schema: Schema
) -> tuple[NDArray[Any] | None, list[str]]:
    """The images of some rows, and what was done to them."""
    if images is None:
        return None, []
    structure = schema.images
    x, said = images_of(images, frame, folder)
    if x is None or x.shape[1:] != structure.shape:
        raise InputError(
            f"the images have {None if x is None else x.shape[1:]} pixels, but those of the "
            f"campaign {structure.shape}; bring them to that size."
        )
    labels, done = pixels(x, structure)
    return labels, [*said, *done]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
