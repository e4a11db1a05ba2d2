r"""What lies beyond the edges of an image, as a larger periodic cell.

* "periodic": the image repeats. Every solver works on this cell; the other two are brought to it.
* "mirrored": the image is reflected at each of its sides. Along the mean field the two faces are
  then each at one potential (or pressure), and nothing crosses the other sides, along which a
  fluid slips. This is what an experiment between two plates imposes.
* "walls": as "mirrored" along the mean field, and the other sides are walls, which nothing crosses
  and at which a fluid rests. Without a fluid this is "mirrored".

The mirrored cell has :math:`2^d` times the pixels of the image, and by its symmetry its mean
fields are those of the image.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGES", "Edges", "mirrored", "walled"]

Edges = Literal["periodic", "walls", "mirrored"]
EDGES: tuple[Edges, ...] = ("periodic", "walls", "mirrored")


def mirrored(x: NDArray[np.uint8], axes: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Reflects each image at the far side of the given axes, of all by default.

    Arguments:
        x: Labels with shape `(N, H, W)` or `(N, D, H, W)`.
        axes: Axes of `x`, from 1.

    Returns:
        Labels whose shape is twice that of `x` along these axes.
    """
    for axis in range(1, x.ndim) if axes is None else axes:
        x = np.concatenate([x, np.flip(x, axis)], axis)
    return x


def walled(x: NDArray[np.uint8], along: int) -> NDArray[np.uint8]:
    """Reflects each image along one axis, and puts one row of solid beside it along every other.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, H, W)`.
        along: The axis of `x` of the mean field, from 1.

    Returns:
        Microstructures with twice the pixels along this axis and one more along every other. A
        mean over the image is `(H + 1) / H` times the mean over this cell for a horizontal field.
    """
    beside = [(0, 0) if axis in (0, along) else (0, 1) for axis in range(x.ndim)]
    return np.pad(mirrored(x, (along,)), beside)
