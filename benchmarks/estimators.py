"""What an estimator of P(m in target | φ) and of its gradient costs: variance times CPU time.

The model must be one whose z0 is sampled, such as the paper's (`pspgen fit --model paper`): where
p(m | φ) has a closed form, as by default, the closed form has no variance at all. At twelve points
of such a model of Case 1 (near the optimum, on the slope, in the middle of the
process space and where P is about 1 %, for the targets L, M and R) every estimator is called many
times with 1,024 draws. The cost of a figure's precision is variance × CPU seconds a call; for the
gradient the variance is summed over the parameters in units in which p(φ) has variance 1.
Estimators take turns within one process; times are medians. Prints a table, draws it, and writes
`results/estimators.json`.

    python benchmarks/estimators.py --run run [--draws 1024] [--calls 200]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pspgen_pyro import Box, case, load_run, maximise
from pspgen_pyro.design import (
    ClosedForm,
    ScoreFunction,
    UniformInTarget,
    antithetic,
    plain,
    probability,
    sobol,
)
from pspgen_pyro.io.provenance import environment

OURS, PAPERS = ("closed, Sobol", "closed, antithetic", "closed, plain"), ("Eq. 20", "Eq. 21")


def estimators(draws):
    sources = dict(zip(OURS, (sobol, antithetic, plain), strict=True))
    found = {name: ClosedForm(draws, source) for name, source in sources.items()}
    return found | {"Eq. 20": ScoreFunction(draws), "Eq. 21": UniformInTarget(draws)}


def points(model, target):
    """Four settings for one target: near φ*, half way down in P, the middle, and P near 1 %."""
    middle = (np.array(model.process.lower) + np.array(model.process.upper)) / 2
    best = np.clip(maximise(model, target).phi, *np.array([[1.2, 0.25], [8.8, 1.95]]))
    line = middle + np.linspace(0, 1, 41)[:, None] * (best - middle)
    p = probability(model, target, line).value
    slope = line[np.argmin(np.abs(p - 0.5 * (p[0] + p[-1])))]
    grid = model.process.grid(21)
    rare = grid[np.argmin(np.abs(np.log(probability(model, target, grid, draws=64).value / 0.01)))]
    return {"near the optimum": best, "slope": slope, "middle": middle, "rare": rare}


def measure(model, target, phi, draws, calls):
    """Variance, CPU time and their product for every estimator at one point."""
    scale = model.phi_scale.double().numpy()
    rows = {name: [] for name in estimators(draws)}
    seconds = {name: [] for name in rows}
    generator = torch.Generator().manual_seed(0)
    for _ in range(calls):
        for name, estimator in estimators(draws).items():
            inputs = torch.tensor(phi[None]).to(model.m_loc).requires_grad_()
            start = time.process_time()
            p = estimator(model, target, inputs, generator).sum()
            (gradient,) = torch.autograd.grad(p, inputs)
            seconds[name].append(time.process_time() - start)
            rows[name].append([p.item(), *(gradient[0].double().numpy() * scale)])
    table = {}
    for name, values in rows.items():
        variance = np.var(values, axis=0, ddof=1)
        cpu = float(np.median(seconds[name]))
        table[name] = {
            "value": float(np.mean(values, axis=0)[0]),
            "variance_value": float(variance[0]),
            "variance_gradient": float(variance[1:].sum()),
            "cpu_ms": 1e3 * cpu,
            "cost_value": float(variance[0] * cpu),
            "cost_gradient": float(variance[1:].sum() * cpu),
        }
    return table


def gain(table, kind):
    """How many times cheaper our default is than the better of the paper's."""
    return min(table[name][kind] for name in PAPERS) / table[OURS[0]][kind]


def draw(rows, path):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for name, marker in zip((*OURS, *PAPERS), "osv^D", strict=True):
        ax.plot([r["estimators"][name]["cost_gradient"] for r in rows], marker, label=name)
    labels = [f"{r['target']}\n{r['place'].replace(' the ', ' ')}\nP = {r['P']:.2g}" for r in rows]
    ax.set_xticks(range(len(rows)), labels, fontsize=7)
    ax.set(yscale="log", ylabel="variance of the gradient × CPU s")
    ax.legend(ncols=5, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.13), frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--draws", type=int, default=1024)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--out", default="results/estimators.json")
    parser.add_argument("--figure", default="docs/figures/estimators.svg")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = load_run(options.run)
    model, rows = run.members[0].eval(), []
    if model.property_given_process(torch.zeros(1, len(model.process))) is not None:
        raise SystemExit("p(m | φ) of this run has a closed form, so nothing is left to vary.")
    print("target  place             P       gain P  gain ∂P   gain of plain draws")
    for name, ends in case("case1").targets.items():
        target = Box(*ends)
        for place, phi in points(model, target).items():
            table = measure(model, target, phi, options.draws, options.calls)
            plain_gain = (
                min(table[n]["cost_gradient"] for n in PAPERS)
                / (table["closed, plain"]["cost_gradient"])
            )
            row = {
                "target": name,
                "place": place,
                "phi": phi.tolist(),
                "P": table[OURS[0]]["value"],
                "gain_value": gain(table, "cost_value"),
                "gain_gradient": gain(table, "cost_gradient"),
                "gain_gradient_plain": plain_gain,
                "estimators": table,
            }
            rows.append(row)
            print(
                f"{name:7s} {place:17s} {row['P']:.2e} {row['gain_value']:7.0f} "
                f"{row['gain_gradient']:7.0f} {plain_gain:8.0f}",
                flush=True,
            )
    worst = min(min(row["gain_value"], row["gain_gradient"]) for row in rows)
    print(f"the smallest gain is {worst:.1f}")
    content = {
        "environment": environment(),
        "data": run.data,
        "draws": options.draws,
        "calls": options.calls,
        "smallest_gain": worst,
        "rows": rows,
    }
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")
    draw(rows, Path(options.figure))


if __name__ == "__main__":
    main()
