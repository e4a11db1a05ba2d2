"""P(m in target | φ) of the published model, of each repair and of the default, side by side.

Reads `results/calibration_surfaces.json`, which `benchmarks/calibration.py` writes, and draws
`docs/figures/repairs.png`.

    python benchmarks/repairs.py
"""

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "reference": "simulated",
    "paper": "published\nmodel",
    "mixture decoder": "mixture for m",
    "mixture decoder, prior given phi": "mixture for m,\nGaussian prior\ngiven φ",
    "mixture decoder, reads 4": "mixture for m,\nreads 4 entries\nof z0",
    "property code": "a property\ncode of x",
    "pspgen": "default: the\nproperties\nin z0",
    "mdn": "mixture\nnetwork on φ,\nwithout x",
}


def draw(found, path):
    from matplotlib import pyplot as plt

    models = {"reference": found["reference"], **found["models"]}
    targets, phi = list(found["reference"]), (found["phi1"], found["phi2"])
    figure, axes = plt.subplots(
        len(targets),
        len(models),
        figsize=(1.2 * len(models) + 0.9, 1.4 * len(targets) + 0.8),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for row, target in zip(axes, targets, strict=True):
        for ax, (model, surfaces) in zip(row, models.items(), strict=True):
            surface = surfaces[target]
            p = np.array(surface["surface"]).T
            image = ax.pcolormesh(*phi, p, vmin=0, vmax=1, shading="nearest", rasterized=True)
            error = f"RMSE {surface['rmse']:.3f}" if "rmse" in surface else ""
            heading = f"{COLUMNS[model]}\n\n" if target == targets[0] else ""
            ax.set_title(heading + error, fontsize=9)
        row[0].set_ylabel(f"target {target}\nphi2")
    for ax in axes[-1]:
        ax.set_xlabel("phi1")
    figure.colorbar(image, ax=axes, label="P(m in target | φ)", shrink=0.8, pad=0.01)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    surfaces = json.loads((ROOT / "results" / "calibration_surfaces.json").read_text())
    draw(surfaces, ROOT / "docs" / "figures" / "repairs.png")
