"""CPU seconds of a design: random boxes that training data support, and the targets of the case.

The centre of a random box is a training property, its
widths are between a tenth and a half of the range between the 5 % and the 95 % quantile. Boxes
without support are drawn anew and counted. One thread. Writes `results/design.json`.

    python benchmarks/design.py RUN [RUN ...] [--boxes 40] [--seed 0]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pspgen_pyro import Box, case, load_run, maximise
from pspgen_pyro.errors import InputError
from pspgen_pyro.io.provenance import environment


def random_boxes(support, number, rng):
    """Boxes with support, and how many were drawn for them."""
    low, high = np.quantile(support.m, [0.05, 0.95], axis=0)
    boxes, drawn = [], 0
    while len(boxes) < number:
        centre = rng.choice(support.m)
        half = (high - low) * rng.uniform(0.1, 0.5, len(centre)) / 2
        box, drawn = Box(centre - half, centre + half), drawn + 1
        if not support.verdict(box):
            boxes.append(box)
    return boxes, drawn


def row(run, name, target, seed):
    """One design, timed around the whole call."""
    begin = time.process_time()
    design = maximise(run.model, target, support=run.support, seed=seed)
    return {
        "name": name,
        "target": target.to_json(),
        "cpu_seconds": time.process_time() - begin,
        "phi": design.phi.tolist(),
        "probability": float(design.probability.value),
        "standard_error": float(design.probability.standard_error),
        "agreed": int(design.agreed.sum()),
        "starts": len(design.agreed),
        "status": design.status,
    }


def measure(path, boxes, seed):
    """All designs of one run."""
    run = load_run(path)
    if run.support is None:
        raise InputError(
            f"'run' is {str(path)!r}, which does not hold its training properties; fit the model "
            "again."
        )
    named = case(run.data["case"], preset=run.data["preset"]).targets
    row(run, "warm-up", Box(*next(iter(named.values()))), seed)
    rows = [row(run, name, Box(*ends), seed) for name, ends in named.items()]
    drawn_boxes, drawn = random_boxes(run.support, boxes, np.random.default_rng(seed))
    rows += [row(run, "random", box, seed + 1 + i) for i, box in enumerate(drawn_boxes)]
    seconds = np.array([entry["cpu_seconds"] for entry in rows])
    return {
        "case": run.data["case"],
        "data": run.data,
        "training": {
            name: value
            for name, value in run.training.get("settings", {}).items()
            if name not in ("triads", "out")
        },
        "parameters": len(run.model.process),
        "seed": seed,
        "boxes": boxes,
        "boxes_drawn": drawn,
        "cpu_seconds": {"median": float(np.median(seconds)), "max": float(seconds.max())},
        "converged": sum(entry["status"] == "converged" for entry in rows),
        "rows": rows,
    }


def lines(found):
    """The table as text."""
    for entry in found["rows"]:
        if entry["name"] != "random":
            yield (
                f"{found['case']} {entry['name']:6s}{entry['cpu_seconds']:6.2f} s   "
                f"P = {entry['probability']:.3f}   {entry['agreed']} of {entry['starts']} agree   "
                f"{entry['status']}"
            )
    seconds = found["cpu_seconds"]
    yield (
        f"{found['case']} all {len(found['rows'])}: median {seconds['median']:.2f} s, largest "
        f"{seconds['max']:.2f} s; {found['converged']} converged; {found['boxes_drawn']} random "
        f"boxes drawn for {found['boxes']} with support"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--boxes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="results/design.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for path in options.runs:
        found.append(measure(path, options.boxes, options.seed))
        print("\n".join(lines(found[-1])), flush=True)
    command = f"python benchmarks/design.py RUN … --boxes {options.boxes} --seed {options.seed}"
    content = {"environment": environment() | {"command": command}, "runs": found}
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
