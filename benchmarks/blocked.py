"""Is the permeability of every blocked direction 0, and of the open ones the same by both routes?

Before percolation sets a blocked direction to 0, what the two solvers of the consistent form find
for it must be rounding already. Void squares that meet only at a corner are what used to leak.

* noise: white noise of 12 × 12 pixels, void fractions 0.2 to 0.8.
* checkerboards: 36 × 36 pixels, of every size of tile that divides 36.
* materials: the two-phase images of MCRpy's examples in tiles of 64 × 64, each phase as the void
  in turn; left out unless their folder is given.

Prints a table; writes `results/blocked.json`.

    OMP_NUM_THREADS=1 python benchmarks/blocked.py [--materials FOLDER] [--noise 10000] [--seed 0]
"""

import json
from pathlib import Path

import numpy as np
import tyro

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.properties import multifrontal, percolation, permeability, stokes
from pspgen_pyro.properties._windings import parted_nodes

ROOT = Path(__file__).resolve().parents[1]
DIVISORS = [tile for tile in range(1, 36) if 36 % tile == 0]


def main(
    materials: Path | None = None,
    noise: int = 10_000,
    checked: int = 200,
    seed: int = 0,
) -> None:
    """Measures, prints the table, and writes `results/blocked.json`.

    Args:
        materials: The folder of the images `*_resized.npy`; none by default.
        noise: The number of images of white noise.
        checked: How many images of each set are solved with DOLFINx too.
        seed: Of the noise.
    """
    sets = {"noise": white_noise(noise, seed), "checkerboards": checkerboards()}
    if materials is not None:
        sets["materials"] = tiles(sorted(materials.glob("*_resized.npy")))
    rows = [row(name, x, checked) for name, x in sets.items()]
    for entry in rows:
        print(*(f"{key}: {show(value)}" for key, value in entry.items()), sep="\n  ")
    report = {"seed": seed, "environment": environment(), "sets": rows}
    (ROOT / "results" / "blocked.json").write_text(json.dumps(report, indent=1) + "\n")


def white_noise(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.random((count, 12, 12)) < rng.uniform(0.2, 0.8, (count, 1, 1))
    x[:, 0, 0] = False
    return x.astype(np.uint8)


def checkerboards():
    row, column = np.indices((36, 36))
    return np.stack([(row // t + column // t) % 2 for t in DIVISORS]).astype(np.uint8)


def tiles(files):
    images = [image for image in map(np.load, files) if image.max() == 1]
    cut = np.stack(images).reshape(-1, 4, 64, 4, 64).transpose(0, 1, 3, 2, 4).reshape(-1, 64, 64)
    return np.concatenate([cut, 1 - cut]).astype(np.uint8)


def diagonal(tensors):
    return np.diagonal(tensors, axis1=1, axis2=2)


def row(name, x, checked):
    x = x[~x.all(axis=(1, 2))]
    some = x[:: max(1, len(x) // checked)]
    open_ = percolation(x)
    own = diagonal(multifrontal.solve(x, "consistent"))
    theirs = diagonal(stokes.solve(some, "consistent"))
    both = diagonal(multifrontal.solve(some, "consistent"))
    flows = percolation(some)
    return {
        "set": name,
        "images": len(x),
        "with parted corners": int(sum(parted_nodes(sample).any() for sample in x)),
        "blocked directions": int((~open_).sum()),
        "largest k of them by multifrontal": float(abs(own[~open_]).max()),
        "images by DOLFINx": len(some),
        "blocked directions by DOLFINx": int((~flows).sum()),
        "largest k of them by DOLFINx": float(abs(theirs[~flows]).max()),
        "not 0 in the end": int(np.count_nonzero(permeability(x, "consistent")[~open_])),
        "largest difference of the routes": float(abs(theirs - both).max()),
        "relative, of k over 1e-6": float(relative(theirs, both, flows & (both > 1e-6))),
    }


def relative(a, b, where):
    return np.max(abs(a[where] / b[where] - 1), initial=0.0)


def show(value):
    return f"{value:.1e}" if isinstance(value, float) else value


if __name__ == "__main__":
    tyro.cli(main)
