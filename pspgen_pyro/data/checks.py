"""What can be wrong with a table of φ and m: errors that stop, and warnings that are told.

A value v of a column is an outlier beyond

.. math:: |v - \\operatorname{median}| > 20 s, \\qquad
          s = 1.4826 \\, \\operatorname{median}\\{|v_i - \\operatorname{median}| > 0\\},

with the ties left out of s, since a column half of whose values are equal has no spread otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..process import Fixed, ProcessSpace, Real, Setting
from ..schema import Property

__all__ = [
    "about_fold_sizes",
    "about_properties",
    "about_rows",
    "about_settings",
    "check_inside",
    "check_known",
    "check_properties_vary",
    "check_settings",
]

_FAR = 20.0
_TIED = 0.05
_FEW_ROWS = 20
_FEW_SETTINGS = 5
_DECADES = 30.0
_DEPENDENT = 0.01
_TABLE = 1e-3


def check_known(phi: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raises an InputError if a setting is not finite."""
    wrong = np.argwhere(~np.isfinite(phi))
    if len(wrong):
        row, j = wrong[0]
        came = "empty or NaN" if np.isnan(phi[row, j]) else f"{phi[row, j]:g}"
        raise InputError(
            f"'phi' is {came} in row {row + 1}, column {names[j]!r} ({len(wrong)} such entries); "
            "every setting must be known: complete the row or leave it out."
        )


def check_settings(
    phi: NDArray[np.float64], names: Sequence[str], kinds: Sequence[Setting | None]
) -> None:
    """Raises an InputError if a setting is not finite, or never varies and is not fixed."""
    check_known(phi, names)
    for name, column, kind in zip(names, phi.T, kinds, strict=True):
        if (column == column[0]).all() and not isinstance(kind, Fixed):
            raise InputError(
                f"'phi' has {name!r} = {column[0]:g} in each of {len(column)} row(s); a parameter "
                "that never varies can teach nothing: leave it out, or declare it Fixed."
            )


def check_inside(process: ProcessSpace, phi: NDArray[np.float64]) -> NDArray[np.float64]:
    """The settings, with those a rounding error outside their bounds put on them, and those that
    miss a sum by the rounding of a table, a thousandth of its terms, put on it.

    Raises:
        InputError: If a setting lies outside; the sentence names its row.
    """
    outside = process.outside(phi)
    if outside.any():
        row, j = np.argwhere(outside)[0]
        if not isinstance(process.settings[j], Real):
            raise InputError(
                f"'phi' has in row {row + 1} {process.why_outside(int(j), float(phi[row, j]))} "
                f"({outside.any(-1).sum()} such row(s)); declare that too, correct the value or "
                "leave the row out."
            )
        raise InputError(
            f"'phi' is {phi[row, j]:g} in row {row + 1}, column {process.names[j]!r}, outside its "
            f"bounds [{process.lower[j]:g}, {process.upper[j]:g}] ({outside.any(-1).sum()} such "
            "row(s)); widen the bounds, correct the value or leave the row out."
        )
    if not process.constraints:
        return process.check(phi)
    off = process.feasible.violated(phi, _TABLE)
    if off.any():
        row, c = np.argwhere(off)[0]
        raise InputError(
            f"'phi' has in row {row + 1} {process.shown(phi[row])}, which violates "
            f"{process.constraints[c]!r} ({off.any(-1).sum()} such row(s)); correct the row, "
            "relax the constraint or leave the row out."
        )
    return process.check(process.feasible.placed(phi))


def check_properties_vary(properties: Sequence[Property], values: NDArray[np.float64]) -> None:
    """Raises an InputError if a property is unknown everywhere, or never varies."""
    for p, column in zip(properties, values.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known):
            raise InputError(
                f"property {p.name!r} is unknown in every row; fill it in or leave it out."
            )
        if (known == known[0]).all():
            limit = " (its detection limit)" if known[0] in p.detection_limit else ""
            raise InputError(
                f"property {p.name!r} is {known[0]:g}{limit} in each of its {len(known)} known "
                "row(s); a property that never varies can teach nothing: leave it out."
            )


def about_settings(
    phi: NDArray[np.float64], process: ProcessSpace, unbounded: Sequence[str]
) -> list[str]:
    """What deserves a second look in the settings: outliers, decades, sums.

    Arguments:
        phi: The settings, with shape `(N, P)`.
        process: What they can be.
        unbounded: The names of those whose bounds are the range of the data.
    """
    told = []
    for name, column in zip(process.names, phi.T, strict=True):
        if name not in unbounded:
            continue
        low, high = np.quantile(column, (0.05, 0.95))
        # a uniform law from 0 already has the ratio 19
        if column.min() > 0 and high > 3 * _DECADES * low:
            told.append(
                f"{name} reaches from {column.min():g} to {column.max():g}: if it acts by its "
                f'magnitude, declare "{name} real {column.min():g}:{column.max():g} log"'
            )
        else:
            told += _stretched(name, column)
    real = [j for j, one in enumerate(process.settings) if isinstance(one, Real)]
    if process.constraints:
        return told
    return told + _dependent(phi[:, real], [process.names[j] for j in real])


def about_properties(
    properties: Sequence[Property], values: NDArray[np.float64], m: NDArray[np.float64]
) -> list[str]:
    """What deserves a second look in the properties: outliers, ties, decades, limits."""
    told = []
    for p, v, u in zip(properties, values.T, m.T, strict=True):
        at_limit = np.isin(v, [end for end in p.detection_limit if end is not None])
        known = v[~np.isnan(v)]
        if len(known) < _FEW_ROWS <= len(v):
            told.append(f"{p.name} is known in {len(known)} rows only: expect wide answers")
        low, high = np.quantile(known, (0.05, 0.95))
        if p.scale == "linear" and known.min() > 0 and high > _DECADES * low:
            told.append(
                f"{p.name} reaches from {known.min():g} to {known.max():g} on a linear scale: "
                f'declare "{p.name} [{p.unit}] log" if its spread grows with its size'
            )
        if at_limit.sum() > 0.5 * len(known):
            told.append(
                f"{p.name} is at its detection limit in {at_limit.sum()} of {len(known)} known "
                "rows: is the limit in the unit of the values?"
            )
        told += _outliers(p.name, np.where(at_limit, np.nan, u), v)
        told += _ties(p.name, v[~at_limit & ~np.isnan(v)], len(known))
    return told


def about_rows(
    phi: NDArray[np.float64], x: NDArray[Any] | None, m: NDArray[np.float64]
) -> list[str]:
    """What deserves a second look in rows: too few, repeated ones, ones that teach nothing."""
    told = []
    if len(phi) < _FEW_ROWS:
        told.append(f"{len(phi)} rows are few: expect wide answers")
    first: dict[bytes, int] = {}
    repeated = []
    for row in range(len(phi)):
        content = [phi[row], m[row]] + ([] if x is None else [x[row]])
        key = hashlib.blake2b(b"".join(part.tobytes() for part in content)).digest()
        if first.setdefault(key, row) != row:
            repeated.append((row, first[key]))
    if repeated:
        row, original = repeated[0]
        told.append(
            f"{len(repeated)} row(s) repeat another in everything, as row {row + 1} does row "
            f"{original + 1}: leave them out unless they are separate measurements"
        )
    empty = np.isnan(m).all(-1)
    if x is None and empty.any():
        told.append(
            f"{empty.sum()} row(s) know no property, the first is row {_first(empty)}: without an "
            "image they teach nothing"
        )
    return told


def about_fold_sizes(
    properties: Sequence[Property],
    m: NDArray[np.float64],
    phi_index: NDArray[np.int64],
    fold: NDArray[np.int8],
) -> list[str]:
    """What deserves a second look in the folds.

    Raises:
        InputError: If a property is known in no row that trains.
    """
    told = []
    settings = len(np.unique(phi_index[fold == 1]))
    if settings < _FEW_SETTINGS:
        told.append(
            f"only {settings} setting(s) validate: a larger part, such as validation=0.2, or more "
            "settings make the choice of the weights safer"
        )
    for p, column in zip(properties, m.T, strict=True):
        known = ~np.isnan(column)
        if not known[fold == 0].any():
            raise InputError(
                f"property {p.name!r} is known only in rows that validate ({known.sum()} known in "
                "all); give more values, another seed, or leave it out."
            )
        if not known[fold == 1].any():
            told.append(f"{p.name} is known in no row that validates")
    return told


def _outliers(name: str, m: NDArray[np.float64], values: NDArray[np.float64]) -> list[str]:
    known = np.flatnonzero(~np.isnan(m))
    distance = np.abs(m[known] - np.median(m[known])) if len(known) else np.zeros(0)
    apart = distance[distance > 0]
    if not len(apart):
        return []
    size = distance / (1.4826 * np.median(apart))
    rows = [int(known[place]) for place in np.argsort(-size) if size[place] > _FAR]
    if not rows:
        return []
    shown = ", ".join(f"{values[row]:g} (row {row + 1})" for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return [
        f"{name} lies over {_FAR:g} robust scales from its median {np.nanmedian(values):g}: "
        f"{shown}{more}; correct slips of the pen, and leave what is real"
    ]


def _stretched(name: str, column: NDArray[np.float64]) -> list[str]:
    """Whether a few settings, far from all others, make the bounds as wide as they are."""
    levels = np.unique(column)
    gaps = np.diff(levels)
    if len(levels) < 5:
        return []
    for value, gap, count in (
        (levels[0], gaps[0], (column == levels[0]).sum()),
        (levels[-1], gaps[-1], (column == levels[-1]).sum()),
    ):
        if gap > 0.5 * (levels[-1] - levels[0]) and count < _TIED * len(column):
            return [
                f"{name} is {value:g} in row {_first(column == value)}, far from all other rows, "
                "and its bounds reach that far: a slip? Correct it, or declare the bounds"
            ]
    return []


def _ties(name: str, values: NDArray[np.float64], known: int) -> list[str]:
    """Values away from the declared limits that occur too often for a continuous property."""
    if not len(values):
        return []
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= min(10, len(values) // 3):
        return [f"{name} takes only {len(distinct)} different values; it is taken as continuous"]
    for value, count, side, end in (
        (distinct[0], counts[0], "below", "smallest"),
        (distinct[-1], counts[-1], "above", "largest"),
    ):
        if count >= 3 and count > _TIED * known / 2:
            return [
                f"{name} is exactly {value:g}, its {end} value, in {count} of {known} rows: a "
                f"detection limit? Then declare {side}={float(value)!r}"
            ]
    count, value = counts.max(), distinct[counts.argmax()]
    if count >= 5 and count > _TIED * known:
        return [f"{name} is exactly {value:g} in {count} of {known} rows: a default or a limit?"]
    return []


def _dependent(phi: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Whether the settings sum to a constant, or follow from each other."""
    if phi.shape[1] < 2 or len(phi) <= phi.shape[1]:
        return []
    span = phi.max(0) - phi.min(0)
    unit = (phi - phi.min(0)) / span
    spread, axes = np.linalg.eigh(np.cov(unit.T))
    if spread[0] > (_DEPENDENT * spread[-1] ** 0.5) ** 2:
        return []
    part = np.abs(axes[:, 0] / span)
    members = [j for j in range(len(names)) if part[j] > 1e-3 * part.max()]
    together = ", ".join(names[j] for j in members)
    total = phi[:, members].sum(1)
    if total.std() <= _DEPENDENT * phi[:, members].std(0).max():
        how = f"sum to {total.mean():.4g} in every row"
        mend = (
            f'declare constraints="{" + ".join(names[j] for j in members)} = {total.mean():.4g}"'
        )
    else:
        how = "determine each other in every row"
        mend = f"leave one of them out, such as {names[members[-1]]}"
    return [f"{together} {how}: a design may leave that line, where no data are; {mend}"]


def _first(mask: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(mask)[0]) + 1
