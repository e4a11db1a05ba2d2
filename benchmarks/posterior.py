"""Sampling the design posterior: effective draws of phi a CPU second, and agreement with a grid.

Each method draws phi and z0 given m in the target; the grid integrates z0 on Sobol points and
serves as the answer. One thread. Writes `results/posterior.json`.

    python benchmarks/posterior.py RUN [--target=-10:-9,-7:-5] [--seed 0]
"""

import argparse
import json
import time
from pathlib import Path

import torch

from pspgen_pyro import Box, load_run
from pspgen_pyro.design import (
    DesignPosterior,
    Flow,
    FullRank,
    MeanField,
    fit_svi,
    on_grid,
    sample_hmc,
    sample_nuts,
)
from pspgen_pyro.io.provenance import environment

METHODS = {
    "Pyro NUTS, 4 chains": sample_nuts,
    "batched HMC, 4 chains": lambda p, seed: sample_hmc(p, chains=4, draws=1000, seed=seed),
    "batched HMC, 64 chains": sample_hmc,
    "SVI, mean field": lambda p, seed: fit_svi(p, guide=MeanField(), seed=seed),
    "SVI, full rank": lambda p, seed: fit_svi(p, guide=FullRank(), seed=seed),
    "SVI, spline flow": lambda p, seed: fit_svi(p, guide=Flow(), seed=seed),
}


def row(name, draws, grid):
    """One row of the table."""
    found = draws.convergence()
    ess = float(found.ess_bulk.min())
    return {
        "method": name,
        "chains": draws.phi.shape[0],
        "draws": draws.phi.shape[1],
        "cpu_seconds": draws.seconds,
        "ess_bulk": ess,
        "ess_tail": float(found.ess_tail.min()),
        "ess_per_cpu_second": ess / draws.seconds,
        "r_hat": float(found.r_hat.max()),
        "divergences": draws.divergences,
        "pareto_k": draws.pareto_k,
        "mean": found.mean.tolist(),
        "mcse": found.mcse.tolist(),
        "sd": found.sd.tolist(),
        "z_against_grid": ((found.mean - grid.mean) / found.mcse).tolist(),
        "status": draws.status,
        "settings": dict(draws.settings),
        **{
            name: float(draws.statistics[name].mean())
            for name in ("acceptance_rate", "n_steps")
            if name in draws.statistics
        },
    }


def line(entry):
    """The row as text."""
    means = "  ".join(
        f"{mean:.3f} ± {mcse:.3f} ({z:+.1f})"
        for mean, mcse, z in zip(
            entry["mean"], entry["mcse"], entry["z_against_grid"], strict=True
        )
    )
    k = "" if entry["pareto_k"] is None else f"  k = {entry['pareto_k']:.2f}"
    return (
        f"{entry['method']:24s}{entry['cpu_seconds']:7.1f}{entry['ess_bulk']:8.0f}"
        f"{entry['ess_tail']:8.0f}{entry['ess_per_cpu_second']:9.1f}{entry['r_hat']:8.3f}"
        f"{entry['divergences']:5d}   {means}{k}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--target", default="-10:-9,-7:-5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--out", default="results/posterior.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = load_run(options.run)
    posterior = DesignPosterior(run.members[0], Box.parse(options.target))
    begin = time.process_time()
    grid = on_grid(posterior, points=options.points, draws=1024)
    seconds = time.process_time() - begin
    moments = f"mean {grid.mean.round(4)}, sd {grid.sd.round(4)}"
    print(f"grid {options.points}²: {moments}, {seconds:.0f} s")
    print(
        f"{'method':24s}{'CPU s':>7s}{'bulk':>8s}{'tail':>8s}{'bulk/s':>9s}{'R-hat':>8s}"
        f"{'div':>5s}   mean ± mcse (z against grid) of each parameter"
    )
    rows = []
    for name, method in METHODS.items():
        rows.append(row(name, method(posterior, seed=options.seed), grid))
        print(line(rows[-1]), flush=True)
    content = {
        "environment": environment()
        | {"command": f"python benchmarks/posterior.py RUN --target={options.target}"},
        "target": options.target,
        "seed": options.seed,
        "data": run.data,
        "training": run.training.get("settings", {}),
        "dimensions": posterior.size,
        "grid": {
            "points": options.points,
            "draws": 1024,
            "cpu_seconds": seconds,
            "mean": grid.mean.tolist(),
            "sd": grid.sd.tolist(),
        },
        "rows": rows,
    }
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
