"""Permeability of an image with given edges, from a solver of periodic cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import choice, labels, with_solid
from .edges import EDGES, mirrored, walled

__all__ = ["flow_images", "tensor_of", "without_blocked"]


def flow_images(x: ArrayLike, edges: str) -> NDArray[np.uint8]:
    """Returns `x` as `labels` does, with solid wherever a flow could not be steady without.

    Raises:
        InputError: If `labels` refuses `x`, there are no such edges, or a sample is all void and
            its edges are no walls.
    """
    choice("edges", edges, EDGES)
    return labels(x) if edges == "walls" else with_solid(x)


def tensor_of(
    x: NDArray[np.uint8], edges: str, solve: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    r"""The permeability tensors of the images, in units of an image's area.

    A cell of :math:`A'` pixels with the permeability :math:`k'`, in units of its own area, has
    :math:`k = k' A' / (H W)`. The mean of a mirrored cell is that of the image; a cell with walls
    has one row of solid more, which the mean leaves out. Both are symmetric to a mirror, so
    :math:`K_{12} = K_{21} = 0`.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, H, W)`.
        edges: "periodic", "walls" or "mirrored".
        solve: Returns the tensors of periodic cells, in units of a cell's area.

    Returns:
        The tensors, with shape `(N, 2, 2)`.
    """
    if edges == "periodic":
        return solve(x)
    if edges == "mirrored":
        return solve(mirrored(x)) * (4 * np.eye(2))
    tensor = np.zeros((len(x), 2, 2))
    # the columns of x run along the first direction
    for direction, along in enumerate((2, 1)):
        cell = walled(x, along)
        across = 3 - along
        share = cell[0].size / x[0].size * cell.shape[across] / x.shape[across]
        tensor[:, direction, direction] = solve(cell)[:, direction, direction] * share
    return tensor


def without_blocked(
    tensor: NDArray[np.float64], percolates: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Returns the tensors with the rows and columns of every blocked direction 0: no force along
    it moves the fluid, and no force moves the fluid along it."""
    return np.where(percolates[:, :, None] & percolates[:, None, :], tensor, 0.0)
