"""What training costs: half steps or joint steps, Pyro or plain torch.

Trains the default model on the same triads from the same seeds by `Alternating()` and `Joint()`,
and times one joint step through Pyro's traces against the same loss written in plain torch. Prints
two tables and writes `results/training.json`.

    python benchmarks/training.py --triads triads.zarr [--seeds 3] [--epochs 30]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pspgen_pyro import Alternating, Batches, Box, Joint, PSPGen, case, fit, maximise, open_triads
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.model import ThreeBranchEncoder
from pspgen_pyro.runs import describe, process_of
from pspgen_pyro.training.objective import elbo_terms


def trained(data, process, updates, seed, epochs):
    """One row of the first table."""
    torch.manual_seed(seed)
    model = PSPGen(process, tuple(data.train.x.shape[1:]), encoder=ThreeBranchEncoder()).float()
    start = time.process_time()
    history = fit(model, data, epochs=epochs, updates=updates, seed=seed)
    row = {
        "updates": type(updates).__name__,
        "seed": seed,
        "cpu_seconds": time.process_time() - start,
        "best_epoch": history.best_epoch,
    }
    for name in ("x", "m", "kl", "loss"):
        row[name] = history.epochs[f"validation_{name}"][history.best_epoch]
    for name, (lower, upper) in case("case1").targets.items():
        design = maximise(model, Box(lower, upper))
        row[f"P_{name}"] = float(design.probability.value)
        row[f"se_{name}"] = float(design.probability.standard_error)
    return row


def plain_loss(model, phi, x, m):
    """The objective of `elbo_terms` without Pyro: the same networks, the same draw."""
    inputs = model.standardise(phi)
    q = model.encoder(x, (m - model.m_loc) / model.m_scale, inputs).base_dist
    z0, z1 = q.rsample(), model.process_map(inputs)
    logits = model.decoder_x.network(torch.cat([z0, z1], dim=-1))
    log_x = -binary_cross_entropy_with_logits(logits, x.flatten(-2), reduction="none").sum(-1)
    log_m = model.property_given(z0, z1).log_prob(m)
    kl = 0.5 * (q.loc**2 + q.scale**2 - 1 - 2 * q.scale.log()).sum(-1)
    return (model.beta * kl - log_x - log_m).mean()


def overhead(data, process, batch, repeats):
    """The ratio of CPU times of one step, Pyro over plain, pair by pair."""
    torch.manual_seed(0)
    model = PSPGen(process, tuple(data.train.x.shape[1:]), encoder=ThreeBranchEncoder()).float()
    model.standardise_by(data.train.m)
    triads = data.train[torch.arange(batch)]
    losses = []
    for loss in (
        lambda: elbo_terms(model, *triads).loss(model.beta),
        lambda: plain_loss(model, *triads),
    ):
        torch.manual_seed(1)
        losses.append(loss().item())
    if not np.isclose(losses[0], losses[1], rtol=1e-5):
        raise SystemExit(f"the two losses differ: {losses}")
    times = {"pyro": [], "plain": []}
    for _ in range(repeats):
        for name, loss in (
            ("pyro", lambda: elbo_terms(model, *triads).loss(model.beta)),
            ("plain", lambda: plain_loss(model, *triads)),
        ):
            model.zero_grad()
            start = time.process_time()
            loss().backward()
            times[name].append(time.process_time() - start)
    ratio = np.array(times["pyro"]) / np.array(times["plain"])
    return {
        "batch": batch,
        "pyro_ms": 1e3 * float(np.median(times["pyro"])),
        "plain_ms": 1e3 * float(np.median(times["plain"])),
        "ratio_min_median_max": [float(f(ratio)) for f in (np.min, np.median, np.max)],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triads", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--out", default="results/training.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    triads = open_triads(options.triads)
    data, process = Batches.from_dataset(triads), process_of(triads)
    steps = [overhead(data, process, batch, options.repeats) for batch in (50, 250)]
    for row in steps:
        low, median, high = row["ratio_min_median_max"]
        print(
            f"batch {row['batch']:3d}: Pyro {row['pyro_ms']:.1f} ms, plain torch "
            f"{row['plain_ms']:.1f} ms a step; ratio {low:.2f} – {median:.2f} – {high:.2f}"
        )
    rows = []
    print("updates      seed  CPU s      x       m     KL    loss   P_L   P_M   P_R")
    for seed in range(options.seeds):
        for updates in (Alternating(), Joint()):
            row = trained(data, process, updates, seed, options.epochs)
            rows.append(row)
            print(
                f"{row['updates']:12s} {seed:4d} {row['cpu_seconds']:6.0f} {row['x']:7.1f} "
                f"{row['m']:7.3f} {row['kl']:6.1f} {row['loss']:7.1f}  "
                f"{row['P_L']:.3f} {row['P_M']:.3f} {row['P_R']:.3f}",
                flush=True,
            )
    content = {
        "environment": environment(),
        "data": describe(triads),
        "epochs": options.epochs,
        "steps": steps,
        "rows": rows,
    }
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
