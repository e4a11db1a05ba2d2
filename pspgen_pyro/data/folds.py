"""Which rows are one setting, and which settings validate.

Rows of equal φ are replicates of one setting: they never sit on both sides of a split, or the
validation loss would be that of data already seen.
"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import check_seed, is_number

__all__ = ["VALIDATION", "draw_settings", "hold_out", "settings_of"]

VALIDATION = 0
_HELD_OUT = 1
_DIGITS = 9


def settings_of(
    phi: NDArray[np.float64], span: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's setting, in the order of first appearance, and of its replicate.

    Settings that differ by less than about 1e-9 of the span are equal: 0.1 + 0.2 and 0.3 are one.

    Arguments:
        phi: The settings, with shape `(N, P)`.
        span: The width of the process space along each parameter, with shape `(P)`.
    """
    _, first, inverse = np.unique(
        np.round(phi / span, _DIGITS) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    index = rank[inverse.ravel()]
    order = np.argsort(index, kind="stable")
    sizes = np.bincount(index)
    starts = np.cumsum(sizes) - sizes
    replicate = np.empty_like(index)
    replicate[order] = np.arange(len(index)) - np.repeat(starts, sizes)
    return index, replicate


def draw_settings(
    phi: NDArray[np.float64],
    phi_index: NDArray[np.int64],
    kind: NDArray[np.int64],
    fraction: float,
    seed: int,
    purpose: int,
) -> NDArray[np.bool_]:
    """Whether each row belongs to the drawn part, about `fraction` of the settings.

    The draw depends on the settings and the seed, not on the order of the rows. Settings of
    different kinds are drawn apart, so that the part has its share of each.

    Arguments:
        phi: The settings, with shape `(N, P)`.
        phi_index: The number of each row's setting, with shape `(N)`.
        kind: A small number for the kind of each row, with shape `(N)`; a setting is of the
            largest kind of its rows.
        fraction: The part of the settings to draw.
        seed: Seeds the draw.
        purpose: A number that keeps draws of one seed apart.

    Raises:
        InputError: If one part would be empty.
    """
    if not (is_number(fraction) and 0 < fraction < 1):
        raise InputError(f"{fraction!r} of the settings are asked for; give a part such as 0.1.")
    check_seed(seed)
    _, first, place = np.unique(phi_index, return_index=True, return_inverse=True)
    kinds = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(kinds, place, kind)
    canonical = np.lexsort(phi[first].T[::-1])
    rng = np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(purpose,)))
    taken = np.zeros(len(first), dtype=bool)
    for one in np.unique(kinds):
        members = rng.permutation(canonical[kinds[canonical] == one])
        count = max(round(fraction * len(members)), 1)
        taken[members[: min(count, len(members) - 1)]] = True
    if not taken.any():
        raise InputError(
            f"{len(phi)} row(s) have {len(first)} setting(s), too few for two parts; rows of one "
            "setting stay together."
        )
    return taken[place]


def hold_out(data: xr.Dataset, fraction: float, seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    """A data set without some of its settings, and these, of which none trains.

    Raises:
        InputError: If a part would be empty.
    """
    known = data["m"].notnull().any("property").to_numpy()
    kind = 2 * data["fold"].to_numpy().astype(np.int64) + known
    phi, index = data["phi"].to_numpy(), data["phi_index"].to_numpy()
    drawn = draw_settings(phi, index, kind, fraction, seed, _HELD_OUT)
    parts = []
    for rows, word in ((~drawn, "kept"), (drawn, "held out")):
        part = data.isel(sample=np.flatnonzero(rows))
        note = f"{word} in a split of {len(drawn)} rows by setting ({fraction:g}, seed {seed})"
        # what was said of rows by their number holds no longer
        parts.append(part.assign_attrs(notes=json.dumps([note]), warnings="[]"))
    parts[1]["fold"] = xr.ones_like(parts[1]["fold"])
    return parts[0], parts[1]
