"""What training costs: half steps or joint steps, Pyro or plain torch.

Trains a model with the paper's networks, prior and encoder and a mixture for m, all of it by
passes through the data, on the same triads from the same seeds by `Alternating()` and `Joint()`,
and times one joint step through Pyro's traces against the same loss written in plain torch. Prints
two tables and writes `results/training.json`.

    python benchmarks/training.py --triads triads.zarr [--seeds 3] [--epochs 30] [--repeats 200]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pspgen_pyro import Alternating, Batches, Box, Joint, PSPGen, Triads, case, maximise
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.model import MixtureProperty, StandardNormalPrior, ThreeBranchEncoder
from pspgen_pyro.runs import described_data
from pspgen_pyro.training import ELBO, Epochs, train

OBJECTIVE = ELBO()


def built(schema):
    return PSPGen(
        schema,
        prior=StandardNormalPrior(),
        property_decoder=MixtureProperty(6, reads=4),
        encoder=ThreeBranchEncoder(),
    ).float()


def trained(data, schema, updates, seed, epochs):
    """One row of the first table."""
    torch.manual_seed(seed)
    model = built(schema)
    start = time.process_time()
    stages = [Epochs(epochs=epochs, objective=OBJECTIVE, updates=updates)]
    history = train(model, data, stages, symmetries=(), seed=seed)
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


def pyro_loss(model, batch):
    """The objective, read off Pyro's traces."""
    return OBJECTIVE.loss(OBJECTIVE.terms(model, batch))


def plain_loss(model, batch):
    """The same without Pyro: the same networks, the same draw."""
    phi, x, m = batch.phi, batch.x.float(), batch.m
    inputs = model.standardise(phi)
    standard = model.standardise_properties(m)
    q = model.encoder(x, standard, inputs, model.standard_ends).base_dist
    z0, z1 = q.rsample(), model.process_map(inputs)
    logits = model.decoder_x.network(torch.cat([z0, z1], dim=-1))
    log_x = -binary_cross_entropy_with_logits(logits, x.flatten(-2), reduction="none").sum(-1)
    log_m = model.property_given(z0, z1).log_prob(m)
    kl = 0.5 * (q.loc**2 + q.scale**2 - 1 - 2 * q.scale.log()).sum(-1)
    return (OBJECTIVE.beta * kl - log_x - log_m).mean()


def overhead(data, schema, batch, repeats):
    """The ratio of CPU times of one step, Pyro over plain, pair by pair."""
    torch.manual_seed(0)
    model = built(schema)
    model.standardise_by(data.train.m)
    rows, losses = data.train[torch.arange(batch)], []
    for loss in (pyro_loss, plain_loss):
        torch.manual_seed(1)
        losses.append(loss(model, rows).item())
    if not np.isclose(losses[0], losses[1], rtol=1e-5):
        raise SystemExit(f"the two losses differ: {losses}")
    times = {"pyro": [], "plain": []}
    for _ in range(repeats):
        for name, loss in (("pyro", pyro_loss), ("plain", plain_loss)):
            model.zero_grad()
            start = time.process_time()
            loss(model, rows).backward()
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
    triads = Triads.open(options.triads)
    data, schema = Batches.from_triads(triads), triads.schema
    sizes = [size for size in (50, 250) if size <= len(data.train)]
    steps = [overhead(data, schema, size, options.repeats) for size in sizes]
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
            row = trained(data, schema, updates, seed, options.epochs)
            rows.append(row)
            print(
                f"{row['updates']:12s} {seed:4d} {row['cpu_seconds']:6.0f} {row['x']:7.1f} "
                f"{row['m']:7.3f} {row['kl']:6.1f} {row['loss']:7.1f}  "
                f"{row['P_L']:.3f} {row['P_M']:.3f} {row['P_R']:.3f}",
                flush=True,
            )
    content = {
        "environment": environment(),
        "data": described_data(triads),
        "epochs": options.epochs,
        "steps": steps,
        "rows": rows,
    }
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
