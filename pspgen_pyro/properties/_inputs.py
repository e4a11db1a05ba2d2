"""What the property solvers accept: batches of labelled images on a periodic cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.validation import plain

__all__ = ["choice", "labels", "labels_2d_or_3d", "with_solid"]

_MOST_PHASES = 256
_PIXEL = ("sample", "row", "column")


def labels(x: ArrayLike, phases: int = 2, *, dimensions: int = 2) -> NDArray[np.uint8]:
    """Returns `x` as uint8 with shape `(N, H, W)`, in three dimensions `(N, D, H, W)`, or says why
    it is no batch of microstructures.

    Raises:
        InputError: If `x` is not numeric, has another number of axes, is empty, is smaller than 3
            pixels a side, or holds a value that is not one of the labels 0, …, `phases` - 1.
    """
    if phases > _MOST_PHASES:
        raise InputError(
            f"there are {phases} phases; the labels of an image tell at most {_MOST_PHASES} apart."
        )
    values = plain(x, "x")
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"'x' has dtype {values.dtype}; pass whole-number labels 0 to {phases - 1}."
        )
    if values.ndim != dimensions + 1:
        shape = "(N, H, W)" if dimensions == 2 else "(N, D, H, W)"
        raise InputError(
            f"'x' has shape {values.shape}; pass a batch of shape {shape}, or x[None] for one "
            "microstructure."
        )
    if values.size == 0:
        raise InputError(
            f"'x' is empty, with shape {values.shape}; pass at least one microstructure."
        )
    if min(values.shape[1:]) < 3:
        sides = " by ".join(str(side) for side in values.shape[1:])
        raise InputError(
            f"'x' has images of {sides} pixels; the unit cell has at least 3 pixels a side."
        )
    allowed = np.isin(values, np.arange(phases))
    if not allowed.all():
        at = np.argwhere(~allowed)[0]
        listed = "0 (solid) and 1 (void)" if phases == 2 else f"the labels 0 to {phases - 1}"
        names = ("sample", "layer", "row", "column") if dimensions == 3 else _PIXEL
        place = ", ".join(f"{name} {index}" for name, index in zip(names, at, strict=True))
        raise InputError(f"'x' holds {values[tuple(at)]} at {place}; only {listed} are allowed.")
    return np.ascontiguousarray(values, dtype=np.uint8)


def labels_2d_or_3d(x: ArrayLike, phases: int = 2) -> NDArray[np.uint8]:
    """Returns `x` as `labels` does, in three dimensions if it has four axes."""
    values = plain(x, "x")
    return labels(values, phases, dimensions=3 if values.ndim == 4 else 2)


def with_solid(x: ArrayLike) -> NDArray[np.uint8]:
    """Returns `x` as `labels` does; flow also needs a solid pixel in every sample.

    Raises:
        InputError: If `labels` refuses `x`, or a sample is all void.
    """
    values = labels(x)
    all_void = np.flatnonzero(values.all(axis=(1, 2)))
    if len(all_void):
        raise InputError(
            f"'x' has no solid in sample {all_void[0]}, so its flow never is steady; every sample "
            "needs at least one solid pixel."
        )
    return values


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises InputError unless `value` is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"'{name}' is {value!r}; choose one of {', '.join(map(repr, allowed))}.")
