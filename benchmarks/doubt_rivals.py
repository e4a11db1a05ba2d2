"""Where others would go, with the same data: truth at their φ* beside ours.

| model | P | φ* |
|---|---|---|
| gp | BoTorch's Gaussian process of the indicator 1(m in target) over φ, one a target | its mean |
| botorch | BoTorch's Gaussian process of m over φ, with its observation noise | log P |
| mdn | the mixture density network among the rivals | P, from 4,096 scouts |

The hyper-parameters of the processes are found on the first 1,000 rows, then they see all. The
interval of gp is that of the process; the others have none. Truth is that of
`benchmarks/doubt.py`, whose work folder has the data.

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

LEARNED = 1000


def surrogate(case, phi, y):
    """A Gaussian process over the unit cube, and the map from there."""
    from botorch import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    low, high = (torch.tensor(e).double() for e in (case.process.lower, case.process.upper))
    x, y = (torch.tensor(phi).double() - low) / (high - low), torch.tensor(y).double()
    model = SingleTaskGP(x[:LEARNED], y[:LEARNED])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    learned = {k: v for k, v in model.state_dict().items() if not k.startswith("outcome")}
    model = SingleTaskGP(x, y)
    model.load_state_dict(learned, strict=False)
    model.eval()
    return model, lambda unit: (low + (high - low) * unit).detach().numpy()


def highest(acquisition, size):
    from botorch.optim import optimize_acqf

    unit = torch.tensor([[0.0] * size, [1.0] * size]).double()
    return optimize_acqf(acquisition, unit, q=1, num_restarts=8, raw_samples=512)[0]


def gaussian_process(case, phi, m, box):
    model, back = surrogate(case, phi, box.contains(m)[:, None].astype(float))
    best = highest(lambda x: model.posterior(x.squeeze(-2)).mean.squeeze(-1), phi.shape[1])
    law = model.posterior(best)
    return back(best[0]), float(law.mean), float(law.variance.sqrt())


def inside(model, box, x):
    """log P(m in box) with the noise of the observations, with shape `(N)`, at x with shape
    `(N, 1, P)`."""
    law = model.posterior(x.squeeze(-2), observation_noise=True)
    spread = law.variance.sqrt()
    ends = (torch.tensor(end).double() for end in (box.lower, box.upper))
    low, high = (torch.special.ndtr((end - law.mean) / spread) for end in ends)
    return (high - low).clamp(min=1e-12).log().sum(dim=-1)


def botorch_of_m(model, back, box, size):
    best = highest(lambda x: inside(model, box, x), size)
    with torch.no_grad():
        return back(best[0]), float(inside(model, box, best.unsqueeze(0)).exp())


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
    parser.add_argument("--models", nargs="*", default=["gp", "botorch", "mdn"])
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
            if model == "botorch":
                surface, back = surrogate(case, phi, m)
            elif model != "gp":
                rival = RIVALS[model]().fit(psp.Batches.from_triads(triads), **known, seed=seed)
            for k, box in enumerate(targets_of(options.work, name)):
                if model == "gp":
                    best, p, spread = gaussian_process(case, phi, m, box)
                elif model == "botorch":
                    best, p = botorch_of_m(surface, back, box, phi.shape[1])
                    spread = np.nan
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
