r"""Conduction in a periodic cell of squares or cubes, in variables that no contrast spoils.

With bilinear elements (trilinear in three dimensions) of side 1 the cell is a network. Let u be
the potential whose mean gradient is :math:`e_j`, a step of :math:`n_j` across the cell of
:math:`n_j` pixels. On element e it has the corner values :math:`u_e = \delta_e + w_e`, where the
drive :math:`\delta_e` holds the step and w is periodic. Then

.. math:: \sum_e \kappa_e k (\delta_e + w_e) \cdot v_e = 0 \quad \forall v, \qquad
    K_{ij} = \frac{1}{E} \sum_e \kappa_e \, u_e^{(i)} \cdot k \, u_e^{(j)},
    \qquad k = \int \nabla N_a \cdot \nabla N_b .

The energy is a sum of what is not negative, so nothing cancels in it, and an error of w enters
squared. Three choices keep w itself exact where conductivities differ by many decades:

* The step is where the current is hindered most. Elements are joined to components, the best
  conductors first (a maximum spanning tree), and every node takes its image number from its
  component. Only elements that close a path around the torus have a drive; an island has none.
* Conductivities within a factor `SPAN` are one group. Where elements of a group join components
  of better conductors, the unknowns are the level of each component and the differences within
  it. No entry of the matrix then is a small number lost in a large one.
* An element of conductivity 0 is left out. Two conducting elements hang together at a node only
  through faces at this node: a touch at a corner, or at an edge in three dimensions, has no
  width and carries no current. Components that wind around no direction carry none either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from ._joining import Joined

__all__ = ["SPAN", "Network", "element_matrix", "network", "node_places"]

SPAN = 1e4
"""Conductivities up to this factor apart are solved for as one group."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """The conducting elements of a cell of d dimensions that can carry a current.

    Arguments:
        elements: Their row-major numbers among all of the cell, shape `(E,)`.
        nodes: Their nodes, the direction x running fastest, `(E, 2**d)`.
        drive: The mean field's share of the potential at their corners, in periods,
            `(E, 2**d, d)`.
        sides: What a period is worth: the pixels along (x, y, z), `(d,)`.
        groups: The elements of each group, the best conductors first, as places in `elements`.
        roots: For no group joined, then after each: a node of the component of each node.
    """

    elements: Ints
    nodes: Ints
    drive: NDArray[np.int16]
    sides: Ints
    groups: list[Ints]
    roots: list[Ints]

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self.roots[0])

    def bases(self) -> list[Any]:
        """For each group the sparse matrix from the unknowns to the potentials that its elements
        see, up to a constant on each element."""
        used = np.zeros(self.size, dtype=bool)
        used[self.nodes] = True
        used[self.roots[-1] == self.roots[0]] = False
        number = np.cumsum(used) - 1
        basis, found = csr_array((self.size, int(used.sum()))), []
        for before, after in pairwise(self.roots):
            moves = np.flatnonzero((after[before] != before) & used[before])
            entries = (np.ones(len(moves)), (moves, number[before[moves]]))
            basis = basis + csr_array(entries, shape=basis.shape)
            found.append(basis)
        return found

    def potentials(self, bases: list[Any], unknowns: Floats) -> Floats:
        """The potentials u at the corners of each element, `(E, 2**d, d)`."""
        total = np.multiply(self.drive, self.sides, dtype=float)
        for group, basis in zip(self.groups, bases, strict=True):
            total[group] += (basis @ unknowns)[self.nodes[group]]
        return total

    def system(self, bases: list[Any], matrices: Floats) -> tuple[Any, Floats]:
        """The matrix and the loads `(unknowns, d)` from the element matrices `(E, 2**d, 2**d)`."""
        terms = [self._term(*each, matrices) for each in zip(self.groups, bases, strict=True)]
        matrix, loads = terms[0]
        for more, further in terms[1:]:
            matrix, loads = matrix + more, loads + further
        return matrix, loads

    def _term(self, group: Ints, basis: Any, matrices: Floats) -> tuple[Any, Floats]:
        nodes, corners = self.nodes[group], self.nodes.shape[1]
        place = (np.repeat(nodes, corners, axis=1).ravel(), np.tile(nodes, corners).ravel())
        shape = (self.size, self.size)
        matrix = coo_array((matrices[group].ravel(), place), shape=shape).tocsc()
        drive = np.multiply(self.drive[group], self.sides, dtype=float)
        forces = -np.matmul(matrices[group], drive)
        loads = np.stack([_gathered(nodes, force, self.size) for force in forces.T], axis=1)
        if len(self.groups) == 1:
            # the basis is a selection, which indexing does faster than the products below
            kept = np.flatnonzero(np.diff(basis.indptr))
            return matrix[kept][:, kept], loads[kept]
        return basis.T @ matrix @ basis, basis.T @ loads


def _gathered(nodes: Ints, values: Floats, size: int) -> Floats:
    """The sum at each node of corner values `(2**d, E)`."""
    return np.bincount(nodes.ravel(), values.T.ravel(), minlength=size)


def network(kappa: Floats) -> Network:
    """The network of conductivities `(H, W)` or `(D, H, W)`."""
    nodes, steps = _grid(kappa.shape)
    flat, sides = kappa.ravel(), np.array(kappa.shape[::-1], dtype=np.int64)
    elements = np.flatnonzero(flat)
    groups = list(_groups(flat[elements]))
    if len(groups) == 1 and len(elements) == flat.size:
        whole = np.arange(flat.size)
        return Network(elements, nodes, steps, sides, groups, [whole, np.zeros_like(whole)])

    if len(elements) < flat.size:
        nodes = _split(nodes, flat.reshape(kappa.shape) > 0)
    nodes, steps = nodes[elements], steps[elements]
    joined, roots = _joined(nodes, steps, groups)
    drive = steps - joined.image.astype(np.int16)[nodes]
    drive -= drive[:, :1].copy()
    carries = joined.winds.any(axis=1)[joined.parent[nodes[:, 0]]]
    place = np.cumsum(carries) - 1
    kept = [place[group[carries[group]]] for group in groups]
    return Network(elements[carries], nodes[carries], drive[carries], sides, kept, roots)


def node_places(cell: Network, shape: tuple[int, ...]) -> Ints:
    """The row-major place on the grid of each node, 0 of one that carries no current."""
    places = np.zeros(cell.size, dtype=np.int64)
    places[cell.nodes] = _grid(shape)[0][cell.elements]
    return places


@cache
def element_matrix(dimensions: int) -> Floats:
    r""":math:`\int \nabla N_a \cdot \nabla N_b` over a square or cube of side 1."""
    stiffness, mass = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([[2.0, 1.0], [1.0, 2.0]]) / 6
    total = np.zeros((2**dimensions,) * 2)
    for direction in range(dimensions):
        term = np.ones((1, 1))
        for axis in range(dimensions):
            term = np.kron(term, stiffness if axis == direction else mass)
        total += term
    return total


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, ...]) -> tuple[Ints, NDArray[np.int16]]:
    """The nodes of each element of the torus, and across which of its seams (x, y, z) they lie:
    shapes `(E, 2**d)` and `(E, 2**d, d)`."""
    sides = np.array(shape)
    first = np.indices(shape).reshape(len(shape), -1).T
    corners = np.array(list(product((0, 1), repeat=len(shape))))
    at = first[:, None, :] + corners
    nodes = np.asarray(np.ravel_multi_index(tuple(np.moveaxis(at % sides, -1, 0)), shape))
    steps = (at // sides)[:, :, ::-1]
    return nodes.astype(np.int64), np.ascontiguousarray(steps, dtype=np.int16)


def _groups(kappa: Floats) -> Iterator[Ints]:
    """The elements of each group of conductivities, from the best conductor down."""
    left = np.unique(kappa)
    while len(left):
        high, low = left[-1], left[left >= left[-1] / SPAN][0]
        yield np.flatnonzero((kappa >= low) & (kappa <= high))
        left = left[left < low]


def _split(nodes: Ints, conducts: NDArray[np.bool_]) -> Ints:
    """One node for each set of conducting elements that hang together by faces at a corner."""
    dimensions, corners = conducts.ndim, nodes.shape[1]
    own = np.arange(nodes.size).reshape(*conducts.shape, corners)
    links = []
    for axis in range(dimensions):
        bit = 1 << (dimensions - 1 - axis)
        near = [corner for corner in range(corners) if not corner & bit]
        both = conducts & np.roll(conducts, -1, axis)
        beyond = np.roll(own, -1, axis)[both][:, near]
        links.append(np.stack([own[both][:, [a | bit for a in near]], beyond]).reshape(2, -1))
    place = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(place.shape[1], dtype=np.int8), tuple(place)), (nodes.size,) * 2)
    labels = connected_components(graph, directed=False)[1].reshape(nodes.shape)
    used, numbered = np.unique(labels[conducts.ravel()], return_inverse=True)
    found = np.full(nodes.shape, -1)
    found[conducts.ravel()] = numbered.reshape(-1, corners)
    return found


def _joined(
    nodes: Ints, steps: NDArray[np.int16], groups: list[Ints]
) -> tuple[Joined, list[Ints]]:
    """The components of all groups, and the root of each node before and after each group."""
    joined = Joined.apart(int(nodes.max(initial=-1)) + 1, steps.shape[-1])
    roots = [joined.parent.copy()]
    for group in groups:
        first = np.repeat(nodes[group, :1], nodes.shape[1] - 1, axis=1)
        pairs = np.stack([first, nodes[group, 1:]], axis=-1).reshape(-1, 2)
        joined.join(pairs, steps[group, 1:].reshape(-1, steps.shape[-1]))
        roots.append(joined.parent.copy())
    return joined, roots
