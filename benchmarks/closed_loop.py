"""Is a closed loop worth its simulations? Case 3, or another, its targets, several data sets.

Every method may call the simulator 3,000 times at most:

| method | calls |
|---|---|
| one-shot 2,500 | trained on 2,500 triads, nothing more |
| one-shot 3,000 | trained on the same and 500 more, all φ uniform |
| one-shot, then 500 at φ* | trained on 2,500; P is the frequency of 500 simulations at φ* |
| the same, with the model | P is the posterior of the model's P and that frequency |
| closed loop | trained on 2,500; at most 500 more at and around φ*, until the two agree |
| closed loop, all calls | the same with a precision that spends all 500 |
| BoTorch | Gaussian process of frequencies of 25 simulations, noisy expected improvement |
| BoFire | the same by its `SoboStrategy`, where `benchmarks/campaign.py` asks for it |

The truth at each φ* is the frequency of 2,000 fresh simulations a data set that no method saw;
data sets whose answers share φ* share them. The φ* of M in Case 3 lie along one valley, hardly
two of them the same: there the truth is a logistic regression on all of those simulations, an
even polynomial about the mirror axis of the process, whose fit is printed (chi squared per degree
of freedom, about 1 if it is smooth enough). Standard errors are those over data sets, since a
model's errors for L and R, mirror images of each other, are much the same. Each answer is kept in
the work folder, so that an interrupted run goes on. Prints a table and writes
`results/closed_loop.json`. BoTorch is installed by `pip install botorch`.

    python benchmarks/closed_loop.py --work FOLDER [--seeds 3 4 5 6]
"""

import argparse
import json
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from pspgen_pyro import Batches, Box, PSPGen, Triads, case, generate, maximise
from pspgen_pyro.design import Discrepancy, design_in_loop, frequency, verify
from pspgen_pyro.io.provenance import environment, versions
from pspgen_pyro.training import STAGES, train

TRIADS, MORE, TRUTH = 2500, 500, 2000
REPLICATES, FIRST, BATCH = 25, 24, 8
RESTARTS, RAW = 4, 128
METHODS = (
    "one-shot 2,500",
    "one-shot 3,000",
    "one-shot, then 500 at φ*",
    "the same, with the model",
    "closed loop",
    "closed loop, all calls",
    "BoTorch 3,000",
)
RIVALS = ("BoTorch 3,000", "BoFire 3,000")
PAIRS = [
    (loop, rival)
    for loop in ("closed loop", "closed loop, all calls")
    for rival in ("one-shot 3,000", *METHODS[2:4], "BoTorch 3,000")
]


def remembered(path, function):
    """What the function returns, from the file if it is there."""
    if not path.exists():
        path.write_text(json.dumps(function()))
    return json.loads(path.read_text())


def triads(work, study, samples, seed):
    path = work / f"{study.name}_{samples}_{seed}.zarr"
    if not path.exists():
        generate(study.name, path, samples=samples, seed=seed, workers=1)
    return Batches.from_triads(Triads.open(path))


def joined(a, b):
    return Batches(a.train.joined(b.train), a.validation.joined(b.validation))


def trained(work, study, data, seed):
    """The default model trained on the data, and the CPU seconds that took."""
    path = work / f"model_{len(data.train)}_{seed}.safetensors"
    torch.manual_seed(seed)
    model = PSPGen(study.chain.schema).float()

    def learn():
        start = time.process_time()
        train(model, data, STAGES[:2], seed=seed)
        seconds = time.process_time() - start
        save_file(model.state_dict(), path)
        return seconds

    seconds = remembered(path.with_suffix(".json"), learn)
    model.load_state_dict(load_file(path))
    return model.eval(), seconds


def answer(phi, probability, error, calls, seconds, **more):
    return {
        "phi": [float(value) for value in phi],
        "P": float(probability),
        "standard_error": float(error),
        "calls": int(calls),
        "cpu_seconds": float(seconds),
    } | more


def one_shot(model, target, calls, seed):
    start = time.process_time()
    design = maximise(model, target, seed=seed)
    p = design.probability
    seconds = time.process_time() - start
    ends = {"low": float(p.low), "high": float(p.high)}
    return answer(design.phi, p.value, p.standard_error, calls, seconds, **ends)


def verified(found, study, target, seed):
    """The model's φ*, with the frequency of 500 fresh simulations as its P."""
    start = time.process_time()
    p = verify(study.chain, target, found["phi"], samples=MORE, seed=50_000 + seed).probability
    seconds = found["cpu_seconds"] + time.process_time() - start
    return answer(found["phi"], p.value, p.standard_error, found["calls"] + MORE, seconds)


def combined(found, checked, study):
    """The model's φ*, and what the model and the frequency together say of P there."""
    phi, hits = checked["phi"], checked["P"] * MORE
    correction = Discrepancy().given(study.process, [phi], [found["P"]], [hits], [MORE])
    p = correction.probability(phi, found["P"])
    return answer(phi, p.value, p.standard_error, checked["calls"], checked["cpu_seconds"])


def closed(model, data, study, target, calls, seed, precision=0.03):
    loop = design_in_loop(
        model,
        data,
        target,
        simulator=study.chain,
        budget=MORE,
        precision=precision,
        seed=seed,
    )
    p = loop.probability
    rounds = [
        {
            "phi": turn.phi.tolist(),
            "predicted": float(turn.predicted.value),
            "simulated": float(turn.simulated.value),
            "simulated_se": float(turn.simulated.standard_error),
            "checks": turn.checks,
            "spread": turn.spread,
            "cpu_seconds": turn.seconds,
        }
        for turn in loop.rounds
    ]
    total = calls + loop.calls
    more = {"rounds": rounds, "status": loop.status, "predicted": float(loop.predicted.value)}
    return answer(loop.phi, p.value, p.standard_error, total, loop.seconds, **more)


class Frequencies:
    """What the Gaussian processes see: the share of 25 simulations that lie in the target.

    Arguments:
        study: The case.
        target: The target.
        seed: Seeds the simulations and the first settings.
    """

    def __init__(self, study, target, seed):
        self.study, self.target, self.seed, self.used = study, target, seed, 0
        low, high = np.array(study.process.lower), np.array(study.process.upper)
        self.low, self.width = low, high - low
        engine = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed)
        self.first = engine.draw(FIRST, dtype=torch.float64)

    def settings(self, unit):
        """Settings from coordinates between 0 and 1."""
        return np.clip(self.low + self.width * unit.numpy(), self.low, self.low + self.width)

    def __call__(self, unit):
        phi = np.repeat(self.settings(unit), REPLICATES, axis=0)
        seeds = [
            np.random.SeedSequence(60_000 + self.seed, spawn_key=(0xB0, self.used + i))
            for i in range(len(phi))
        ]
        self.used += len(phi)
        hits = self.target.contains(self.study.chain.simulate(phi, seeds).m)
        return torch.tensor(hits.reshape(-1, REPLICATES).mean(axis=1))[:, None]

    def best(self, model, bounds):
        """Where the posterior mean is highest, that mean and its standard deviation."""
        from botorch.acquisition import PosteriorMean
        from botorch.optim import optimize_acqf

        options = {"num_restarts": 2 * RESTARTS, "raw_samples": 2 * RAW}
        x, _ = optimize_acqf(PosteriorMean(model), bounds, q=1, **options)
        posterior = model.posterior(x)
        return x, posterior.mean.item(), posterior.variance.item() ** 0.5


def botorch(study, target, calls, seed):
    """Noisy expected improvement on the simulated frequency, the last φ by the posterior mean."""
    from botorch.acquisition import qLogNoisyExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    start = time.process_time()
    torch.manual_seed(seed)
    observe = Frequencies(study, target, seed)
    unit_box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, len(observe.low))

    def model():
        gp = SingleTaskGP(x, y, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
        return gp

    x, y = observe.first, observe(observe.first)
    while observe.used < calls:
        acquisition = qLogNoisyExpectedImprovement(model(), x, prune_baseline=True)
        size = min(BATCH, (calls - observe.used) // REPLICATES)
        options = {"num_restarts": RESTARTS, "raw_samples": RAW}
        new, _ = optimize_acqf(acquisition, unit_box, q=size, **options)
        x, y = torch.cat([x, new]), torch.cat([y, observe(new)])
    x, p, error = observe.best(model(), unit_box)
    return answer(observe.settings(x)[0], p, error, observe.used, time.process_time() - start)


def bofire(study, target, calls, seed):
    """The same first settings and the same effort for the acquisition, asked by BoFire."""
    from bofire.data_models.domain.api import Domain, Inputs, Outputs
    from bofire.data_models.features.api import ContinuousInput, ContinuousOutput
    from bofire.data_models.objectives.api import MaximizeObjective
    from bofire.data_models.strategies.api import BotorchOptimizer, SoboStrategy
    from bofire.strategies.api import map as made

    start = time.process_time()
    torch.manual_seed(seed)
    observe, names = Frequencies(study, target, seed), list(study.process.names)
    inputs = [ContinuousInput(key=name, bounds=(0.0, 1.0)) for name in names]
    outputs = [ContinuousOutput(key="P", objective=MaximizeObjective())]
    domain = Domain(inputs=Inputs(features=inputs), outputs=Outputs(features=outputs))
    climbs = BotorchOptimizer(n_restarts=RESTARTS, n_raw_samples=RAW)
    strategy = made(SoboStrategy(domain=domain, acquisition_optimizer=climbs, seed=seed))
    x, y = observe.first, observe(observe.first)

    def tell():
        table = pd.DataFrame(x.numpy(), columns=names).assign(P=y.numpy(), valid_P=1)
        strategy.tell(table, replace=True)

    tell()
    while observe.used < calls:
        asked = strategy.ask(min(BATCH, (calls - observe.used) // REPLICATES))
        new = torch.tensor(asked[names].to_numpy(dtype=float))
        x, y = torch.cat([x, new]), torch.cat([y, observe(new)])
        tell()
    unit_box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, len(names))
    x, p, error = observe.best(strategy.model, unit_box)
    return answer(observe.settings(x)[0], p, error, observe.used, time.process_time() - start)


def answers(work, study, seed, methods):
    """Every method's answer to every target, for one data set."""
    rows = []

    @cache
    def data(calls):
        first = triads(work, study, TRIADS, seed)
        return first if calls == TRIADS else joined(first, triads(work, study, MORE, 1000 + seed))

    @cache
    def model(calls):
        return trained(work, study, data(calls), seed)

    def loop(target, *precision):
        return closed(model(TRIADS)[0], data(TRIADS), study, target, TRIADS, seed, *precision)

    def shot(target, calls):
        return one_shot(model(calls)[0], target, calls, seed)

    for name, ends in study.targets.items():
        target, found = Box(*ends), {}
        runs = {
            "one-shot 2,500": lambda t=target: shot(t, TRIADS),
            "one-shot 3,000": lambda t=target: shot(t, TRIADS + MORE),
            METHODS[2]: lambda t=target, f=found: verified(f[METHODS[0]], study, t, seed),
            METHODS[3]: lambda f=found: combined(f[METHODS[0]], f[METHODS[2]], study),
            "closed loop": lambda t=target: loop(t),
            "closed loop, all calls": lambda t=target: loop(t, 0.001),
            "BoTorch 3,000": lambda t=target: botorch(study, t, TRIADS + MORE, seed),
            "BoFire 3,000": lambda t=target: bofire(study, t, TRIADS + MORE, seed),
        }
        for method in methods:
            number = list(runs).index(method)
            found[method] = remembered(work / f"answer_{number}_{name}_{seed}.json", runs[method])
            at = found[method]["phi"]
            setting = f"{name}_" + "_".join(f"{value:.4f}" for value in at)
            path = work / f"truth_{setting}_{seed}.json"
            hits = remembered(path, lambda t=target, at=at: true_hits(study, t, at, seed))
            row = {"seed": seed, "target": name, "method": method} | found[method]
            learned = TRIADS + MORE if method == "one-shot 3,000" else TRIADS
            row["training_cpu_seconds"] = 0.0 if method in RIVALS else model(learned)[1]
            rows.append(row | {"setting": setting, "hits": hits})
            phi = " ".join(f"{value:5.2f}" for value in at)
            print(
                f"{seed} {name} {method:24s} φ* {phi}  P {row['P']:.3f} ± "
                f"{row['standard_error']:.3f}  truth {hits / TRUTH:.3f}  calls {row['calls']}  "
                f"CPU s {row['cpu_seconds']:.1f}",
                flush=True,
            )
    return rows


def true_hits(study, target, phi, seed):
    m = verify(study.chain, target, phi, samples=TRUTH, seed=90_000 + seed).m
    return int(target.contains(m).sum())


def with_truth(rows, study):
    """Adds the truth, from all simulations at the same setting, and what follows from it."""
    pools = {(row["setting"], row["seed"]): row["hits"] for row in rows}
    for row in rows:
        pool = [hits for (setting, _), hits in pools.items() if setting == row["setting"]]
        truth = frequency(sum(pool), TRUTH * len(pool))
        row |= {"truth": float(truth.value), "truth_se": float(truth.standard_error)}
    fit = smoothed(rows) if study.name == "case3" else None
    for row in rows:
        error = abs(row["P"] - row["truth"])
        row |= {"error": error, "squared_error": error**2}
        row["in_errors"] = row["error"] / np.hypot(row["standard_error"], row["truth_se"])
    return rows, fit


def smoothed(rows):
    """The truth of M in Case 3 by one regression; returns its chi squared a degree of freedom."""
    mine = [row for row in rows if row["target"] == "M"]
    seen = {(row["setting"], row["seed"]): (row["phi"], row["hits"]) for row in mine}
    phi, hits = (np.array(column) for column in zip(*seen.values(), strict=True))

    def features(phi):
        u, v = (phi[:, 0] - 5) / 4, phi[:, 1] - 0.2
        return np.stack([np.ones_like(u), u**2, u**4, u**6, v, v**2], axis=1)

    x, weights, p = features(phi), np.zeros(6), np.full(len(hits), 0.5)
    for _ in range(50):
        curvature = np.linalg.inv((x.T * (TRUTH * p * (1 - p))) @ x + 1e-6 * np.eye(6))
        weights = weights + curvature @ x.T @ (hits - TRUTH * p)
        p = 1 / (1 + np.exp(-x @ weights))
    for row in mine:
        at = features(np.array([row["phi"]]))[0]
        truth = 1 / (1 + np.exp(-at @ weights))
        row["truth"] = float(truth)
        row["truth_se"] = float(truth * (1 - truth) * (at @ curvature @ at) ** 0.5)
    return float(np.sum((hits - TRUTH * p) ** 2 / (TRUTH * p * (1 - p))) / (len(hits) - 6))


def over_data_sets(rows, value):
    """The mean of a value, and its standard error over data sets."""
    seeds = sorted({row["seed"] for row in rows})
    means = [np.mean([value(row) for row in rows if row["seed"] == seed]) for seed in seeds]
    error = np.std(means, ddof=1) / len(means) ** 0.5 if len(means) > 1 else np.nan
    return float(np.mean(means)), float(error)


def logit(p):
    return np.log(p) - np.log1p(-p)


def rms(values):
    return np.mean(np.square(values)) ** 0.5


def summary(rows):
    """Means over data sets and targets; the root mean square is also rid of the noise of the
    truth."""
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        errors = np.array([row["error"] for row in mine])
        noise = np.mean([row["truth_se"] ** 2 for row in mine])
        mean, error = over_data_sets(mine, lambda row: row["error"])
        line = {
            "method": method,
            "answers": len(mine),
            "mean_absolute_error": mean,
            "its_standard_error": error,
            "rms_error_without_noise": max(0.0, (errors**2).mean() - noise) ** 0.5,
            "largest_error": errors.max(),
            "rms_error_of_logit": rms([logit(row["P"]) - logit(row["truth"]) for row in mine]),
            "mean_signed_error": np.mean([row["P"] - row["truth"] for row in mine]),
            "mean_stated_error": np.mean([row["standard_error"] for row in mine]),
            "within_one_error": np.mean([row["in_errors"] <= 1 for row in mine]),
            "within_two_errors": np.mean([row["in_errors"] <= 2 for row in mine]),
            "mean_calls": np.mean([row["calls"] for row in mine]),
            "mean_cpu_seconds": np.mean([row["cpu_seconds"] for row in mine]),
            "mean_training_cpu_seconds": np.mean([row["training_cpu_seconds"] for row in mine]),
        }
        for name in dict.fromkeys(row["target"] for row in rows):
            truths = [row["truth"] for row in mine if row["target"] == name]
            line[f"truth_{name}"] = np.mean(truths)
        table.append({k: v if isinstance(v, str) else float(v) for k, v in line.items()})
    return table


def differences(rows):
    """Pair by pair, one method less another: the error, its square, to which the noise of the
    truth adds the same for both, and the truth at φ*."""
    found = {(row["method"], row["seed"], row["target"]): row for row in rows}
    lines = []
    for one, other in PAIRS:
        pairs = [
            (row, found[other, row["seed"], row["target"]])
            for row in rows
            if row["method"] == one and (other, row["seed"], row["target"]) in found
        ]
        if not pairs:
            continue
        line = {"method": one, "less": other, "pairs": len(pairs)}
        for name in ("error", "squared_error", "truth"):
            apart = [{"seed": a["seed"], "apart": a[name] - b[name]} for a, b in pairs]
            mean, error = over_data_sets(apart, lambda row: row["apart"])
            line |= {f"{name}_difference": mean, f"{name}_difference_se": error}
        line["error_differences"] = {
            seed: float(np.mean([a["error"] - b["error"] for a, b in pairs if a["seed"] == seed]))
            for seed in sorted({a["seed"] for a, _ in pairs})
        }
        line["smaller_errors"] = sum(a["error"] < b["error"] for a, b in pairs)
        lines.append(line)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="of one case")
    parser.add_argument("--case", default="case3")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(3, 52)))
    parser.add_argument("--rival", type=int, nargs="*", help="the seeds BoTorch is asked for; all")
    parser.add_argument("--out", type=Path, default=Path("results/closed_loop.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    options.work.mkdir(exist_ok=True)
    study, rows, rival = (
        case(options.case),
        [],
        options.seeds if options.rival is None else options.rival,
    )
    for seed in options.seeds:
        rows += answers(options.work, study, seed, METHODS if seed in rival else METHODS[:-1])
    rows, fit = with_truth(rows, study)
    table, pairs = summary(rows), differences(rows)
    if fit is not None:
        print(f"truth of M: chi squared {fit:.2f} a degree of freedom")
    for line in table:
        truths = "  ".join(f"{line[f'truth_{name}']:.3f}" for name in study.targets)
        print(
            f"{line['method']:24s} |P − truth| {line['mean_absolute_error']:.3f} ± "
            f"{line['its_standard_error']:.3f}, RMS {line['rms_error_without_noise']:.3f}, "
            f"largest {line['largest_error']:.3f}, stated {line['mean_stated_error']:.3f}, within "
            f"1 and 2 {line['within_one_error']:.2f} {line['within_two_errors']:.2f}; truth at φ* "
            f"{truths}; {line['mean_calls']:.0f} calls; "
            f"{line['mean_training_cpu_seconds'] + line['mean_cpu_seconds']:.0f} CPU s"
        )
    for line in pairs:
        print(
            f"{line['method']} less {line['less']}: error {line['error_difference']:+.4f} ± "
            f"{line['error_difference_se']:.4f}, smaller in {line['smaller_errors']} of "
            f"{line['pairs']}; squared {1e4 * line['squared_error_difference']:+.2f} ± "
            f"{1e4 * line['squared_error_difference_se']:.2f} e-4; truth "
            f"{line['truth_difference']:+.4f} ± {line['truth_difference_se']:.4f}"
        )
    content = {
        "environment": environment(),
        "chi_squared_of_the_truth_of_m": fit,
        "rivals": versions(["botorch", "gpytorch"]),
        "settings": {"case": study.name, "more": MORE, "truth": TRUTH, "rival": rival}
        | {"seeds": options.seeds},
        "summary": table,
        "differences": pairs,
        "rows": rows,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
