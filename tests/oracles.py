"""Slow, plain solutions that the fast ones are held against."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

GAUSS = np.array([-1, 1]) / np.sqrt(3)


def quadrature_element(h):
    """The Stokes element of side `h` by 2×2 Gauss quadrature, nodes row-major on the cell.

    Returns K (8, 8), velocity unknowns node by node; G (8, 4), ∫ p ∇·v; P (4, 4), τ ∫ ∇p·∇q; and
    g (4, 2), τ ∫ ∇q.
    """
    tau = 2 * h**2 / 12
    K, G, P, g = np.zeros((8, 8)), np.zeros((8, 4)), np.zeros((4, 4)), np.zeros((4, 2))
    weight = h**2 / 4
    for s in GAUSS:
        for t in GAUSS:
            sx, sy = np.array([-1, 1, -1, 1]), np.array([-1, -1, 1, 1])
            N = (1 + sx * s) * (1 + sy * t) / 4
            dx, dy = sx * (1 + sy * t) / (2 * h), sy * (1 + sx * s) / (2 * h)
            zero = np.zeros(4)
            xx, yy, xy = (np.ravel(pair, "F") for pair in ([dx, zero], [zero, dy], [dy, dx]))
            K += weight * (2 * np.outer(xx, xx) + 2 * np.outer(yy, yy) + np.outer(xy, xy))
            G += weight * np.outer(xx + yy, N)
            P += weight * tau * (np.outer(dx, dx) + np.outer(dy, dy))
            g += weight * tau * np.stack([dx, dy], axis=-1)
    return K, G, P, g


def permeability_by_pivoting(x, formulation="study"):
    """The 2×2 tensor of mean velocities by scipy's pivoting LU with iterative refinement.

    Entry (i, j) is the mean velocity along i under a unit force along j; one pressure of each
    void component is fixed.
    """
    n = len(x)
    h = 1 / n
    K, G, P, g = quadrature_element(h)
    r, c = np.nonzero(x)
    corners = np.stack([(r + i) % n * n + (c + j) % n for i in (0, 1) for j in (0, 1)], axis=-1)
    void = np.bincount(corners.ravel(), minlength=n * n)
    element = np.zeros((12, 12))
    element[:8, :8], element[:8, 8:], element[8:, :8], element[8:, 8:] = K, -G, -G.T, -P
    velocity = (2 * corners[:, :, None] + np.arange(2)).reshape(-1, 8)
    unknowns = np.concatenate([velocity, 2 * n * n + corners], axis=1)
    A = sparse.coo_array(
        (
            np.tile(element.ravel(), len(r)),
            (np.repeat(unknowns, 12, axis=1).ravel(), np.tile(unknowns, (1, 12)).ravel()),
        ),
        shape=(3 * n * n, 3 * n * n),
    ).tocsr()
    momentum, pressure = np.zeros((3 * n * n, 2)), np.zeros((3 * n * n, 2))
    for j in range(2):
        momentum[j : 2 * n * n : 2, j] = void * h**2 / 4
        force = np.broadcast_to(-g[:, j], corners.shape)
        pressure[2 * n * n :, j] = np.bincount(corners.ravel(), force.ravel(), n * n)
    load = momentum if formulation == "study" else momentum + pressure

    links = sparse.coo_array(
        (np.ones(4 * len(r)), (np.repeat(corners[:, 0], 4), corners.ravel())), shape=(n * n,) * 2
    )
    _, component = sparse.csgraph.connected_components(links, directed=False)
    active = np.concatenate([np.repeat(void == 4, 2), void > 0])
    touched = np.nonzero(void)[0]
    _, first = np.unique(component[touched], return_index=True)
    active[2 * n * n + touched[first]] = False
    A, load, momentum = A[active][:, active].tocsc(), load[active], momentum[active]
    factor = splu(A, permc_spec="COLAMD", diag_pivot_thresh=1.0)
    U = factor.solve(load)
    U += factor.solve(load - A @ U)
    return momentum.T @ U


def smooth_images(n, count, seed, void_fraction=0.58):
    """Thresholded anisotropic Gaussian noise with features of a few pixels: `(count, n, n)`."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(n)
    images = np.empty((count, n, n), np.uint8)
    for i in range(count):
        row, column = rng.uniform(1, 4, 2)
        decay = (column * frequency) ** 2 + (row * frequency[:, None]) ** 2
        noise = np.fft.fft2(rng.standard_normal((n, n))) * np.exp(-2 * np.pi**2 * decay)
        field = np.fft.ifft2(noise).real
        images[i] = field > np.quantile(field, 1 - void_fraction)
    return images
