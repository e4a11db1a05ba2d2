"""Does P(m in target | φ) tell the truth? The experiments that decide on the default model.

Every cell (experiment, model, data seed) is one training; it is kept in the work folder, so that
an interrupted run goes on. All models of one experiment see the same rows, folds and symmetries
(all that the process declares, unless a cell says otherwise; the paper's networks use none). RMSE
is of the P surface against a 20 × 20 reference grid whose counts are pooled with their mirror
image, noise taken off, mean over the targets L, M and R.

| experiment | data | models |
|---|---|---|
| full | Case 1, 10,000 triads | PSP-GEN, its variants, the rivals |
| quarter | Case 3, 2,500 triads | PSP-GEN, the rivals |
| labels | Case 1, N labelled of 10,000 pairs | PSP-GEN with and without the pairs, rivals |
| pairs | Case 1, 250 labels and fewer pairs | PSP-GEN |
| unseen | Case 2, no triad near R | with and without unlabelled samples there, and the mirror |
| ten | Case 5, 10 parameters | NLL and energy score on 2,000 test triads; P at φ* |
| generated | Case 1, 8 held-out settings | generated x given to the real solver |

Prints the tables and writes `results/calibration.json`. The stored numbers of version 0.1.0 hold
models that have left the package since; write others elsewhere with `--out`. `--scale` makes every
data set, the reference and the trainings so many times smaller, to try the script.

    python benchmarks/calibration.py --work FOLDER [--only full quarter] [--seeds 1 2 3] \
        [--jobs 2] [--scale 0.01]
"""

import argparse
import dataclasses
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr

from pspgen_pyro import Batches, Box, PSPGen, Triads, case, generate, maximise, verify
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.design import Support
from pspgen_pyro.diagnosis import energy_score
from pspgen_pyro.diagnosis.generated import energy_distance
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.model import MixtureProperty, StandardNormalPrior, ThreeBranchEncoder
from pspgen_pyro.process.symmetries import Mirror
from pspgen_pyro.report import materials_at, surface_error
from pspgen_pyro.rivals import RIVALS, PseudoLabels, PSPGenPredictor
from pspgen_pyro.runs import Run, described_data
from pspgen_pyro.structure import two_point_correlation
from pspgen_pyro.training import STAGES, Epochs, train

GRID, REFERENCE = 20, 200
LABELS = (100, 250, 500, 1000)
PAIRS = (1000, 2500, 5000)
RIVALS_ON_PHI = ("mdn", "flow", "logistic", "gaussian")


def with_decoder(decoder):
    """The paper's model with another law of m given z."""
    return partial(
        PSPGen,
        prior=StandardNormalPrior(),
        property_decoder=decoder,
        encoder=ThreeBranchEncoder(),
    )


MODELS = {
    "pspgen": PSPGen,
    "paper": PSPGen.paper,
    "mixture decoder": with_decoder(MixtureProperty(reads=None)),
    "mixture decoder, reads 4": with_decoder(MixtureProperty(reads=4)),
}
LADDER = [name for name in MODELS if name != "pspgen"]


@dataclasses.dataclass(frozen=True)
class Work:
    """Where everything is kept, and how many times smaller than it should be."""

    folder: Path
    scale: float = 1.0

    def __truediv__(self, name):
        return self.folder / name

    def some(self, number, least=1):
        return max(least, round(number * self.scale))


def store(work, name, seed):
    path = work / f"{name}_{seed}.zarr"
    if not path.exists():
        generate(case(name), path, seed=seed, scale=work.scale)
    return path


def data_of(work, name, seed):
    return Batches.from_triads(Triads.open(store(work, name, seed)))


def reference(work):
    """m at every point of the grid, with its mirror image, with shape `(20, 20, n, 2)`."""
    path = work / "reference.npz"
    if not path.exists():
        zarr = work / "ref.zarr"
        if not zarr.exists():
            replicates = work.some(REFERENCE, 2)
            generate(case("case1"), zarr, split="reference", replicates=replicates, seed=0)
        m = Triads.open(zarr).data["m"].values.reshape(GRID, GRID, -1, 2)
        np.savez(path, m=np.concatenate([m, m[::-1][..., ::-1]], axis=2))
    return np.load(path)["m"]


def truths(work):
    """The fraction of the reference in each target, by name: the box, and shape `(20, 20)`."""
    m = reference(work)
    for name, region in case("case1").targets.items():
        box = Box(*region)
        yield name, box, box.contains(m.reshape(-1, 2)).reshape(GRID, GRID, -1).mean(axis=-1)


def surfaces(predictor, work):
    phi, found = case("case1").process.grid(GRID), {}
    for name, box, truth in truths(work):
        p = predictor.probability(box, phi).reshape(GRID, GRID)
        error = surface_error(p, truth, 2 * work.some(REFERENCE, 2))
        best = np.unravel_index(p.argmax(), p.shape)
        found[name] = {
            "rmse": error.rmse,
            "resolution": error.resolution,
            "rank correlation": float(spearmanr(p.ravel(), truth.ravel()).statistic),
            "P at its best": float(p[best]),
            "truth there": float(truth[best]),
            "surface": p.round(4).tolist(),
        }
    found["mean rmse"] = float(np.mean([one["rmse"] for one in found.values()]))
    return found


def trained(work, model, data, schema, symmetries, seed, stages=None):
    """A predictor trained on the data, and the CPU seconds it took: of PSP-GEN, unless `stages`
    say otherwise, what P depends on."""
    torch.manual_seed(seed)
    start = time.process_time()
    if model in MODELS:
        made = MODELS[model](schema).float()
        learned = made.encoder.noise > 0
        if stages is None:
            stages = STAGES[:2] if learned else (Epochs(epochs=work.some(30)),)
        train(made, data, stages, seed=seed, symmetries=symmetries if learned else ())
        return PSPGenPredictor(made), time.process_time() - start
    rival = PseudoLabels(percolation_flags=True) if model == "pseudo" else RIVALS[model]()
    fitted = rival.fit(data, schema=schema, symmetries=symmetries, seed=seed)
    return fitted, time.process_time() - start


def judged(work, model, data, seed, stages=None):
    schema = case("case1").chain.schema
    predictor, seconds = trained(work, model, data, schema, schema.symmetries, seed, stages)
    return {"cpu_seconds": seconds, **surfaces(predictor, work)}


def full(work, model, seed):
    return judged(work, model, data_of(work, "case1", seed), seed)


def whole(work, model, seed):
    """The default with its images: what `psp.fit` does."""
    return judged(work, model, data_of(work, "case1", seed), seed, STAGES)


def quarter(work, model, seed):
    return judged(work, model, data_of(work, "case3", seed), seed)


def labels(work, model, seed, count):
    data = data_of(work, "case1", seed).hide_properties(work.some(count, 20), seed=seed)
    model, alone, _ = model.partition(", labels alone")
    if alone or model in RIVALS_ON_PHI:
        data = data.only_labelled()
    # where every row is labelled nothing is read off x, and P rests on the prior alone
    return judged(work, model, data, seed, STAGES[1:2] if alone else None)


def pairs(work, model, seed, count):
    data = data_of(work, "case1", seed).hide_properties(work.some(250, 20), seed=seed)
    # the φ are independent draws: the first pairs are a random part, if the labelled ones stay
    known, bare = (index.nonzero().squeeze(-1) for index in known_and_bare(data.train))
    keep = torch.cat([known, bare[: max(work.some(count) - len(known), 1)]])
    return judged(work, model, Batches(data.train[keep], data.validation), seed)


def known_and_bare(rows):
    return rows.labelled, ~rows.labelled


def unseen(work, model, seed, with_pairs, with_mirror):
    triads = Triads.open(store(work, "case2", seed), excluded=True)
    data, schema = Batches.from_triads(triads), triads.schema
    fold, excluded = (triads.data[name].values for name in ("fold", "excluded"))
    parts = []
    for part, number in ((data.train, 0), (data.validation, 1)):
        out = torch.tensor(excluded[fold == number])
        m = part.m.masked_fill(out[:, None], torch.nan)
        rows = torch.ones_like(out) if with_pairs else ~out
        parts.append(Batch(part.phi, part.x, m)[rows.nonzero().squeeze(-1)])
    symmetries = [s for s in schema.symmetries if with_mirror or not isinstance(s, Mirror)]
    predictor, seconds = trained(work, model, Batches(*parts), schema, symmetries, seed)
    return {"cpu_seconds": seconds, **surfaces(predictor, work)["R"]}


def ten(work, model, seed):
    chosen, triads = case("case5"), Triads.open(store(work, "case5", seed))
    data, schema = Batches.from_triads(triads), triads.schema
    predictor, seconds = trained(work, model, data, schema, schema.symmetries, seed)
    path = work / "case5_test.zarr"
    if not path.exists():
        generate(chosen, path, split="test", samples=work.some(2000, 20), seed=0)
    test = Triads.open(path).data
    phi, m = test["phi"].values, test["m"].values
    nll = -predictor.log_density(phi, m)
    energy = energy_score(predictor.sample(phi, 200, seed), m)
    found = {"cpu_seconds": seconds, "nll": mean(nll), "energy score": mean(energy)}
    for name, region in chosen.targets.items():
        box = Box(*region)
        best = designed(predictor, box, schema.process, Support.of(triads))
        check = verify(chosen.chain, box, best, samples=work.some(1000, 10), seed=seed)
        found[name] = {
            "P": float(predictor.probability(box, best)),
            "simulated": float(check.probability.value),
            "standard error": float(check.probability.standard_error),
        }
    return found


def mean(values):
    return [float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)]


def generated(work, model, seed):
    """Generated images beside real ones: void fraction, two-point correlation, and m by the
    chain's own solver; P of the targets L, M and R among both."""
    triads = Triads.open(store(work, "case1", seed))
    epochs = Epochs(epochs=work.some(30 if "30 epochs" in model else 15))
    torch.manual_seed(seed)
    made = PSPGen(triads.schema).float()
    start = time.process_time()
    history = train(made, Batches.from_triads(triads), (*STAGES[:2], epochs), seed=seed)
    found = {"cpu_seconds": time.process_time() - start}
    last = {name: values[history.best_epoch] for name, values in history.epochs.items()}
    found |= {name: last[f"validation_{name}"] for name in ("x", "kl")}
    run, count = Run(made, (history,), described_data(triads), {}), work.some(200, 10)
    found["candidates"] = {n: compared(run, triads, seed, n, count) for n in CANDIDATES}
    found["mean gap in P"] = found["candidates"][CANDIDATES[-1]]["mean gap in P"]
    return found


def compared(run, triads, seed, candidates, count):
    """The images of a run beside real ones, at eight settings."""
    process, found = case("case1").process, {}
    settings = process.sample(8, np.random.default_rng(SETTINGS))
    settings[:3] = (1.0, 2.0), (5.0, 0.2), (9.0, 2.0)
    boxes = {name: Box(*region) for name, region in case("case1").targets.items()}
    found["settings"] = []
    for i, phi in enumerate(settings):
        real, drawn = materials_at(
            run, phi, triads, count=count, seed=seed + i, candidates=candidates
        )
        distance, p_value = energy_distance(real.m, drawn.m, seed=i)
        row = {"phi": phi.tolist(), "energy distance": distance, "p-value": p_value}
        row["void fraction"] = [float(one.x.mean()) for one in (real, drawn)]
        correlations = [two_point_correlation(one.x).mean(axis=0) for one in (real, drawn)]
        row["two-point rms"] = float(np.sqrt(((correlations[0] - correlations[1]) ** 2).mean()))
        for name, box in boxes.items():
            row[name] = [float(box.contains(one.m).mean()) for one in (real, drawn)]
        found["settings"].append(row)
    gaps = [abs(row[name][0] - row[name][1]) for row in found["settings"] for name in boxes]
    found["largest gap in P"], found["mean gap in P"] = max(gaps), float(np.mean(gaps))
    return found


SETTINGS, CANDIDATES = 2026, (1, 64)
PICTURES = ("pspgen", "pspgen, 30 epochs")


def designed(predictor, box, process, support):
    """φ* of a predictor: the package's design, or for a rival the best of many settings, climbed
    from with numerical slopes."""
    if isinstance(predictor, PSPGenPredictor):
        return maximise(predictor.model, box, support=support).phi
    start = process.sample(4096, np.random.default_rng(0))
    p = predictor.probability(box, start)
    low, high = np.array(process.lower), np.array(process.upper)

    def height(u):
        phi = np.clip(low + u * (high - low), low, high)
        return -np.log(predictor.probability(box, phi) + 1e-9)

    climbed = [
        minimize(
            height, (start[i] - low) / (high - low), bounds=[(0, 1)] * len(low), method=METHOD
        )
        for i in np.argsort(-p)[:3]
    ]
    best = min(climbed, key=lambda found: found.fun).x
    return np.clip(low + best * (high - low), low, high)


METHOD = "L-BFGS-B"


def cells(seeds):
    """Every training, most wanted first: experiment, function, arguments."""
    for seed in seeds:
        for model in ("pspgen", "mdn"):
            yield "full", (model, seed)
            yield "quarter", (model, seed)
        for count in LABELS:
            yield "labels", ("pspgen", seed, count)
    for seed in seeds:
        for count in LABELS:
            yield "labels", ("pseudo", seed, count)
            yield "labels", ("mdn", seed, count)
    for seed in seeds:
        for with_pairs in (True, False):
            for with_mirror in (True, False):
                yield "unseen", ("pspgen", seed, with_pairs, with_mirror)
        for with_mirror in (True, False):
            yield "unseen", ("mdn", seed, False, with_mirror)
        yield "unseen", ("pseudo", seed, True, False)
        yield "ten", ("pspgen", seed)
        yield "ten", ("mdn", seed)
    for seed in seeds:
        for model in ("flow", "logistic", "gaussian"):
            yield "full", (model, seed)
            yield "quarter", (model, seed)
        for count in PAIRS:
            yield "pairs", ("pspgen", seed, count)
        for count in LABELS:
            yield "labels", ("pspgen, labels alone", seed, count)
    yield "whole", ("pspgen", seeds[0])
    for model in PICTURES:
        yield "generated", (model, seeds[0])
    for model in LADDER:
        yield "full", (model, seeds[0])


EXPERIMENTS = {
    "full": full,
    "whole": whole,
    "quarter": quarter,
    "labels": labels,
    "pairs": pairs,
    "unseen": unseen,
    "ten": ten,
    "generated": generated,
}


def stem(experiment, arguments):
    return "-".join(map(str, (experiment, *arguments)))


def cell(work, experiment, arguments):
    torch.set_num_threads(1)
    path = work / "cells" / f"{stem(experiment, arguments)}.json"
    if not path.exists():
        found = EXPERIMENTS[experiment](work, *arguments)
        path.write_text(json.dumps(found))
        print(path.stem, json.dumps(found)[:150], flush=True)
    return json.loads(path.read_text())


def summary(found):
    """A cell without its surfaces."""
    return {
        key: summary(value) if isinstance(value, dict) else value
        for key, value in found.items()
        if key != "surface"
    }


COMMAND = "python benchmarks/calibration.py --work FOLDER"


def key_of(experiment, arguments):
    model, _, *rest = arguments
    return "-".join(map(str, (experiment, *rest, model)))


def tables(results):
    """Mean over the seeds, and their range, of the number each experiment is about."""
    rows = {}
    for (experiment, arguments), found in results.items():
        names = ("mean rmse", "rank correlation", "mean gap in P", "nll")
        value = next(found[name] for name in names if name in found)
        value = value[0] if isinstance(value, list) else value
        rows.setdefault(key_of(experiment, arguments), []).append((value, found["cpu_seconds"]))
    lines = ["| cell | mean | seeds | CPU s |", "|---|---|---|---|"]
    for key, values in rows.items():
        numbers, seconds = zip(*values, strict=True)
        each = " ".join(f"{number:.4f}" for number in numbers)
        lines.append(f"| {key} | {np.mean(numbers):.4f} | {each} | {np.median(seconds):.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=sorted(EXPERIMENTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="to try it")
    parser.add_argument("--collect", action="store_true", help="only what is there already")
    parser.add_argument("--out", type=Path, default=Path("results/calibration.json"))
    options = parser.parse_args()
    work = Work(options.work, options.scale)
    (work / "cells").mkdir(parents=True, exist_ok=True)
    wanted = [one for one in cells(options.seeds) if one[0] in options.only]
    if options.collect:
        kept = {path.stem for path in (work / "cells").glob("*.json")}
        wanted = [one for one in wanted if stem(*one) in kept]
    reference(work)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        futures = {one: pool.submit(cell, work, *one) for one in wanted}
        results = {one: future.result() for one, future in futures.items()}
    print(tables(results))
    content = {
        "command": COMMAND,
        "seeds": options.seeds,
        "cells": {
            "-".join(map(str, (e, *a))): summary(found) for (e, a), found in results.items()
        },
        "environment": environment(),
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
