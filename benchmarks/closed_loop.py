"""Is a closed loop worth its simulations? Case 3, targets L, M and R, several seeds.

Every method may call the simulator 3,000 times at most (the last one 500 times):

| method | calls |
|---|---|
| one-shot 2,500 | trained on 2,500 triads, nothing more |
| one-shot 3,000 | trained on 3,000 triads, all φ uniform |
| one-shot 3,000, refined | the same, its property decoder refined as the loop does |
| one-shot and verify | trained on 2,500; P is the frequency of 500 simulations at φ* |
| closed loop | trained on 2,500; at most 500 more where the loop wants them, until they agree |
| closed loop, all calls | the same with a precision that spends all 500 |
| BoTorch 3,000, BoTorch 500 | Gaussian process of the frequency, noisy expected improvement |

The truth at each φ* is the frequency of 1,000 fresh simulations that no method saw. Each answer is
kept in the work folder, so that an interrupted run goes on. Prints a table and writes
`results/closed_loop.json`. BoTorch is installed by `pip install botorch`.

    python benchmarks/closed_loop.py --work FOLDER [--seeds 0 1 2]
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from pspgen_pyro import Batches, Box, PSPGen, case, fit, generate, maximise, open_triads
from pspgen_pyro.batches import TriadTensors
from pspgen_pyro.design import Refinement, design_in_loop, frequency, verify
from pspgen_pyro.family import ThreeBranchEncoder
from pspgen_pyro.provenance import environment, versions

EPOCHS, MORE, TRUTH = 40, 500, 1000
REPLICATES = {500: 10, 3000: 25}
FIRST, BATCH = {500: 10, 3000: 24}, {500: 4, 3000: 8}
CASE = case("case3")
METHODS = (
    "one-shot 2,500",
    "one-shot 3,000",
    "one-shot 3,000, refined",
    "one-shot and verify",
    "closed loop",
    "closed loop, all calls",
    "BoTorch 500",
    "BoTorch 3,000",
)


def remembered(path, function):
    """What the function returns, from the file if it is there."""
    if not path.exists():
        path.write_text(json.dumps(function()))
    return json.loads(path.read_text())


def triads(work, samples, seed):
    path = work / f"case3_{samples}_{seed}.zarr"
    if not path.exists():
        generate("case3", path, samples=samples, seed=seed, workers=1)
    return Batches.from_dataset(open_triads(path))


def joined(a, b):
    folds = []
    for name in ("train", "validation"):
        x, y = getattr(a, name), getattr(b, name)
        folds.append(
            TriadTensors(*(torch.cat([getattr(x, n), getattr(y, n)]) for n in ("phi", "x", "m")))
        )
    return Batches(*folds)


def trained(work, data, seed):
    """The default model trained on the data, and the CPU seconds that took."""
    path = work / f"model_{len(data.train)}_{seed}.pt"
    torch.manual_seed(seed)
    model = PSPGen(CASE.process, (36, 36), encoder=ThreeBranchEncoder()).float()
    if not path.exists():
        start = time.process_time()
        fit(model, data, epochs=EPOCHS, seed=seed, progress=False)
        state = {"weights": model.state_dict(), "seconds": time.process_time() - start}
        torch.save(state, path)
    state = torch.load(path)
    model.load_state_dict(state["weights"])
    return model.eval(), state["seconds"]


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
    return answer(design.phi, p.value, p.standard_error, calls, time.process_time() - start)


def refined(model, data, target, calls, seed):
    start = time.process_time()
    better = Refinement()(model, data.train, data.validation, seed)
    seconds = time.process_time() - start
    found = one_shot(better, target, calls, seed)
    return found | {"cpu_seconds": found["cpu_seconds"] + seconds}


def verified(found, target, seed):
    """The model's φ*, with the frequency of 500 fresh simulations as its P."""
    start = time.process_time()
    p = verify(CASE.chain, target, found["phi"], samples=MORE, seed=50_000 + seed).probability
    seconds = found["cpu_seconds"] + time.process_time() - start
    return answer(found["phi"], p.value, p.standard_error, found["calls"] + MORE, seconds)


def closed(model, data, target, calls, seed, precision=0.03):
    loop = design_in_loop(
        model,
        data,
        target,
        simulator=CASE.chain,
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
    return answer(
        loop.phi, p.value, p.standard_error, total, loop.seconds, rounds=rounds, status=loop.status
    )


def botorch(target, calls, seed):
    """Noisy expected improvement on the simulated frequency, the last φ by the posterior mean."""
    from botorch.acquisition import PosteriorMean, qLogNoisyExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    start = time.process_time()
    torch.manual_seed(seed)
    low, high = np.array(CASE.process.lower), np.array(CASE.process.upper)
    each, used = REPLICATES[calls], 0
    unit_box = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)

    def observe(unit):
        nonlocal used
        phi = np.repeat(np.clip(low + (high - low) * unit.numpy(), low, high), each, axis=0)
        seeds = [
            np.random.SeedSequence(60_000 + seed, spawn_key=(0xB0, used + i))
            for i in range(len(phi))
        ]
        used += len(phi)
        hits = target.contains(CASE.chain.simulate(phi, seeds).m).reshape(-1, each).sum(axis=1)
        p = frequency(hits, each)
        return [torch.tensor(a)[:, None] for a in (p.value, p.standard_error**2)]

    def model():
        gp = SingleTaskGP(x, y, variance, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
        return gp

    engine = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed)
    x = engine.draw(FIRST[calls], dtype=torch.float64)
    y, variance = observe(x)
    while used < calls:
        acquisition = qLogNoisyExpectedImprovement(model(), x, prune_baseline=True)
        size = min(BATCH[calls], (calls - used) // each)
        new, _ = optimize_acqf(acquisition, unit_box, q=size, num_restarts=4, raw_samples=128)
        values = observe(new)
        x = torch.cat([x, new])
        y, variance = (torch.cat(pair) for pair in zip((y, variance), values, strict=True))
    gp = model()
    best, _ = optimize_acqf(PosteriorMean(gp), unit_box, q=1, num_restarts=8, raw_samples=256)
    posterior = gp.posterior(best)
    phi = np.clip(low + (high - low) * best.numpy()[0], low, high)
    error = posterior.variance.item() ** 0.5
    return answer(phi, posterior.mean.item(), error, used, time.process_time() - start)


def answers(work, seed, skip):
    """Every method's answer to every target, for one seed."""
    rows = []
    a = triads(work, 2500, seed)
    b = joined(a, triads(work, 500, 1000 + seed))
    (small, small_seconds), (large, large_seconds) = trained(work, a, seed), trained(work, b, seed)
    for name, ends in CASE.targets.items():
        target, found = Box(*ends), {}
        runs = {
            "one-shot 2,500": lambda t=target: one_shot(small, t, 2500, seed),
            "one-shot 3,000": lambda t=target: one_shot(large, t, 3000, seed),
            "one-shot 3,000, refined": lambda t=target: refined(large, b, t, 3000, seed),
            "one-shot and verify": lambda t=target, f=found: verified(
                f["one-shot 2,500"], t, seed
            ),
            "closed loop": lambda t=target: closed(small, a, t, 2500, seed),
            "closed loop, all calls": lambda t=target: closed(small, a, t, 2500, seed, 0.001),
            "BoTorch 500": lambda t=target: botorch(t, 500, seed),
            "BoTorch 3,000": lambda t=target: botorch(t, 3000, seed),
        }
        for method in METHODS:
            if any(method.startswith(word) for word in skip):
                continue
            path = work / f"{method.replace(' ', '_').replace(',', '')}_{name}_{seed}.json"
            found[method] = remembered(path, runs[method])
            at = found[method]["phi"]
            key = f"truth_{name}_" + "_".join(f"{value:.4f}" for value in at)
            hits = remembered(work / f"{key}.json", lambda t=target, at=at: true_hits(t, at))
            truth = frequency(hits, TRUTH)
            training = {"one-shot 3": large_seconds, "BoTorch": 0.0}
            seconds = next((v for k, v in training.items() if method[: len(k)] == k), None)
            row = {"seed": seed, "target": name, "method": method} | found[method]
            row["training_cpu_seconds"] = small_seconds if seconds is None else seconds
            row |= {"truth": float(truth.value), "truth_se": float(truth.standard_error)}
            rows.append(row | {"error": abs(row["P"] - row["truth"])})
            print(
                f"{seed} {name} {method:24s} φ* {at[0]:5.2f} {at[1]:5.2f}  P {row['P']:.3f}  "
                f"truth {row['truth']:.3f}  error {rows[-1]['error']:.3f}  calls {row['calls']}  "
                f"CPU s {row['cpu_seconds']:.1f}",
                flush=True,
            )
    return rows


def true_hits(target, phi):
    m = verify(CASE.chain, target, phi, samples=TRUTH, seed=90_001).m
    return int(target.contains(m).sum())


def summary(rows):
    """Means over seeds and targets; the root mean square is also rid of the noise of the truth."""
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        errors = np.array([row["error"] for row in mine])
        signed = np.array([row["P"] - row["truth"] for row in mine])
        noise = np.mean([row["truth_se"] ** 2 for row in mine])
        line = {
            "method": method,
            "answers": len(mine),
            "mean_absolute_error": errors.mean(),
            "its_standard_error": errors.std(ddof=1) / len(errors) ** 0.5,
            "rms_error_without_noise": max(0.0, (errors**2).mean() - noise) ** 0.5,
            "largest_error": errors.max(),
            "mean_signed_error": signed.mean(),
            "mean_calls": np.mean([row["calls"] for row in mine]),
            "mean_cpu_seconds": np.mean([row["cpu_seconds"] for row in mine]),
            "mean_training_cpu_seconds": np.mean([row["training_cpu_seconds"] for row in mine]),
        }
        for name in CASE.targets:
            truths = [row["truth"] for row in mine if row["target"] == name]
            line[f"truth_{name}"] = np.mean(truths)
        table.append({k: v if isinstance(v, str) else float(v) for k, v in line.items()})
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--skip", nargs="*", default=[], help="methods to leave out")
    parser.add_argument("--out", type=Path, default=Path("results/closed_loop.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    options.work.mkdir(exist_ok=True)
    rows = [row for seed in options.seeds for row in answers(options.work, seed, options.skip)]
    table = summary(rows)
    for line in table:
        truths = "  ".join(f"{line[f'truth_{name}']:.3f}" for name in CASE.targets)
        print(
            f"{line['method']:24s} |P − truth| {line['mean_absolute_error']:.3f} ± "
            f"{line['its_standard_error']:.3f}, RMS {line['rms_error_without_noise']:.3f}, "
            f"largest {line['largest_error']:.3f}; truth at φ* "
            f"(L, M, R) {truths}; {line['mean_calls']:.0f} calls; "
            f"{line['mean_training_cpu_seconds'] + line['mean_cpu_seconds']:.0f} CPU s"
        )
    content = {
        "environment": environment(),
        "rivals": versions(["botorch", "gpytorch"]),
        "settings": {"epochs": EPOCHS, "more": MORE, "truth": TRUTH, "seeds": options.seeds},
        "summary": table,
        "rows": rows,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
