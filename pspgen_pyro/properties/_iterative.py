r"""Conduction in large cells by conjugate gradients: a few vectors of memory, no factorisation.

The preconditioner is the same network with every element there and of one conductivity, which the
fast Fourier transform inverts exactly: with the symbols :math:`s = 2 - 2 \cos \theta` and
:math:`m = (2 + \cos \theta) / 3` of the 1-D stiffness and mass its eigenvalues are
:math:`s_1 m_2 m_3 + m_1 s_2 m_3 + m_1 m_2 s_3`. Steps then depend on the contrast and not on the
number of pixels. Where elements are left out (conductivity 0), residuals are spread over all of
the grid, and the answer read off at the conducting nodes: by the fictitious space lemma the steps
depend on how far a field has to be bent to go on through the insulator, and not on its
conductivity. A Jacobi term sees what the grid does not: nodes that are two at one place.

References:
    | Iterative Methods for Sparse Linear Systems (Saad, 2003), algorithm 9.1
    | The method of fictitious space (Nepomnyaschikh, 1991)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from ..errors import SimulationError
from ..io.compiling import kernel
from ._network import Network, element_matrix, network, node_places

__all__ = ["RESIDUAL", "tensor"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESIDUAL = 1e-8
"""The norm of what is left of the loads when the steps end, relative to that of the loads."""

STEPS = 2000
"""The steps after which a direction is given up."""

JACOBI = 0.2
"""The weight of the Jacobi term."""


def tensor(kappa: Floats) -> Floats:
    """The effective tensor `(d, d)` of conductivities `(H, W)` or `(D, H, W)`.

    Raises:
        SimulationError: If the steps do not converge.
    """
    cell = network(kappa)
    if not len(cell.elements):
        return np.zeros((kappa.ndim, kappa.ndim))
    found, element = kappa.ravel()[cell.elements], element_matrix(kappa.ndim)
    zero, precondition = np.zeros(cell.size), _preconditioner(cell, kappa)

    def operator(w: Floats) -> Floats:
        return _currents(cell.nodes, found, element, cell.drive[..., 0], 0, w)

    potentials = np.zeros((kappa.ndim, cell.size))
    for direction, side in enumerate(cell.sides):
        drive = cell.drive[..., direction]
        load = -_currents(cell.nodes, found, element, drive, side, zero)
        potentials[direction] = _conjugate_gradients(operator, load, precondition)
    energies = _energies(cell.nodes, found, element, cell.drive, cell.sides, potentials)
    return (energies + energies.T) / (2 * kappa.size)


def _conjugate_gradients(
    operator: Callable[[Floats], Floats],
    load: Floats,
    precondition: Callable[[Floats], Floats],
) -> Floats:
    shape = (len(load),) * 2
    matrix, inverse = (
        LinearOperator(shape, f, dtype=float)  # pyright: ignore[reportCallIssue]
        for f in (operator, precondition)
    )
    solution, failed = cg(matrix, load, rtol=RESIDUAL, maxiter=STEPS, M=inverse)
    if failed:
        raise SimulationError(
            f"The conduction problem did not converge in {STEPS} steps; its conductivities are "
            "too far apart for a volume. Pass 0 for those that are as good as none."
        )
    return solution


def _preconditioner(cell: Network, kappa: Floats) -> Callable[[Floats], Floats]:
    inverse = _inverse_symbol(kappa.shape)

    def on_grid(load: Floats) -> Floats:
        waves = np.fft.rfftn(load.reshape(kappa.shape)) * inverse
        return np.fft.irfftn(waves, s=kappa.shape, axes=range(kappa.ndim)).ravel()

    if cell.size == kappa.size == len(cell.elements):
        return on_grid
    place = node_places(cell, kappa.shape)
    found = kappa.ravel()[cell.elements]
    corners = cell.nodes.shape[1]
    stiffness = np.bincount(cell.nodes.ravel(), np.repeat(found, corners), minlength=cell.size)
    # a node that carries no current has no load either
    stiffness[stiffness == 0] = 1.0
    jacobi = JACOBI * found.mean() / (element_matrix(kappa.ndim)[0, 0] * stiffness)

    def on_nodes(load: Floats) -> Floats:
        spread = np.bincount(place, load, minlength=kappa.size)
        return on_grid(spread)[place] + jacobi * load

    return on_nodes


def _inverse_symbol(shape: tuple[int, ...]) -> Floats:
    """The inverse eigenvalues of the uniform network at the waves of `rfftn`, 0 for the mean."""
    counts = [*map(np.fft.fftfreq, shape[:-1]), np.fft.rfftfreq(shape[-1])]
    cosines = [
        np.cos(2 * np.pi * wave) for wave in np.meshgrid(*counts, indexing="ij", sparse=True)
    ]
    total = np.zeros(np.broadcast_shapes(*(cosine.shape for cosine in cosines)))
    for axis in range(len(shape)):
        term = 2 - 2 * cosines[axis]
        for other in range(len(shape)):
            if other != axis:
                term = term * (2 + cosines[other]) / 3
        total += term
    total.flat[0] = np.inf
    return 1 / total


@kernel()
def _currents(
    nodes: Ints, kappa: Floats, element: Floats, drive: NDArray[np.int16], step: int, w: Floats
) -> Floats:
    r""":math:`\sum_e \kappa_e k (\delta_e + w_e)` at each node; the drive is `step` a period."""
    total = np.zeros_like(w)
    corners = nodes.shape[1]
    u = np.empty(corners)
    for e in range(len(nodes)):
        for a in range(corners):
            u[a] = w[nodes[e, a]] + step * drive[e, a]
        for a in range(corners):
            flow = 0.0
            for b in range(corners):
                flow += element[a, b] * u[b]
            total[nodes[e, a]] += kappa[e] * flow
    return total


@kernel()
def _energies(
    nodes: Ints,
    kappa: Floats,
    element: Floats,
    drive: NDArray[np.int16],
    sides: Ints,
    w: Floats,
) -> Floats:
    r""":math:`\sum_e \kappa_e u_e^{(i)} \cdot k u_e^{(j)}`, with shape `(d, d)`."""
    directions, corners = len(sides), nodes.shape[1]
    total = np.zeros((directions, directions))
    u = np.empty((directions, corners))
    for e in range(len(nodes)):
        for i in range(directions):
            for a in range(corners):
                u[i, a] = w[i, nodes[e, a]] + sides[i] * drive[e, a, i]
        for i in range(directions):
            for j in range(directions):
                energy = 0.0
                for a in range(corners):
                    for b in range(corners):
                        energy += u[i, a] * element[a, b] * u[j, b]
                total[i, j] += kappa[e] * energy
    return total
