r"""What one microstructure's elastic stiffness costs, by solver: the same element and samples.

Both solvers get each block of samples in turn, in one process and one thread, assembly and all
three mean strains included; the CPU times are compared block by block, so that the ratios hold on
a busy machine. The samples are those of `benchmarks/solver.py`, as glass in epoxy, and with the
epoxy taken out.

Prints the table and writes `results/elasticity.json`.

    OMP_NUM_THREADS=1 python benchmarks/elasticity.py [--quick] [--seed 0]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from solver import samples

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.properties import elastic_stiffness

ROOT = Path(__file__).resolve().parents[1]
FULL = {36: (15, 10), 64: (9, 6), 128: (7, 2)}
QUICK = {36: (3, 4), 128: (2, 1)}
"""Pixels a side: blocks, samples a block."""
MATERIALS = {"glass in epoxy": (3.0, 70.0), "glass in void": (0.0, 70.0)}
POISSON = (0.35, 0.22)


def measure(n, blocks, size, young, seed):
    """CPU milliseconds a sample of either solver on every block, and their largest difference,
    of the stiffest phase's modulus."""
    x = samples(n, blocks * size, seed).reshape(blocks, size, n, n)
    ms = {"multifrontal": [], "dolfinx": []}
    for solver in ms:
        # compiles, loads and analyses
        elastic_stiffness(x[0, :1], young, POISSON, solver=solver)
    difference = 0.0
    for block in x:
        found = {}
        for solver, times in ms.items():
            start = time.process_time()
            found[solver] = elastic_stiffness(block, young, POISSON, solver=solver)
            times.append(1e3 * (time.process_time() - start) / size)
        gap = np.abs(found["multifrontal"] - found["dolfinx"]).max(axis=(1, 2))
        difference = max(difference, float(gap.max()) / max(young))
    ratio = np.divide(ms["dolfinx"], ms["multifrontal"])
    row = {"n": n, "blocks": blocks, "block": size, "difference": difference}
    row["ms"] = {solver: float(np.median(times)) for solver, times in ms.items()}
    return row | {"ratio": [float(f(ratio)) for f in (np.min, np.median, np.max)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few samples; writes nothing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = []
    for n, (blocks, size) in (QUICK if options.quick else FULL).items():
        for name, young in MATERIALS.items():
            row = {"material": name} | measure(n, blocks, size, young, options.seed)
            rows.append(row)
            low, middle, high = row["ratio"]
            print(
                f"{n:4} {name:15} multifrontal {row['ms']['multifrontal']:7.2f} ms, DOLFINx and "
                f"MUMPS {row['ms']['dolfinx']:7.2f} ms, × {middle:.1f} ({low:.1f}–{high:.1f}), "
                f"difference {row['difference']:.1e}",
                flush=True,
            )
    if not options.quick:
        report = environment() | {"seed": options.seed, "sizes": rows}
        (ROOT / "results" / "elasticity.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
