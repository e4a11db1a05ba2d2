r"""Tortuosity by this package and by TauFactor, on the same images, between two plates.

The images are Case 1's calibrated microstructures and thresholded noise in three dimensions. Both
solve the same equation with concentrations fixed on two faces and the other faces sealed
(`edges="mirrored"`). Bilinear elements give a tortuosity that is too small, differences between
the centres of pixels one that is too large. Both are repeated with every pixel cut in r × r; if
the scheme is the whole difference it shrinks with r, and the two enclose one value.

TauFactor comes with the extra `check`. It stops at a relative spread of 1e-3 of the flux over its
layers; where it has not stopped after 10,000 steps it has no answer.

Prints the table; writes `results/tortuosity.json`.

    OMP_NUM_THREADS=1 python benchmarks/tortuosity.py [--samples 50] [--volumes 4] [--seed 0]
"""

import json
import time
import warnings
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import taufactor
import tyro
from scipy.ndimage import gaussian_filter

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.properties import tortuosity
from pspgen_pyro.structure import CALIBRATED, PhaseSeparatedField, two_mode_spectrum

ROOT = Path(__file__).resolve().parents[1]
SPREAD = 1e-3
STEPS = 10_000


def main(samples: int = 50, n: int = 36, volumes: int = 4, side: int = 24, seed: int = 0) -> None:
    """Measures, prints the table, and writes `results/tortuosity.json`.

    Args:
        samples: The number of images.
        n: Pixels a side of the images.
        volumes: The number of volumes.
        side: Voxels a side of the volumes.
        seed: Of both.
    """
    rng = np.random.default_rng(seed)
    phi = rng.uniform((1, 0.2), (9, 2), (samples, 2))
    structure = PhaseSeparatedField(n, two_mode_spectrum, CALIBRATED, gamma=2.0)
    images = structure(phi, np.random.SeedSequence(seed).spawn(samples))
    noise = rng.standard_normal((volumes, side, side, side))
    smooth = gaussian_filter(noise, (0, 1.5, 1.5, 1.5))
    cut = np.quantile(smooth, 0.5, axis=(1, 2, 3), keepdims=True)
    sets = {"images": (images, (1, 2, 4)), "volumes": ((smooth > cut).astype(np.uint8), (1, 2))}
    report = {"seed": seed, "environment": environment(), "taufactor": version("taufactor")}
    report["sets"] = {name: compared(name, *given) for name, given in sets.items()}
    (ROOT / "results" / "tortuosity.json").write_text(json.dumps(report, indent=1) + "\n")


def compared(name, x, refinements):
    """Both tortuosities at each refinement, and what lies between them."""
    found = {"samples": len(x), "shape": list(x.shape[1:]), "refinements": []}
    for r in refinements:
        start = time.process_time()
        ours = tortuosity(x, edges="mirrored", refinement=r)
        middle = time.process_time()
        theirs = by_taufactor(x, r)
        end = time.process_time()
        opened, told = np.isfinite(ours), ~np.isnan(theirs)
        both = opened & told
        apart = theirs[both] / ours[both] - 1
        entry = {
            "r": r,
            "open": int(opened.sum()),
            "blocked": int((~opened).sum()),
            "blocked_in_one_only": int((opened != np.isfinite(theirs))[told].sum()),
            "without_answer_open_blocked": [int((~told & o).sum()) for o in (opened, ~opened)],
            "median_difference": float(np.median(apart)),
            "smallest": float(apart.min()),
            "largest": float(apart.max()),
            "ours": float(np.median(ours[both])),
            "theirs": float(np.median(theirs[both])),
            "seconds": [round(middle - start, 2), round(end - middle, 2)],
        }
        found["refinements"].append(entry)
        print(name, *(f"{key}: {value}" for key, value in entry.items()), sep="\n  ", flush=True)
    return found


def by_taufactor(x, refinement):
    """TauFactor's factor along each direction, in the order of ours."""
    for axis in range(1, x.ndim):
        x = np.repeat(x, refinement, axis)
    if x.ndim == 3:
        x = x[..., None]
    along = []
    for axis in range(x.ndim - 2 if x.shape[-1] == 1 else x.ndim - 1, 0, -1):
        turned = np.ascontiguousarray(np.moveaxis(x, axis, 1))
        along.append([one(sample) for sample in turned])
    return np.array(along).T


def one(sample):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver = taufactor.Solver(sample, device="cpu")
        with redirect_stdout(StringIO()):
            tau = solver.solve(iter_limit=STEPS, verbose=False, conv_crit=SPREAD)[0]
    return float(tau) if solver.converged else np.nan


if __name__ == "__main__":
    tyro.cli(main)
