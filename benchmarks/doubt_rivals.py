"""Where others would go, with the same data: truth at their φ* beside ours.

BoTorch's Gaussian process of the indicator 1(m in target) over φ, whose posterior mean is climbed;
its 90 % interval is that of the process. The mixture density network among the rivals, climbed
from 4,096 scouts. Truth is that of `benchmarks/doubt.py`, whose work folder has the data.

    python benchmarks/doubt_rivals.py --work FOLDER [--cell case5 2500] [--seeds 1] [--models …]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from doubt import MATERIALS, PROPERTIES, data_set, simulated, targets_of
from scipy.optimize import minimize

import pspgen_pyro as psp
from pspgen_pyro.rivals import RIVALS


def gaussian_process(case, phi, m, box):
    from botorch import fit_gpytorch_mll
    from botorch.acquisition import PosteriorMean
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    low, high = (torch.tensor(e).double() for e in (case.process.lower, case.process.upper))
    x = (torch.tensor(phi).double() - low) / (high - low)
    y = torch.tensor(box.contains(m)).double().unsqueeze(-1)
    model = SingleTaskGP(x, y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    unit = torch.stack([torch.zeros_like(low), torch.ones_like(low)])
    best, _ = optimize_acqf(PosteriorMean(model), unit, q=1, num_restarts=8, raw_samples=512)
    law = model.posterior(best)
    p, spread = float(law.mean), float(law.variance.sqrt())
    return (low + (high - low) * best[0]).detach().numpy(), p, spread


def climbed(rival, case, box):
    process = case.process
    scouts = process.sample((4096,), np.random.default_rng(0))
    first = scouts[np.argsort(-rival.probability(box, scouts))[:4]]
    bounds = list(zip(process.lower, process.upper, strict=True))
    ends = [
        minimize(lambda phi: -rival.probability(box, phi), one, bounds=bounds, method="Powell")
        for one in first
    ]
    best = min(ends, key=lambda end: end.fun)
    return best.x, float(-best.fun)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cell", nargs=2, default=["case5", "2500"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--models", nargs="*", default=["gp", "mdn"])
    options = parser.parse_args()
    name, count = options.cell[0], int(options.cell[1])
    case, each = psp.case(name), 4 if name == "case1" else 1
    for seed in options.seeds:
        phi, m = (part[::each][:count] for part in data_set(options.work, name, seed))
        triads = psp.Triads.from_arrays(
            phi, None, np.exp(m), process=case.process, properties=PROPERTIES, quiet=True
        )
        known = {"schema": triads.schema, "symmetries": triads.schema.symmetries}
        for model in options.models:
            start, rows = time.process_time(), []
            if model != "gp":
                rival = RIVALS[model]().fit(psp.Batches.from_triads(triads), **known, seed=seed)
            for k, box in enumerate(targets_of(options.work, name)):
                if model == "gp":
                    best, p, spread = gaussian_process(case, phi, m, box)
                else:
                    (best, p), spread = climbed(rival, case, box), np.nan
                best = np.clip(best, case.process.lower, case.process.upper)
                there = simulated(case, np.tile(best, (MATERIALS, 1)), [seed, 22, k])
                truth = float(box.contains(there).mean())
                rows.append([p, spread, truth])
            p, spread, truth = np.array(rows).T
            line = {
                "cell": f"{name} {count}",
                "seed": seed,
                "model": model,
                "mean |P − truth|": float(np.abs(p - truth).mean()),
                "coverage": float((np.abs(p - truth) <= 1.645 * spread).mean()),
                "truth": float(truth.mean()),
                "seconds": time.process_time() - start,
            }
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
