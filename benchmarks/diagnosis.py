"""Is the design posterior calibrated, and does physics agree with it? At full size, on one run.

Simulation-based calibration and coverage with 1,000 trials, once with four parts a property and
once with the cells that a target makes; the same draws narrowed, widened and swapped, as controls;
predictive checks at 1,000 draws of the design posterior of every target; the guide beside the
prior given φ; other priors; and what a microstructure says about m. Prints as it goes and writes
`results/diagnosis.json`.

    python benchmarks/diagnosis.py --run run --reference reference.zarr [--simulations 1000]
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from pspgen_pyro import Box, Triads, case, load_run
from pspgen_pyro.design import DesignPosterior, Materials, sample_hmc
from pspgen_pyro.diagnosis import (
    Partition,
    compare_probability,
    guide_check,
    latent_posterior,
    predictive_check,
    prior_sensitivity,
    sbc,
    sbc_verdicts,
    sensitivity_table,
    simulate_at,
    simulate_trials,
    tarp,
)
from pspgen_pyro.io.provenance import environment


def graded(trials):
    """p-value and verdict of every rank and coverage of one set of trials."""
    rows = {name: u.to_json() for name, u in sbc_verdicts(sbc(trials)).items()}
    for of in ("phi", "phi and z0"):
        for reference in ("companion", "prior"):
            found = tarp(trials, of=of, reference=reference)
            rows[f"coverage of {of} from the {reference}"] = found.uniformity.to_json() | {
                "verdict": found.verdict(),
                "inside_50_percent": found.at(0.5),
                "inside_89_percent": found.at(0.89),
            }
    return rows


def controls(trials):
    """The same truths with draws that are wrong in a known way."""
    middle = trials.drawn_phi.mean(axis=0)
    about = trials.drawn_phi - middle
    yield "narrowed by 0.8", dataclasses.replace(trials, drawn_phi=middle + 0.8 * about)
    yield "widened by 1.25", dataclasses.replace(trials, drawn_phi=middle + 1.25 * about)
    order = np.random.default_rng(1).permutation(len(trials))
    yield (
        "of another trial",
        dataclasses.replace(
            trials, drawn_phi=trials.drawn_phi[:, order], drawn_z0=trials.drawn_z0[:, order]
        ),
    )


def calibration(model, simulations):
    """Calibration and coverage for both partitions, with the controls."""
    cells = {
        "16 equally probable cells": Partition.quantiles(model),
        "cells of the target L": Partition.of(Box(*case("case1").targets["L"])),
    }
    found = {}
    for name, partition in cells.items():
        start = time.process_time()
        trials = simulate_trials(model, partition, simulations=simulations)
        found[name] = {"cpu_seconds": time.process_time() - start, "edges": partition.edges}
        found[name]["as sampled"] = graded(trials)
        for control, wrong in controls(trials):
            found[name][control] = graded(wrong)
        for kind, rows in found[name].items():
            if isinstance(rows, dict):
                words = (f"{k} {v['p_value']:.2g} {v['verdict']}" for k, v in rows.items())
                print(f"{name}, {kind}: " + "; ".join(words), flush=True)
    return found


def physics(run, simulations):
    """Predictions at draws of the design posterior of each target, and other priors."""
    chain = case(run.data["case"], run.data["preset"], run.data["formulation"]).chain
    found = {}
    for name, ends in case("case1").targets.items():
        posterior = DesignPosterior(run.model, Box(*ends))
        draws = sample_hmc(posterior, draws=200)
        phi = draws.phi.reshape(-1, draws.phi.shape[-1])
        chosen = np.random.default_rng(0).choice(len(phi), simulations, replace=False)
        materials = simulate_at(chain, phi[chosen])
        both = compare_probability(run.model, posterior.target, materials)
        check = predictive_check(run.model, materials)
        table = prior_sensitivity(posterior, draws)
        found[name] = {
            "status": draws.status,
            "probability": both.to_json(),
            "predictions": {k: u.to_json() for k, u in check.uniformity.items()},
            "sensitivity": {
                "priors": table["prior"].values.tolist(),
                "mean": table["mean"].values.tolist(),
                "shift": table["shift"].values.tolist(),
                "pareto_k": table["pareto_k"].values.tolist(),
            },
        }
        print(f"{name}: {found[name]['probability']}")
        print({k: (v["p_value"], v["verdict"]) for k, v in found[name]["predictions"].items()})
        print(sensitivity_table(table), flush=True)
    return found


def latents(model, materials, count):
    """What x adds to φ about m, in nats a material."""
    chosen = np.random.default_rng(0).choice(len(materials), count, replace=False)
    some = Materials(materials.phi[chosen], materials.x[chosen], materials.m[chosen])
    start = time.process_time()
    found = latent_posterior(model, some)
    gain = (found["log_density"] - found["log_density_prior"]).values
    return {
        "materials": count,
        "cpu_seconds": time.process_time() - start,
        "acceptance_rate": float(found["acceptance_rate"].mean()),
        "log_density_given_x_and_phi": float(found["log_density"].mean()),
        "log_density_given_phi": float(found["log_density_prior"].mean()),
        "gain": float(gain.mean()),
        "gain_standard_error": float(gain.std(ddof=1) / count**0.5),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--out", default="results/diagnosis.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run, data = (
        load_run(options.run),
        Triads.open(options.reference).data[["phi", "x", "m"]].load(),
    )
    reference = Materials(*(data[name].values for name in ("phi", "x", "m")))
    content = {
        "environment": environment(),
        "run": run.data,
        "simulations": options.simulations,
        "calibration": calibration(run.model, options.simulations),
        "physics": physics(run, options.simulations),
        "guide": guide_check(run.model, reference).to_json(),
        "predictions_over_the_reference": {
            name: u.to_json()
            for name, u in predictive_check(run.model, reference, draws=199).uniformity.items()
        },
        "latents": latents(run.model, reference, 20),
    }
    for name in ("guide", "predictions_over_the_reference", "latents"):
        print(f"{name}: {content[name]}")
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
