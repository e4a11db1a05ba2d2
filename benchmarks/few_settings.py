"""What a Gaussian process as the trend of the prior is worth, by the number of settings.

Tables of the two problems of `benchmarks/campaign_problems.py`, whose P(m > a | φ) is known
exactly: so many settings at random, one value each. For five thresholds a, the quantiles .2, .5,
.8, .95 and .99 of what is expected over the process, at 1,500 random settings: the root mean
square error of P, how many 90 % intervals hold the truth, their width. With the default prior and
with one whose networks learn alone, on the same tables. Standard errors are those over the tables.

Every cell is kept in the work folder, so that an interrupted run goes on. Prints the table and
writes `results/few_settings.json`. Without the folder of public data *mixture* is left out.

    python benchmarks/few_settings.py --work FOLDER [--public FOLDER] [--tables 4] \
        [--settings 40 80 300 1000]
"""

import argparse
import json
import time
from pathlib import Path

import campaign_problems
import numpy as np
import torch
from fits import mean_and_error
from scipy.special import ndtr

import pspgen_pyro as psp
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.model import MixturePrior, PSPGen

PRIORS = {"networks": MixturePrior(), "default": None}
QUANTILES, POINTS = (0.2, 0.5, 0.8, 0.95, 0.99), 1500


def cell(problem, settings, prior, number):
    """One table and one model: error, coverage and width for every threshold."""
    points = problem.process.sample(POINTS, np.random.default_rng(0xFE))
    mean, sd = problem.law(points)
    rng = np.random.default_rng([0xFE, number])
    phi = problem.process.sample(settings, rng)
    m = rng.normal(*problem.law(phi))
    values, words = (np.exp(m) if problem.log else m)[:, None], problem.property
    triads = psp.Triads.from_arrays(
        phi, None, values, process=problem.process, properties=[words], quiet=True
    )
    model = PSPGen(triads.schema, prior=PRIORS[prior])
    start = time.process_time()
    run = psp.fit(triads, model=model, seed=number, progress=False)
    found = {"cpu_seconds": time.process_time() - start, "error": [], "held": [], "width": []}
    for level in np.quantile(mean, QUANTILES):
        p = run.probability(psp.Box((level,), (np.inf,)), points)
        truth = ndtr((mean - level) / sd)
        found["error"].append(float(np.sqrt(np.mean((p.value - truth) ** 2))))
        found["held"].append(float(np.mean((p.low <= truth) & (truth <= p.high))))
        found["width"].append(float(np.mean(p.high - p.low)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--public", type=Path, help="the folder of public data, for mixture")
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--settings", type=int, nargs="+", default=[40, 80, 300, 1000])
    parser.add_argument("--out", type=Path, default=Path("results/few_settings.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    problems = {"mixed": campaign_problems.mixed()}
    if options.public is not None:
        problems["mixture"] = campaign_problems.mixture(options.public)
    lines = []
    for name, problem in problems.items():
        for settings in options.settings:
            for prior in PRIORS:
                cells = []
                for number in range(options.tables):
                    path = options.work / f"{name}-{settings}-{prior}-{number}.json"
                    if not path.exists():
                        path.write_text(json.dumps(cell(problem, settings, prior, number)))
                    cells.append(json.loads(path.read_text()))
                line = {"problem": name, "settings": settings, "prior": prior}
                for key in cells[0]:
                    each = [np.mean(one[key]) for one in cells]
                    line[key], line[f"{key}_se"] = mean_and_error(each)
                lines.append(line | {"cells": cells})
                print(
                    f"{name:8s} {settings:5d} settings, {prior:8s}: RMSE {line['error']:.4f} ± "
                    f"{line['error_se']:.4f}, held {line['held']:.3f} ± {line['held_se']:.3f}, "
                    f"width {line['width']:.2f}, {line['cpu_seconds']:.1f} CPU s",
                    flush=True,
                )
    content = {"environment": environment(), "tables": options.tables, "lines": lines}
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
