"""Which cells or nodes of the torus hang together, and around which of its directions they wind.

Every member has an image number, the period of the torus in which it lies if its component is
lifted from the torus to space. A pair of members that belong to one component already, but whose
image numbers do not differ by the pair's step, closes a path that winds around the torus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.compiling import kernel

__all__ = ["Joined", "windings"]


@dataclass(frozen=True)
class Joined:
    """Components of M members of a torus of d dimensions, at first each for itself.

    Arguments:
        parent: A member of the same component; a component's root is its own, shape `(M,)`.
        image: The image number relative to the parent, `(M, d)`.
        winds: Whether the component winds around each direction, valid at a root, `(M, d)`.
        size: The members of the component, valid at a root, `(M,)`.
    """

    parent: NDArray[np.int64]
    image: NDArray[np.int64]
    winds: NDArray[np.bool_]
    size: NDArray[np.int64]

    @classmethod
    def apart(cls, members: int, dimensions: int) -> Joined:
        """Every member a component of its own."""
        shape = (members, dimensions)
        return cls(
            np.arange(members),
            np.zeros(shape, dtype=np.int64),
            np.zeros(shape, dtype=np.bool_),
            np.ones(members, dtype=np.int64),
        )

    def join(self, pairs: NDArray[np.int64], steps: NDArray[np.integer[Any]]) -> None:
        """Joins the members of each pair `(P, 2)`; `steps` `(P, d)` are how many periods further
        the second lies. Afterwards every parent is a root."""
        _join(pairs, steps, self.parent, self.image, self.winds, self.size)


def windings(x: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Around which of (x, y) or (x, y, z) the void of each sample `(N, H, W)` or `(N, D, H, W)`
    winds, through the faces of its pixels: shape `(N, d)`."""
    return np.stack([_sample_winds(sample == 1) for sample in x])


def _sample_winds(void: NDArray[np.bool_]) -> NDArray[np.bool_]:
    voxels = np.arange(void.size).reshape(void.shape)
    joined = Joined.apart(void.size, void.ndim)
    for direction in range(void.ndim):
        axis = void.ndim - 1 - direction
        both = void & np.roll(void, -1, axis)
        pairs = np.stack([voxels[both], np.roll(voxels, -1, axis)[both]], axis=1)
        steps = np.zeros((len(pairs), void.ndim), dtype=np.int64)
        steps[:, direction] = np.argwhere(both)[:, axis] == void.shape[axis] - 1
        joined.join(pairs, steps)
    return joined.winds.any(axis=0)


@kernel()
def _root(
    member: int, parent: NDArray[np.int64], image: NDArray[np.int64], at: NDArray[np.int64]
) -> int:
    """The root of `member`'s component; writes the image number relative to it to `at`, and makes
    the path to it half as long."""
    for axis in range(len(at)):
        at[axis] = 0
    while parent[member] != member:
        above = parent[member]
        if parent[above] != above:
            for axis in range(len(at)):
                image[member, axis] += image[above, axis]
            parent[member] = parent[above]
        for axis in range(len(at)):
            at[axis] += image[member, axis]
        member = parent[member]
    return member


@kernel()
def _join(
    pairs: NDArray[np.int64],
    steps: NDArray[np.integer[Any]],
    parent: NDArray[np.int64],
    image: NDArray[np.int64],
    winds: NDArray[np.bool_],
    size: NDArray[np.int64],
) -> None:
    here, there = np.zeros_like(image[0]), np.zeros_like(image[0])
    for i in range(len(pairs)):
        a = _root(pairs[i, 0], parent, image, here)
        b = _root(pairs[i, 1], parent, image, there)
        sign = 1
        if size[a] < size[b]:
            a, b, sign = b, a, -1
        for axis in range(len(here)):
            # from a to b
            shift = sign * (here[axis] + steps[i, axis] - there[axis])
            if a == b:
                winds[a, axis] |= shift != 0
            else:
                image[b, axis] = shift
                winds[a, axis] |= winds[b, axis]
        if a != b:
            parent[b] = a
            size[a] += size[b]
    for member in range(len(parent)):
        parent[member] = _root(member, parent, image, here)
        for axis in range(len(here)):
            image[member, axis] = here[axis]
