"""Slow, plain solutions that the fast ones are held against."""

import numpy as np
from scipy import ndimage, sparse
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


def unrolled(x, copies=9):
    """The labels of the void components of so many copies of `x` each way, 0 in the solid."""
    return ndimage.label(np.tile(x, (copies, copies)))[0]


def parted_by_labels(x, copies=9):
    """Where two void pixels meet only at a corner and are of two components of the unrolled plane;
    a node has the indices of the pixel below and right of it."""
    rows, columns = x.shape
    top, left = copies // 2 * rows, copies // 2 * columns
    plane = unrolled(x, copies)
    se = plane[top : top + rows, left : left + columns]
    ne = plane[top - 1 : top + rows - 1, left : left + columns]
    sw = plane[top : top + rows, left - 1 : left + columns - 1]
    nw = plane[top - 1 : top + rows - 1, left - 1 : left + columns - 1]
    falling = (nw > 0) & (se > 0) & (ne == 0) & (sw == 0) & (nw != se)
    rising = (ne > 0) & (sw > 0) & (nw == 0) & (se == 0) & (ne != sw)
    return falling | rising


def permeability_by_pivoting(x, formulation="study"):
    """The 2×2 tensor of mean velocities by scipy's pivoting LU with iterative refinement.

    Entry (i, j) is the mean velocity along i under a unit force along j; one pressure of each
    void component is fixed.
    """
    rows, columns = x.shape
    size, h = x.size, 1 / np.sqrt(x.size)
    K, G, P, g = quadrature_element(h)
    r, c = np.nonzero(x)
    corners = np.stack(
        [(r + i) % rows * columns + (c + j) % columns for i in (0, 1) for j in (0, 1)], axis=-1
    )
    levels = corners.copy()
    if formulation == "consistent":
        own = size + np.arange(size)
        parted = parted_by_labels(x, 9 if size < 4000 else 3).ravel()
        levels[:, :2] = np.where(parted, own, np.arange(size))[corners[:, :2]]
    void = np.bincount(corners.ravel(), minlength=size)
    touching = np.bincount(levels.ravel(), minlength=2 * size)
    element = np.zeros((12, 12))
    element[:8, :8], element[:8, 8:], element[8:, :8], element[8:, 8:] = K, -G, -G.T, -P
    velocity = (2 * corners[:, :, None] + np.arange(2)).reshape(-1, 8)
    unknowns = np.concatenate([velocity, 2 * size + levels], axis=1)
    A = sparse.coo_array(
        (
            np.tile(element.ravel(), len(r)),
            (np.repeat(unknowns, 12, axis=1).ravel(), np.tile(unknowns, (1, 12)).ravel()),
        ),
        shape=(4 * size, 4 * size),
    ).tocsr()
    momentum, pressure = np.zeros((4 * size, 2)), np.zeros((4 * size, 2))
    for j in range(2):
        momentum[j : 2 * size : 2, j] = void * h**2 / 4
        force = np.broadcast_to(-g[:, j], levels.shape)
        pressure[2 * size :, j] = np.bincount(levels.ravel(), force.ravel(), 2 * size)
    load = momentum if formulation == "study" else momentum + pressure

    links = sparse.coo_array(
        (np.ones(4 * len(r)), (np.repeat(levels[:, 0], 4), levels.ravel())), shape=(2 * size,) * 2
    )
    _, component = sparse.csgraph.connected_components(links, directed=False)
    active = np.concatenate([np.repeat(void == 4, 2), touching > 0])
    touched = np.nonzero(touching)[0]
    _, first = np.unique(component[touched], return_index=True)
    active[2 * size + touched[first]] = False
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
