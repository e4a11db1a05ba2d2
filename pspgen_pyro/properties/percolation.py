r"""Percolation: does the void connect around the periodic cell?

On the torus a void component percolates along a direction if it holds a closed path that winds
around the cell in that direction. Lift the component to the plane by walking it from one pixel:
every pixel gets the number of the periodic image :math:`(w_1, w_2) \in \mathbb{Z}^2` in which it
was first met, and a step to a neighbour met before closes a path whose winding is the difference
of the two image numbers. These closed paths generate all others, so the component percolates
along a direction exactly if one of them has a winding with a non-zero part there. A component
that winds only along a diagonal percolates in both directions.

Pixels connect through their four edges: flow with no slip at the corners does not pass a corner.

An image whose edges are walls or mirrors percolates along a direction if a path of void leads from
one of its faces to the opposite one: then, and only then, does the mirrored cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import choice, labels_2d_or_3d
from .edges import EDGES, Edges, mirrored

__all__ = ["percolation"]


def percolation(x: ArrayLike, edges: Edges = "periodic") -> NDArray[np.bool_]:
    """Whether the void connects around the torus, per direction.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, H, W)`, or `(N, D, H, W)` in
            three dimensions, where voxels connect through their six faces.
        edges: What lies beyond the image, see `pspgen_pyro.properties.edges`; with "walls" and
            "mirrored", whether the void connects its opposite faces.

    Returns:
        The flags of (horizontal, vertical), with shape `(N, 2)`; of volumes along (columns, rows,
        layers), `(N, 3)`.

    Raises:
        InputError: If `x` is not a batch of 0/1 images or volumes, or there are no such edges.

    Example:
        >>> x = np.zeros((1, 8, 8), dtype=int)
        >>> x[0, 2:5] = 1
        >>> percolation(x)
        array([[ True, False]])
    """
    from . import _joining, _windings

    choice("edges", edges, EDGES)
    values = labels_2d_or_3d(x)
    cells = values if edges == "periodic" else mirrored(values)
    return _joining.windings(cells) if cells.ndim == 4 else _windings.windings(cells)
