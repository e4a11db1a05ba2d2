"""What effective conductivity costs, in two and three dimensions, at every contrast.

The structures are noise smoothed over 2 pixels and cut at its median, or where 30 % lie above.

* images: SuperLU and DOLFINx with MUMPS, every direction from one factorisation.
* volumes: conjugate gradients, the three directions one after another. Accuracy is the largest
  relative difference to the same with a residual 10,000 times smaller.

Prints the table; writes `results/conduction.json`.

    OMP_NUM_THREADS=1 python benchmarks/conduction.py [--side 64] [--seed 0]
"""

import json
import time
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import gaussian_filter

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.properties import _iterative, conductivity

ROOT = Path(__file__).resolve().parents[1]
CONTRASTS = {"10": (1.0, 10.0), "1e18": (1.0, 1e18), "1e-18": (1.0, 1e-18), "0": (0.0, 1.0)}
VOLUMES = {"10": (1.0, 10.0), "100": (1.0, 100.0), "1e4": (1.0, 1e4), "0": (0.0, 1.0)}


def main(side: int = 64, samples: int = 4, seed: int = 0) -> None:
    """Measures, prints the table, and writes `results/conduction.json`.

    Args:
        side: Voxels a side of the volumes.
        samples: Images of each size.
        seed: Of the noise.
    """
    rows = [
        of_images(np.stack([cut((n, n), 0.5, [seed, n, i]) for i in range(samples)]), contrast)
        for n in (36, 64, 128)
        for contrast in CONTRASTS
    ]
    rows += [of_volume(cut((side,) * 3, 0.5, seed), contrast) for contrast in VOLUMES]
    rows.append(of_volume(cut((side,) * 3, 0.3, seed), "0"))
    for row in rows:
        print(row)
    report = {"seed": seed, "environment": environment(), "rows": rows}
    (ROOT / "results" / "conduction.json").write_text(json.dumps(report, indent=1) + "\n")


def cut(shape, fraction, seed):
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, 2, mode="wrap")
    return (smooth > np.quantile(smooth, 1 - fraction)).astype(np.uint8)


def of_images(x, contrast):
    row = {"shape": list(x.shape[1:]), "contrast": contrast}
    found = {}
    for solver in ("scipy", "dolfinx"):
        conductivity(x[:1], CONTRASTS[contrast], solver)
        start = time.process_time()
        found[solver] = conductivity(x, CONTRASTS[contrast], solver)
        row[f"{solver}_ms"] = round((time.process_time() - start) / len(x) * 1e3, 2)
    size = np.where(found["scipy"] > 0, found["scipy"], 1)
    row["apart"] = float(np.abs((found["dolfinx"] - found["scipy"]) / size).max())
    return row


def of_volume(x, contrast):
    _iterative.tensor(np.ones((3, 3, 3)))
    start = time.process_time()
    found = conductivity(x[None], VOLUMES[contrast])
    seconds = time.process_time() - start
    usual = _iterative.RESIDUAL
    _iterative.RESIDUAL = 1e-4 * usual
    exact = conductivity(x[None], VOLUMES[contrast])
    _iterative.RESIDUAL = usual
    return {
        "shape": list(x.shape),
        "fraction": round(float(x.mean()), 3),
        "contrast": contrast,
        "seconds": round(seconds, 2),
        "error": float(np.abs(found / exact - 1).max()),
    }


if __name__ == "__main__":
    tyro.cli(main)
