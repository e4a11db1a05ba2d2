r"""What one microstructure's permeability costs, by solver: the same element, the same samples.

Every solver gets each block of samples in turn, in one process and one thread, assembly and both
directions included; the CPU times are compared block by block, so that the ratios hold on a busy
machine.
The samples are the study's (two-mode spectrum, calibrated preset, φ uniform), with the gradient
coefficient of the phase separation interpolated between the study's two sizes: γ = 2 at 36 pixels,
10 at 128.

* multifrontal: `pspgen_pyro.properties.multifrontal`, one call a block.
* MUMPS LDLᵀ, MUMPS LU: DOLFINx; the void's unknowns alone, or all of them and one analysis.
* SuperLU: scipy, symmetric mode, MMD_AT_PLUS_A, void unknowns alone, vectorised assembly.
* PARDISO: MKL by pypardiso, if installed; the same matrix as SuperLU's, upper triangle.

Prints the tables; writes `results/solver.json`, its table `results/solver.md`, and
`docs/figures/solver.svg`.

    OMP_NUM_THREADS=1 python benchmarks/solver.py [--quick] [--seed 0]
"""

import argparse
import ctypes
import functools
import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.properties import _fem, multifrontal, stokes
from pspgen_pyro.properties.element import bordered_element
from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum

ROOT = Path(__file__).resolve().parents[1]
OWN = "multifrontal"
FULL = {36: (15, 10), 64: (9, 6), 96: (7, 3), 128: (7, 2), 192: (3, 1), 256: (3, 1)}
QUICK = {36: (3, 4), 64: (3, 2), 128: (2, 1)}
"""Pixels a side: blocks, samples a block."""
TABLE = (36, 64, 128)


def samples(n, count, seed):
    rng = np.random.default_rng([seed, n])
    gamma = 2 * (n / 36) ** (np.log(5) / np.log(128 / 36))
    phi = rng.uniform((1, 0.2), (9, 2), (count, 2))
    structure = PhaseSeparatedField(n, two_mode_spectrum, gamma=gamma)
    return structure(phi, np.random.SeedSequence([seed, n]).spawn(count))


def void_system(x):
    """The matrix of the void's unknowns in coordinate form, and the two loads; unknowns scaled."""
    n = len(x)
    element = bordered_element()
    r, c = np.nonzero(x)
    corners = np.stack([(r + i) % n * n + (c + j) % n for i, j in np.ndindex(2, 2)], axis=1)
    void = np.bincount(corners.ravel(), minlength=n * n)
    active = np.stack([void == 4, void == 4, void > 0], axis=1).ravel()
    index = np.where(active, np.cumsum(active) - 1, -1).astype(np.int32)
    unknowns = index[(3 * corners[:, :, None] + np.arange(3)).reshape(-1, 12)]
    rows, columns = np.repeat(unknowns, 12, axis=1), np.tile(unknowns, (1, 12))
    values = np.broadcast_to(element[:12, :12].ravel(), rows.shape)
    keep = (rows >= 0) & (columns >= 0) & (values != 0)
    size = np.count_nonzero(active)
    loads = np.zeros((3 * n * n, 2))
    loads[0::3, 0] = loads[1::3, 1] = void / 4
    matrix = sparse.coo_array((values[keep], (rows[keep], columns[keep])), shape=(size, size))
    return matrix, loads[active]


def superlu(x):
    matrix, loads = void_system(x)
    options = {"SymmetricMode": True}
    # the order of the diagonal pivots is kept: the matrix is quasi-definite
    factor = splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
    )
    return loads.T @ factor.solve(loads) / len(x) ** 4


@functools.cache
def pardiso_solver():
    """Made once: its constructor searches the whole environment for the library."""
    from pypardiso import PyPardisoSolver

    return PyPardisoSolver(mtype=-2)


def pardiso(x):
    matrix, loads = void_system(x)
    upper = sparse.csr_matrix(sparse.triu(matrix.tocsr(), format="csr"))
    solver = pardiso_solver()
    solver.factorize(upper)
    solution = solver.solve(upper, np.asfortranarray(loads))
    solver.free_memory(everything=True)
    return loads.T @ solution / len(x) ** 4


def mumps(route):
    return lambda x: stokes.ROUTES[route](stokes.unit_cell(x.shape, "study"), x)


def each(function):
    """A solver of a block of samples from a solver of one."""
    return lambda x: np.stack([function(sample) for sample in x])


@cache
def solvers():
    _fem.require()
    found = {
        OWN: multifrontal.solve,
        "MUMPS LDLᵀ": each(mumps("ldl")),
        "MUMPS LU": each(mumps("lu")),
        "SuperLU": each(superlu),
    }
    if importlib.util.find_spec("pypardiso"):
        found["PARDISO"] = each(pardiso)
    return found


def cpu_ms(function, x):
    """The CPU milliseconds a sample, and the tensors."""
    start = time.process_time()
    value = function(x)
    return 1e3 * (time.process_time() - start) / len(x), value


def measure(n, blocks, size, seed):
    """CPU times of every solver on every block; largest error of k relative to SuperLU."""
    x = samples(n, blocks * size, seed).reshape(blocks, size, n, n)
    ms = {name: [] for name in solvers()}
    for function in solvers().values():
        # compiles, loads and analyses
        function(x[0, :1])
    error = 0.0
    for block in x:
        tensors = {}
        for name, function in solvers().items():
            spent, tensors[name] = cpu_ms(function, block)
            ms[name].append(spent)
        k, reference = (tensors[name][:, [0, 1], [0, 1]] for name in (OWN, "SuperLU"))
        error = max(error, np.max(abs(k / reference - 1)))
    row = {"n": n, "blocks": blocks, "block": size, "error_of_k": float(error), "solvers": {}}
    for name, times in ms.items():
        ratios = np.array(times) / ms[OWN]
        spread = [float(f(ratios)) for f in (np.min, np.median, np.max)]
        row["solvers"][name] = {"ms": float(np.median(times)), "ratio": spread}
    return row


def speed_up(n, count, seed, repeats):
    """Wall time of a batch with one worker over that with two, best of alternating runs each."""
    x = samples(n, count, seed)
    best = {1: np.inf, 2: np.inf}
    for _ in range(repeats):
        for workers in best:
            start = time.perf_counter()
            multifrontal.solve(x, workers=workers)
            best[workers] = min(best[workers], time.perf_counter() - start)
    return best[1] / best[2]


def resident_kilobytes(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])


def print_peak(solver, n, seed):
    """Resident memory that a sample of n pixels adds to a process that has solved a small one."""
    function = solvers()[solver]
    x = samples(n, 1, seed)
    function(samples(12, 1, seed))
    # what making the samples has freed must not serve the solver unseen
    ctypes.CDLL(None).malloc_trim(0)
    before = resident_kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    function(x)
    print((resident_kilobytes("VmHWM") - before) / 1e3)


def peak_megabytes(solver, n, seed):
    command = [sys.executable, __file__, "--peak", solver, str(n), "--seed", str(seed)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_row(row):
    print(f"\nn = {row['n']}, {row['blocks']} × {row['block']} samples,", end=" ")
    print(f"error of k {row['error_of_k']:.1e}", flush=True)
    for name, entry in row["solvers"].items():
        low, middle, high = entry["ratio"]
        print(f"  {name:12} {entry['ms']:9.2f} ms   ×{middle:.1f} ({low:.1f}–{high:.1f})")


def table(rows):
    """The rows of `TABLE` in Markdown: milliseconds, and times slower, median (least–most)."""
    shown = [row for row in rows if row["n"] in TABLE]
    lines = ["| solver | " + " | ".join(f"n = {row['n']}" for row in shown) + " |"]
    lines.append("|---" * (len(shown) + 1) + "|")
    for name in shown[0]["solvers"]:
        cells = []
        for row in shown:
            entry = row["solvers"][name]
            low, middle, high = entry["ratio"]
            times = "" if name == OWN else f", × {middle:.1f} ({low:.1f}–{high:.1f})"
            cells.append(f"{entry['ms']:.2f} ms{times}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(rows, path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
    for name in rows[0]["solvers"]:
        pixels, ms = zip(*[(r["n"], r["solvers"][name]["ms"]) for r in rows], strict=True)
        axes.loglog(pixels, ms, "o-", ms=4, lw=2 if name == OWN else 1, label=name)
    axes.set(xlabel="pixels a side", ylabel="CPU ms a sample, both directions")
    axes.set_xticks([r["n"] for r in rows], [str(r["n"]) for r in rows], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few samples; writes nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peak", nargs=2, metavar=("SOLVER", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return print_peak(options.peak[0], int(options.peak[1]), options.seed)

    load = os.getloadavg()[0]
    rows = []
    for n, (blocks, size) in (QUICK if options.quick else FULL).items():
        rows.append(measure(n, blocks, size, options.seed))
        print_row(rows[-1])
    scale = 1 if options.quick else 5
    twice = {n: speed_up(n, 20000 // n * scale // 5, options.seed, scale) for n in TABLE}
    memory = {
        name: {n: peak_megabytes(name, n, options.seed) for n in TABLE} for name in solvers()
    }
    print("\ntwo workers, wall time:", {n: round(value, 2) for n, value in twice.items()})
    print("peak memory, MB:", memory)
    if options.quick:
        return None
    report = environment() | {"seed": options.seed, "load_at_start": load, "sizes": rows}
    report |= {"speed_up_of_two_workers": twice, "peak_megabytes": memory}
    (ROOT / "results" / "solver.json").write_text(json.dumps(report, indent=1) + "\n")
    (ROOT / "results" / "solver.md").write_text(table(rows))
    return draw(rows, ROOT / "docs" / "figures" / "solver.svg")


if __name__ == "__main__":
    main()
