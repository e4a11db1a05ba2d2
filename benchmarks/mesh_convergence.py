r"""How far is the study's permeability, one square a pixel, from the converged one?

Case 1's calibrated microstructures are solved on meshes of r × r squares a pixel with the study's
element in both formulations and with Taylor–Hood. The reference is Taylor–Hood at r = 2 and 4,
extrapolated: at a re-entrant corner of 270° the velocity behaves like :math:`\rho^{0.5445}`, so k
converges like :math:`h^{2 \cdot 0.5445}`. Some samples are solved at r = 8 too, to tell the error
of the reference itself.

Run: `python benchmarks/mesh_convergence.py` (about a quarter of an hour on two cores).
"""

import json
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import tyro

from pspgen_pyro.io.provenance import environment
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.properties import percolation, stokes
from pspgen_pyro.structure import CALIBRATED, PhaseSeparatedField, two_mode_spectrum

ORDER = 2 * 0.5444837
EDGES = (-7.0, -5.0)
ROOT = Path(__file__).resolve().parents[1]
CASE_1 = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))


def main(samples: int = 50, deep: int = 10, n: int = 36, seed: int = 0, workers: int = 2) -> None:
    """Measures, prints the tables, and writes `results/mesh_convergence.json` and the figure.

    Args:
        samples: The number of microstructures.
        deep: How many of them are solved with Taylor-Hood at r = 8 too.
        n: Pixels a side.
        seed: The root seed of process parameters and microstructures.
        workers: The number of processes.
    """
    phi, x = microstructures(samples, n, seed)
    runs = [(name, r) for name in ("study", "consistent") for r in (1, 2, 4, 8)]
    runs += [("taylor-hood", r) for r in (1, 2, 4)]
    k, seconds = {}, {}
    for name, r in runs:
        start = time.perf_counter()
        k[name, r] = diagonal(stokes.solve(x, name, refinement=r, workers=workers))
        seconds[name, r] = (time.perf_counter() - start) * workers / samples
        print(f"{name:>12} r = {r}: {seconds[name, r]:.3f} s a sample and worker", flush=True)
    finest = diagonal(stokes.solve(x[:deep], "taylor-hood", refinement=8, workers=workers))

    percolates = percolation(x)
    exact = extrapolated(k["taylor-hood", 2], k["taylor-hood", 4])
    check = extrapolated(k["taylor-hood", 4][:deep], finest)
    table = [row(name, r, k[name, r], exact, percolates) for name, r in runs]
    report = {
        "command": f"python benchmarks/mesh_convergence.py --samples {samples} --deep {deep} "
        f"--n {n} --seed {seed}",
        "seed": seed,
        "environment": environment(),
        "samples": samples,
        "n": n,
        "percolating_directions": int(percolates.sum()),
        "directions": int(percolates.size),
        "reference_error_in_log_k": quantiles(np.log(exact[:deep] / check)[percolates[:deep]]),
        "errors_in_log_k": table,
        "across_an_edge_of_the_targets": crossings(k, exact, percolates),
        "blocked": blocked(k, x, percolates),
        "seconds_a_sample": {f"{name} r={r}": round(s, 4) for (name, r), s in seconds.items()},
        "phi": phi.round(6).tolist(),
        "percolates": percolates.tolist(),
        "k": {f"{name} r={r}": significant(v) for (name, r), v in k.items()},
        "k_taylor_hood_r8": significant(finest),
        "k_reference": significant(np.where(percolates, exact, 0.0)),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in report.items()]
    (ROOT / "results").mkdir(exist_ok=True)
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (ROOT / "results" / "mesh_convergence.json").write_text(text)
    show(report)
    draw(k, exact, percolates)


def microstructures(samples, n, seed):
    """Case 1 at uniform process parameters."""
    roots = [np.random.SeedSequence(seed, spawn_key=(0, i, 0)) for i in range(samples)]
    phi = CASE_1.sample(samples, np.random.default_rng(seed))
    return phi, PhaseSeparatedField(n, two_mode_spectrum, CALIBRATED, gamma=2.0)(phi, roots)


def diagonal(tensors):
    return np.diagonal(tensors, axis1=1, axis2=2).copy()


def extrapolated(coarse, fine):
    """The limit of two meshes, one twice as fine as the other."""
    return fine + (fine - coarse) / (2**ORDER - 1)


def quantiles(errors):
    size = np.abs(errors)
    return {
        "median": float(np.median(errors)),
        "median_size": float(np.median(size)),
        "p90_size": float(np.quantile(size, 0.9)),
        "max_size": float(size.max()),
    }


def row(name, r, k, exact, percolates):
    """Errors over the percolating directions; a neck that the mesh closes is counted apart."""
    k, exact = k[percolates], exact[percolates]
    flows = k > 1e-3 * exact
    return {
        "element": name,
        "r": r,
        **quantiles(np.log(k[flows] / exact[flows])),
        "closed_by_the_mesh": int((~flows).sum()),
    }


def crossings(k, exact, percolates):
    """Percolating directions whose log k changes sides of -7 or -5, edges of Case 1's targets."""
    found, truth = (np.digitize(np.log(v[percolates]), EDGES) for v in (k["study", 1], exact))
    return int((found != truth).sum())


def significant(k):
    return [[float(f"{value:.9g}") for value in pair] for pair in k]


def blocked(k, x, percolates):
    """What the two formulations return where the exact k is zero."""
    shut = ~percolates
    leak = x.mean(axis=(1, 2), keepdims=True)[:, 0] / (6 * x.shape[-1] ** 2)
    share, log_k = (k["study", 1] / leak)[shut], np.log(k["study", 1][shut])
    return {
        "directions": int(shut.sum()),
        "study_log_k_range": [float(log_k.min()), float(log_k.max())],
        "study_over_tau_void_fraction": [float(share.min()), float(share.max())],
        "consistent_largest": float(np.abs(k["consistent", 1][shut]).max()),
    }


def show(report):
    print(f"\nErrors of log k in {report['percolating_directions']} percolating directions")
    print(f"{'element':>12} {'r':>2} {'median':>8} {'|median|':>8} {'90 %':>8} {'max':>8} closed")
    for r in report["errors_in_log_k"]:
        print(
            f"{r['element']:>12} {r['r']:>2} {r['median']:>8.3f} {r['median_size']:>8.3f} "
            f"{r['p90_size']:>8.3f} {r['max_size']:>8.3f} {r['closed_by_the_mesh']:>6}"
        )
    print("error of the reference:", report["reference_error_in_log_k"])
    print("across an edge of a target at r = 1:", report["across_an_edge_of_the_targets"])
    print("blocked directions:", report["blocked"])


def draw(k, exact, percolates):
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, marker in (("study", "o"), ("consistent", "s"), ("taylor-hood", "^")):
        rs = [r for element, r in k if element == name]
        size = [np.abs(np.log(k[name, r] / exact))[percolates & (k[name, r] > 0)] for r in rs]
        middle = [np.median(s) for s in size]
        axes[0].loglog(rs, middle, marker=marker, label=name)
        axes[0].fill_between(rs, middle, [np.quantile(s, 0.9) for s in size], alpha=0.15)
    axes[0].set(xlabel="squares along a pixel, r", ylabel="|error of log k|: median to 90 %")
    axes[0].set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes[0].minorticks_off()
    axes[0].legend(frameon=False)
    for name, marker in (("study", "o"), ("consistent", "s")):
        shown = percolates & (k[name, 1] > 1e-3 * exact)
        axes[1].plot(np.log(exact[shown]), np.log(k[name, 1][shown]), marker, ms=3, label=name)
    ends = np.log([exact[percolates].min(), exact[percolates].max()])
    axes[1].plot(ends, ends, color="0.5", lw=0.8)
    axes[1].set(xlabel="log k, converged", ylabel="log k at r = 1")
    axes[1].legend(frameon=False)
    (ROOT / "docs" / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(ROOT / "docs" / "figures" / "mesh_convergence.svg")


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
