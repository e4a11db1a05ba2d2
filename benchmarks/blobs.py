"""Somebody else's process, in their own plain functions: blobs of a conductor in a worse one.

Two settings of scikit-image's `binary_blobs`, the size of a blob as a fraction of the image's side
and the volume fraction of the blobs, make images of 32 × 32 pixels that are *not* periodic. The
blobs conduct ten times as well as what is around them. The property is the conductivity of the
square held between two plates, its sides insulated. The solver of this package knows the periodic
cell alone; a square and its mirror images are one, whose field has by symmetry no current through
the sides and one potential along each plate, so its answer is the wanted one, not an
approximation. (The square itself, taken for a periodic cell, has another conductivity: at its
edges blobs would go on where there are none.)

Makes 2,000 triads, settings uniform, for each seed, and a reference of 200 materials at each
point of an 11 × 11 grid; prints what a solve costs.

    python benchmarks/blobs.py --out blobs.npz [--seeds 1 2 3] [--replicates 200] [--solver scipy]
"""

import argparse
import time
from pathlib import Path

import numpy as np
from skimage.data import binary_blobs

from pspgen_pyro.properties import conductivity

SIDE, MATRIX, BLOBS = 32, 1.0, 10.0
NAMES, LOWER, UPPER = ("blob_size", "volume_fraction"), (0.06, 0.3), (0.24, 0.7)
TRIADS, GRID, REPLICATES = 2000, 11, 200


def image(phi, rng):
    """One image of 0 (matrix) and 1 (blobs), not periodic."""
    size, fraction = phi
    return binary_blobs(SIDE, size, volume_fraction=fraction, rng=rng).astype(np.uint8)


def between_plates(x, solver="scipy"):
    """The conductivity along (horizontal, vertical) of images `(N, n, n)` that are not periodic,
    with shape `(N, 2)`."""
    n = x.shape[-1]
    mirrored = np.pad(x, ((0, 0), (0, n), (0, n)), mode="symmetric")
    return conductivity(mirrored, (MATRIX, BLOBS), solver=solver)


def simulated(phi, seed, solver="scipy"):
    """The images and conductivities of one material for each row of `phi`."""
    seeds = np.random.SeedSequence(seed).spawn(len(phi))
    x = np.stack([image(p, np.random.default_rng(s)) for p, s in zip(phi, seeds, strict=True)])
    return x, between_plates(x, solver)


def settings(count, seed):
    return np.random.default_rng([seed, count]).uniform(LOWER, UPPER, (count, 2))


def grid(points=GRID):
    """The settings of the reference, with shape `(points², 2)`; the blob size varies slowest."""
    axes = [np.linspace(a, b, points) for a, b in zip(LOWER, UPPER, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--solver", choices=("scipy", "dolfinx"), default="scipy")
    options = parser.parse_args()
    found, start, count = {}, time.process_time(), 0
    for seed in options.seeds:
        phi = settings(TRIADS, seed)
        x, k = simulated(phi, seed, options.solver)
        found |= {f"phi_{seed}": phi, f"x_{seed}": x, f"k_{seed}": k}
        count += TRIADS
        print(f"seed {seed}: {(time.process_time() - start) / count * 1e3:.1f} ms a triad")
    rows = [
        simulated(np.tile(phi, (options.replicates, 1)), (2026, i), options.solver)[1]
        for i, phi in enumerate(grid())
    ]
    found |= {"phi_reference": grid(), "k_reference": np.stack(rows)}
    np.savez_compressed(options.out, **found)
    print(f"{time.process_time() - start:.0f} s of CPU in all, one process")


if __name__ == "__main__":
    main()
