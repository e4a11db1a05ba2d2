"""Does the spread over an ensemble's members cover the truth about P(m in target | φ)?

At several numbers N of labelled triads, with all other rows left out or, at some, kept as
unlabelled samples (φ, x), members are trained on the rows as they are or on rows resampled by φ.
At each setting of a reference grid the members' mean is compared with the frequency among fresh
materials.
It is covered if |frequency − mean| ≤ c √(epistemic² + standard error of the frequency²) for c = 1,
1.64 and 2; a calibrated normal error would be in 68, 90 and 95 % of the settings. Only what P
depends on is trained: no images, and without unlabelled samples nothing is read off x either.
With them only resampled rows are tried. Prints a table and writes `results/ensembles.json`.

    python benchmarks/ensembles.py --triads triads.zarr --reference reference.zarr \
        [--labels 250 1000 2500 10000] [--bare 250 1000] [--members 5] [--workers 2]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pspgen_pyro import Batches, PSPGen, Triads
from pspgen_pyro.design import frequency, probability
from pspgen_pyro.diagnosis import ReferenceMaterials, study_targets
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.report import surface_error
from pspgen_pyro.runs import described_data
from pspgen_pyro.training import STAGES, fit_ensemble

WIDTHS = (1.0, 1.64, 2.0)


def coverage(gap, error):
    """The share of the settings within each width."""
    return [float((np.abs(gap) <= c * error).mean()) for c in WIDTHS]


def judged(ensemble, known, target):
    """How the mean and the spread compare with the frequencies, for one target."""
    p = probability(ensemble, target, known.phi)
    truth = frequency(known.fraction(target) * known.samples, known.samples)
    gap = truth.value - p.value
    error = np.hypot(p.epistemic, truth.standard_error)
    # elsewhere every member knows that P is 0 or 1, and so would a guess
    open_ = (p.value > 0.05) & (p.value < 0.95)
    samples = int(known.samples.min())
    return {
        "coverage": coverage(gap, error),
        "coverage_where_open": coverage(gap[open_], error[open_]),
        "settings_open": int(open_.sum()),
        "coverage_without_epistemic": coverage(gap, truth.standard_error),
        "epistemic": float(p.epistemic.mean()),
        "epistemic_where_open": float(p.epistemic[open_].mean()),
        "aleatoric": float(p.aleatoric.mean()),
        "rmse_mean": rmse(p.value, truth.value, samples),
        "rmse_member": float(np.mean([rmse(one, truth.value, samples) for one in p.members])),
    }


def rmse(p, truth, samples):
    return float(surface_error(p, truth, samples).rmse)


def averaged(table):
    """The mean of every number over the targets."""
    first = next(iter(table.values()))
    return {key: np.mean([row[key] for row in table.values()], axis=0).tolist() for key in first}


def measured(triads, known, targets, options, labels, pairs, bootstrap):
    data = Batches.from_triads(triads)
    if labels < len(data.train) + len(data.validation):
        data = data.hide_properties(labels, seed=options.seed)
    if not pairs:
        data = data.only_labelled()
    start = time.perf_counter()
    ensemble, _ = fit_ensemble(
        PSPGen(triads.schema).float(),
        data,
        members=options.members,
        seed=options.seed,
        bootstrap=bootstrap,
        workers=options.workers,
        stages=STAGES[:2] if pairs else STAGES[1:2],
    )
    seconds = time.perf_counter() - start
    table = {name: judged(ensemble, known, target) for name, target in targets.items()}
    row = {"labels": labels, "bare_pairs": pairs, "bootstrap": bootstrap, "seconds": seconds}
    return row | {"all": averaged(table), "targets": table}


def shown(row):
    mean = row["all"]
    share = ["  ".join(f"{100 * c:3.0f}" for c in mean[key]) for key in SHARES]
    return (
        f"{row['labels']:6d}  {'pairs' if row['bare_pairs'] else 'none':5s}  "
        f"{'yes' if row['bootstrap'] else 'no':9s}  {share[0]}   {share[1]}   {share[2]}  "
        f"{mean['epistemic_where_open']:9.3f}  {mean['rmse_mean']:9.3f}  "
        f"{mean['rmse_member']:11.3f}  {row['seconds']:5.0f}"
    )


SHARES = ("coverage", "coverage_where_open", "coverage_without_epistemic")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triads", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[250, 1000, 2500, 10_000])
    parser.add_argument("--bare", type=int, nargs="*", default=[250, 1000])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/ensembles.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    triads, reference = Triads.open(options.triads), Triads.open(options.reference)
    known, targets = ReferenceMaterials.of(reference), study_targets(reference)
    print(f"coverage in % at c = {WIDTHS}, where 68, 90 and 95 are nominal")
    print(
        "labels  bare   bootstrap  all            open           no spread      "
        "epistemic  RMSE mean  RMSE member  wall s"
    )
    rows = []
    for labels in options.labels:
        for pairs in (False, True) if labels in options.bare else (False,):
            for bootstrap in (True,) if pairs else (False, True):
                rows.append(measured(triads, known, targets, options, labels, pairs, bootstrap))
                print(shown(rows[-1]), flush=True)
    content = {
        "environment": environment(),
        "data": described_data(triads),
        "reference": {"settings": len(known.phi), "samples": int(known.samples.min())},
        "members": options.members,
        "seed": options.seed,
        "widths": WIDTHS,
        "rows": rows,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
