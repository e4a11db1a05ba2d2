"""Is P right on anybody's data: other units, sizes and numbers of properties, tables, crops?

| experiment | data | truth |
|---|---|---|
| toys | the twelve inputs of `benchmarks/toys.py` | known |
| full, quarter, labels | Case 1: 10,000 or 2,500 triads; N labels and 10,000 pairs | reference |
| one, one-labels | the same with the horizontal property alone | reference |
| apart, three | both directions in units of their own; these and the void fraction | reference |
| crop | 36 × 24 pixels of each image, not periodic | reference |
| blobs | `benchmarks/blobs.py`: 2,000 triads, images included | 11 × 11 reference |
| table | `benchmarks/public_tables.py` | held-out settings |

The reference of Case 1 counts 200 materials at each point of a 20 × 20 grid, pooled with their
mirror image. The intervals of the horizontal property alone were chosen before any model was
seen: the sides [-10, -9] and [-7, -5] of the study's L and R, and what lies between them; 98 % of
the data are in one of the three. The boxes of blobs were chosen from the conductor's own law.

Every cell (experiment, model, seed) is one training, kept in the work folder, so that an
interrupted run goes on. Standard errors are those of the mean over the seeds, of tables that over
the settings. Prints the table and writes `results/own_data.json`. Without the folder of public
data the tables' rows are left out.

    python benchmarks/own_data.py --work FOLDER [--public FOLDER] [--only toys blobs …] \
        [--models pspgen mdn] [--seeds 1 2 3] [--jobs 2] [--collect]
"""

import argparse
import dataclasses
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import blobs
import numpy as np
import torch
from fits import fitted, surfaces
from own_rows import rows
from public_tables import TABLES, held_out
from toys import TOYS, toy

import pspgen_pyro as psp
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.process import PeriodicShift, Reflection, Transposition
from pspgen_pyro.schema import Microstructure

GRID, REPLICATES, SIDE = 20, 200, 36
LABELS = (100, 250, 500, 1000)
CASE1 = psp.case("case1")
# what is true of one direction alone, and of a crop
WITHOUT_MIRROR = dataclasses.replace(CASE1.process, symmetries=(PeriodicShift(), Reflection()))
CROPPED = dataclasses.replace(CASE1.process, symmetries=(Reflection(),))
BOTH = [f"{d} [1] log quantity=k direction={d}" for d in ("horizontal", "vertical")]
# a cell of 36 pixels of 1 um: k in m² is that of the unit cell times its area
AREA, MILLIDARCY = 36e-6**2, 9.869233e-16
APART = ["k_h [m^2] log direction=horizontal", "k_v [mD] log direction=vertical"]
BOXES = {name: psp.Box(*ends) for name, ends in CASE1.targets.items()}
INTERVALS = {
    "blocked": psp.Box((-10.0,), (-9.0,)),
    "between": psp.Box((-9.0,), (-7.0,)),
    "open": psp.Box((-7.0,), (-5.0,)),
}
BLOBS = {
    "both": psp.Box((np.log(2.7),) * 2, (np.log(3.3),) * 2),
    "low": psp.Box((np.log(1.9),) * 2, (np.log(2.3),) * 2),
    "oriented": psp.Box((np.log(3.2), -np.inf), (np.inf, np.log(2.8))),
}


def arrays(work, name, seed, labels=None):
    """φ, x and k of a data set of the study, kept as arrays; k of so many rows alone."""
    path = work / f"{name}_{seed}.npz"
    if not path.exists():
        data = psp.generate(psp.case(name), work / f"{name}_{seed}.zarr", seed=seed).data
        names = {"phi": "phi", "x": "x", "k": "value", "fold": "fold"}
        np.savez_compressed(path, **{key: data[one].values for key, one in names.items()})
    with np.load(path) as found:
        phi, x, k, fold = (found[key] for key in ("phi", "x", "k", "fold"))
    if labels is not None:
        k = np.where(labelled(fold, labels, seed)[:, None], k, np.nan)
    return phi, x, k


def labelled(fold, count, seed):
    """Which rows keep their label: those that version 0.1.0 was measured with."""
    generator, kept = torch.Generator().manual_seed(seed), np.zeros(len(fold), bool)
    share = max(1, round(count * (fold == 1).mean()))
    for value, keep in ((0, count - share), (1, share)):
        rows = np.flatnonzero(fold == value)
        kept[rows[torch.randperm(len(rows), generator=generator)[:keep].numpy()]] = True
    return kept


def reference(work):
    """m at every point of the grid, with its mirror image, with shape `(400, n, 2)`."""
    path = work / "reference.npz"
    if not path.exists():
        options = {"split": "reference", "replicates": REPLICATES, "seed": 0}
        data = psp.generate(CASE1, work / "ref.zarr", **options).data
        np.savez_compressed(path, m=np.log(data["value"].values).reshape(GRID, GRID, -1, 2))
    m = np.load(path)["m"]
    return np.concatenate([m, m[::-1][..., ::-1]], axis=2).reshape(GRID**2, -1, 2)


def triads(phi, x, values, process, properties, periodic=True):
    images = Microstructure(shape=x.shape[1:], periodic=periodic)
    return psp.Triads.from_arrays(
        phi,
        x,
        values,
        process=process,
        properties=properties,
        microstructure=images,
        quiet=True,
    )


def judged(work, model, data, seed, targets, m, images=False):
    made, seconds = fitted(model, data, seed, images)
    return {"cpu_seconds": seconds, **surfaces(made, targets, CASE1.process.grid(GRID), m)}


def both(work, model, seed, labels=None, name="case1"):
    data = triads(*arrays(work, name, seed, labels), CASE1.process, BOTH)
    return judged(work, model, data, seed, BOXES, reference(work))


def one(work, model, seed, labels=None):
    phi, x, k = arrays(work, "case1", seed, labels)
    data = triads(phi, x, k[:, :1], WITHOUT_MIRROR, BOTH[:1])
    return judged(work, model, data, seed, INTERVALS, reference(work)[..., :1])


def apart(work, model, seed, third=False):
    """Both directions in units of their own; with the void fraction as a third property."""
    phi, x, k = arrays(work, "case1", seed)
    factors, free = np.array([AREA, AREA / MILLIDARCY]), 1 if third else 0
    values = np.column_stack([k * factors] + [x.mean(axis=(1, 2))] * free)
    data = triads(phi, x, values, WITHOUT_MIRROR, APART + ["void [1] linear"] * free)
    shift = np.log(factors)
    boxes = {
        name: psp.Box(
            (*(box.lower + shift), *(-np.inf,) * free), (*(box.upper + shift), *(np.inf,) * free)
        )
        for name, box in BOXES.items()
    }
    m = reference(work) + shift
    return judged(work, model, data, seed, boxes, np.pad(m, ((0, 0), (0, 0), (0, free))))


def crop(work, model, seed):
    """36 rows and 24 columns of each image, labelled with the permeability of the whole."""
    phi, x, k = arrays(work, "case1", seed)
    data = triads(phi, x[:, :, :24], k, CROPPED, BOTH, periodic=False)
    return judged(work, model, data, seed, BOXES, reference(work))


def of_blobs(work, model, seed):
    with np.load(work / "blobs.npz") as found:
        phi, x, k = (found[f"{name}_{seed}"] for name in ("phi", "x", "k"))
        grid, m = found["phi_reference"], np.log(found["k_reference"])
    # a square without a preferred direction
    alike = Reflection(), Transposition()
    process = psp.ProcessSpace(blobs.NAMES, blobs.LOWER, blobs.UPPER, symmetries=alike)
    data = triads(phi, x, k, process, BOTH, periodic=False)
    made, seconds = fitted(model, data, seed, images=True)
    return {"cpu_seconds": seconds, **surfaces(made, BLOBS, grid, m)}


EXPERIMENTS = {
    "toys": toy,
    "full": both,
    "quarter": partial(both, name="case3"),
    "labels": both,
    "one": one,
    "one-labels": one,
    "apart": apart,
    "three": partial(apart, third=True),
    "crop": crop,
    "blobs": of_blobs,
    "table": held_out,
}


SHARED = ("full", "quarter", "labels", "one", "one-labels", "apart", "three", "crop")


def cells(models, seeds, public):
    """Every training, most wanted first: experiment, arguments."""
    for seed in seeds:
        for model in models:
            for experiment in ("full", "one", "three", "apart", "crop", "blobs", "quarter"):
                yield experiment, (model, seed)
            yield "one-labels", (model, seed, 250)
            yield from (("labels", (model, seed, count)) for count in LABELS)
            yield from (("toys", (model, seed, name)) for name in TOYS)
            if public:
                yield from (("table", (model, seed, name)) for name in TABLES)


def stem(experiment, arguments):
    return "-".join(map(str, (experiment, *arguments)))


def cell(work, public, experiment, arguments):
    torch.set_num_threads(1)
    path = work / "cells" / f"{stem(experiment, arguments)}.json"
    if not path.exists():
        more = {"public": public} if experiment == "table" else {}
        found = EXPERIMENTS[experiment](work, *arguments, **more)
        path.write_text(json.dumps(found))
        print(path.stem, json.dumps(found)[:150], flush=True)
    return json.loads(path.read_text())


def computed(options, wanted):
    """The cells' contents; in this process alone if there is to be one job."""
    work = partial(cell, options.work, options.public)
    if options.jobs == 1:
        return {one: work(*one) for one in wanted}
    # what several cells read is there before they start
    if any(experiment in SHARED for experiment, _ in wanted):
        reference(options.work)
        for name in ("case1", "case3"):
            for seed in options.seeds:
                arrays(options.work, name, seed)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        futures = {one: pool.submit(work, *one) for one in wanted}
        return {one: future.result() for one, future in futures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--only", nargs="*", default=sorted(EXPERIMENTS))
    parser.add_argument("--models", nargs="*", default=["pspgen"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--collect", action="store_true", help="only what is there already")
    parser.add_argument("--out", type=Path, default=Path("results/own_data.json"))
    options = parser.parse_args()
    (options.work / "cells").mkdir(parents=True, exist_ok=True)
    if options.public is None:
        print("no --public folder is given, so the rows of the public tables are left out")
    found = list(cells(options.models, options.seeds, options.public))
    wanted = [one for one in found if one[0] in options.only]
    if options.collect:
        kept = {path.stem for path in (options.work / "cells").glob("*.json")}
        wanted = [one for one in wanted if stem(*one) in kept]
    answered = rows(computed(options, wanted))
    for row in answered:
        print(row.line())
    content = {
        "command": COMMAND,
        "seeds": options.seeds,
        "rows": [row.to_json() for row in answered],
        "environment": environment(),
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


COMMAND = "python benchmarks/own_data.py --work FOLDER --public FOLDER"

if __name__ == "__main__":
    main()
