"""Pixel values against the phases that are declared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..schema import Microstructure

__all__ = ["pixels", "shown_values"]

_WHITE = (255, 65535)
_MANY = 300


def pixels(
    x: NDArray[Any], microstructure: Microstructure
) -> tuple[NDArray[np.uint8] | NDArray[np.float32], list[str]]:
    """The images as labels (uint8) or grey values in [0, 1] (float32), and what was done to them.

    Labels 0 … phases − 1 are taken as they are; two phases may be 0 and 255 (or 65535); grey
    values of 8 or 16 bits are divided by 255 or 65535.

    Arguments:
        x: Images, with shape `(N, H, W)`.
        microstructure: What they are declared to be.

    Raises:
        InputError: If a pixel is none of these; the sentence names its row and value.
    """
    if x.dtype.kind == "f":
        _refuse(x, ~np.isfinite(x), "is not finite; a pixel of an image is always known")
    return _grey(x) if microstructure.grey else _labels(x, int(microstructure.phases))


def shown_values(x: NDArray[Any]) -> str:
    """The values of some pixels in words, for a sentence."""
    seen = _seen(x)
    if len(seen) > 8:
        return f"{len(seen) if len(seen) < _MANY else 'many'} values from {x.min()} to {x.max()}"
    return "the values " + ", ".join(f"{value:g}" for value in sorted(seen))


def _labels(x: NDArray[Any], phases: int) -> tuple[NDArray[np.uint8], list[str]]:
    seen = _seen(x)
    said = []
    if phases == 2 and any(seen == {0, white} for white in _WHITE):
        white = int(max(seen))
        x, seen = x == white, {0, 1}
        said = [f"pixels of 0 became label 0 (solid), pixels of {white} label 1 (void)"]
    if not seen <= set(range(phases)):
        words = shown_values(x)
        wrong = ~np.isin(x, np.arange(phases))
        advice = "declare phases='grey' if these are grey values, or cut them into labels first"
        if len(seen) <= max(phases, 8):
            order = ", ".join(f"{value:g}" for value in sorted(seen))
            advice = f"relabel them, for instance by np.searchsorted([{order}], x)"
        _refuse(x, wrong, f"is no label of {phases} phases; the images hold {words}; {advice}")
    labels = x.astype(np.uint8)
    share = np.bincount(labels.ravel(), minlength=phases) / labels.size
    names = ("0 (solid)", "1 (void)") if phases == 2 else tuple(map(str, range(phases)))
    parts = ", ".join(
        f"{name} {100 * part:.3g} %" for name, part in zip(names, share, strict=True)
    )
    return labels, [*said, f"phases, in shares of all pixels: {parts}"]


def _grey(x: NDArray[Any]) -> tuple[NDArray[np.float32], list[str]]:
    low, high = float(x.min()), float(x.max())
    said = []
    white = next((w for w in _WHITE if high <= w), _WHITE[-1])
    if x.dtype == np.uint16:
        white = _WHITE[-1]
    if x.dtype.kind in "ui" and high > 1:
        _refuse(x, (x < 0) | (x > white), "is no grey value of 8 or 16 bits")
        x = x / np.float32(white)
        said = [f"grey values of 0 to {white} became 0 to 1 (they reach from {low:g} to {high:g})"]
    _refuse(
        x,
        (x < 0) | (x > 1),
        "is no grey value between 0 and 1; scale the images, by one number for all of them",
    )
    return x.astype(np.float32), [*said, f"grey values: mean {float(x.mean()):.3g}"]


def _seen(x: NDArray[Any]) -> set[float]:
    """The values of the pixels, image by image, until there are too many to be labels."""
    seen: set[float] = set()
    for image in x:
        seen |= set(np.unique(image).tolist())
        if len(seen) >= _MANY:
            break
    return seen


def _refuse(x: NDArray[Any], wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        n, i, j = (int(place) for place in np.argwhere(wrong)[0])
        raise InputError(
            f"'x' has the value {x[n, i, j]:g} in row {n + 1}, pixel ({i + 1}, {j + 1}), which "
            f"{why}."
        )
