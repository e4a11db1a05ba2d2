"""How sure is P, and is it? The 90 % interval of P beside fresh simulations, above all at φ*.

| cell | data | where |
|---|---|---|
| case5 | Case 5, N triads | φ*, cautious φ*, random φ, edges, corners |
| case1 | Case 1, N triads (of 10,000, 4 a setting; else 1) | the same |
| case5-plain | Case 5 without its permutation | the same |
| …-same | every network learns from all rows, as in idea "alike" | φ* |

The last two kinds of cell are those of the first data set alone.

Twelve boxes are placed over the cloud of m of a data set that nothing else uses, before any model
is seen: rare ones (1 %) to common ones (40 %); the study's own come on top. Truth is the frequency
in 1,000 fresh materials, the same ones for all targets at a given φ. Without images: P does not
depend on them where every row is labelled.

Of the two public tables, held-out settings: the number of rows in a target beside P and the
binomial together.

Ideas, all asked at the same φ*, that of the mean over the networks:

| idea | interval |
|---|---|
| alike | networks that learned from the same rows: the spread of their first weights |
| halves | networks that learned from halves of the settings |
| shrunk | these, shrunk towards the mean over the process space by how far they differ |
| left out | each pair judges where the others would go; 1.3 times what it misses is taken off |
| moderated | what each network promises beyond the others; the typical variance (the default) |

`--toys` fits the numbers of the interval (`design.estimates`, `design.optimism`) on twenty test
functions with closed-form P in 2 to 10 parameters, none of which is in the table. Every cell is
kept in the work folder. Writes `results/doubt.json`.

    python benchmarks/doubt.py --work FOLDER [--public FOLDER] [--seeds 1 2 3] [--jobs 2] \
        [--collect] [--toys]
"""

import argparse
import dataclasses
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from doubt_ideas import answers
from doubt_toys import toys
from public_tables import FOLDS, TABLES
from public_tables import settings_of as settings_of_rows
from public_tables import table as public_table
from scipy.stats import binom

import pspgen_pyro as psp
from pspgen_pyro.design import frequency
from pspgen_pyro.design.estimates import NINETY, link, unlink
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.process import Permutation
from pspgen_pyro.schema import Schema
from pspgen_pyro.training import rows as training_rows

MATERIALS, TARGETS, SPAN = 1000, 12, (0.01, 0.4)
PROPERTIES = [f"{d} [1] log quantity=k direction={d}" for d in ("horizontal", "vertical")]
CELLS = [("case5", 10_000), ("case5", 2500), ("case5-plain", 10_000), ("case5-plain", 2500)]
CELLS += [("case1", n) for n in (10_000, 2500, 1000, 250)]
CELLS += [(f"{name}-same", n) for name in ("case5", "case1") for n in (10_000, 2500)]
KINDS = ("phi*", "cautious", "random", "edge", "corner")


def simulated(case, phi, seed):
    """m of one fresh material at each setting."""
    return case.chain.simulate(phi, np.random.SeedSequence(seed).spawn(len(phi))).m


def uniform(process, count, rng):
    return rng.uniform(process.lower, process.upper, (count, len(process)))


def data_set(work, name, seed):
    """φ and m of 10,000 materials, in Case 1 four at each setting."""
    path = work / f"{name}_{seed}.npz"
    if not path.exists():
        case, each = psp.case(name), 4 if name == "case1" else 1
        phi = uniform(case.process, 10_000 // each, np.random.default_rng([seed, 17]))
        phi = phi.repeat(each, axis=0)
        np.savez(path, phi=phi, m=simulated(case, phi, [seed, 18]))
    with np.load(path) as found:
        return found["phi"], found["m"]


def boxes(m, count=TARGETS, span=SPAN, seed=0):
    """Boxes over a cloud, from rare to common: the centre is a material, the sides are drawn."""
    rng, found = np.random.default_rng(seed), []
    low, high = np.quantile(m, [0.05, 0.95], axis=0)
    for share in np.geomspace(*span, count):
        for _ in range(10_000):
            centre = m[rng.integers(len(m))]
            side = np.exp(rng.uniform(np.log(0.1), np.log(1.2), m.shape[1])) * (high - low)
            box = psp.Box(tuple(centre - side / 2), tuple(centre + side / 2))
            if share / 1.3 < box.contains(m).mean() < share * 1.3:
                found.append(box)
                break
    return found


def targets_of(work, name):
    cloud = data_set(work, name, 0)[1]
    own = [psp.Box(*ends) for ends in psp.case(name).targets.values()]
    return own + boxes(cloud)


def settings_of(process, seed):
    """Random settings, settings on an edge and corners."""
    rng = np.random.default_rng([seed, 19])
    low, high = np.array(process.lower), np.array(process.upper)
    random, edge = uniform(process, 8, rng), uniform(process, 4, rng)
    side = rng.integers(len(process), size=4)
    edge[range(4), side] = np.where(rng.random(4) < 0.5, low[side], high[side])
    corner = np.where(rng.random((4, len(process))) < 0.5, low, high)
    return {"random": random, "edge": edge, "corner": corner}


def materials_at(work, name, seed):
    """The settings of every kind, and 1,000 materials at each, the same for every model."""
    case, path = psp.case(name), work / f"{name}-settings_{seed}.npz"
    settings = settings_of(case.process, seed)
    if not path.exists():
        made = {
            kind: np.stack(
                [
                    simulated(case, np.tile(setting, (MATERIALS, 1)), [seed, 21, i])
                    for i, setting in enumerate(phi)
                ]
            )
            for kind, phi in settings.items()
        }
        np.savez(path, **made)
    with np.load(path) as found:
        return {kind: (phi, found[kind]) for kind, phi in settings.items()}


def fitted(name, phi, m, seed):
    case = psp.case(name.split("-")[0])
    process = case.process
    if name.endswith("-plain"):
        kept = [s for s in process.symmetries if not isinstance(s, Permutation)]
        process = dataclasses.replace(process, symmetries=tuple(kept))
    triads = psp.Triads.from_arrays(
        phi, None, np.exp(m), process=process, properties=PROPERTIES, quiet=True
    )
    halves = training_rows.halves
    if name.endswith("-same"):
        training_rows.halves = lambda rows, setting, members: torch.ones(members, len(rows))
    start = time.process_time()
    run = psp.fit(triads, seed=seed, epochs=0, progress=False)
    training_rows.halves = halves
    return run, time.process_time() - start


def cell(work, name, count, seed):
    torch.set_num_threads(1)
    path = work / "cells" / f"{name}-{count}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    base = name.split("-")[0]
    case, targets = psp.case(base), targets_of(work, base)
    phi, m = data_set(work, base, seed)
    if count < len(phi):
        rows = slice(0, count * (4 if base == "case1" else 1), 4 if base == "case1" else 1)
        phi, m = phi[rows], m[rows]
    run, seconds = fitted(name, phi, m, seed)
    start = time.process_time()
    bold = [run.design(box, seed=seed) for box in targets]
    designing = (time.process_time() - start) / len(targets)
    found = [answers(run.model, box, d.phi) for box, d in zip(targets, bold, strict=True)]
    same = name.endswith("-same")
    careful = [] if same else [run.design(box, cautious=True, seed=seed) for box in targets]
    rows = []
    for kind, designs in (("phi*", bold), ("cautious", careful)):
        for k, (box, design) in enumerate(zip(targets, designs, strict=False)):
            there = simulated(case, np.tile(design.phi, (MATERIALS, 1)), [seed, 20, k, count])
            p = design.probability
            told = {"promised": float(p.promised), **ends(p)}
            ideas = found[k] | {"moderated": ends(p)} if kind == "phi*" else {}
            if same:
                ideas = {"alike": found[k]["halves"]}
            rows.append(row(kind, k, there, box) | told | {"ideas": ideas})
    for kind, pairs in ({} if same else materials_at(work, base, seed)).items():
        for setting, there in zip(*pairs, strict=True):
            for k, box in enumerate(targets):
                told = ends(run.probability(box, setting))
                rows.append(row(kind, k, there, box) | told)
    content = {"fit": seconds, "design": designing, "rows": rows}
    path.write_text(json.dumps(content))
    print(path.stem, round(seconds, 1), round(designing, 2), flush=True)
    return content


def table_cell(work, public, name, seed):
    """Of held-out settings: the rank of the number of rows in a target among what P and the
    binomial of so many rows say together, drawn at random among equal numbers."""
    torch.set_num_threads(1)
    path = work / "cells" / f"{name}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    phi, values, process, words = public_table(public, name)
    setting, m = settings_of_rows(phi), Schema(process=process, properties=(words,)).scaled(values)
    rng = np.random.default_rng(seed)
    fold = rng.permutation(setting.max() + 1)[setting] % FOLDS
    top = [psp.Box((np.quantile(m, q),), (np.inf,)) for q in (0.5, 0.75, 0.9)]
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    rows = []
    for k in range(FOLDS):
        triads = psp.Triads.from_arrays(
            phi[fold != k],
            None,
            values[fold != k],
            process=process,
            properties=[words],
            quiet=True,
        )
        run = psp.fit(triads, seed=seed, progress=False)
        for i in np.unique(setting[fold == k]):
            here = setting == i
            for t, box in enumerate(top):
                p = run.probability(box, phi[here][0])
                low, middle, high = (float(link(e)) for e in (p.low, p.value, p.high))
                reach = np.where(nodes > 0, high - middle, middle - low) / NINETY
                each = binom.pmf(
                    np.arange(here.sum() + 1)[:, None], here.sum(), unlink(middle + reach * nodes)
                )
                mass = each @ weights / weights.sum()
                hits = int(box.contains(m[here]).sum())
                rank = mass[:hits].sum() + rng.random() * mass[hits]
                rows.append({"target": t, "rows": int(here.sum()), "rank": float(rank)})
    path.write_text(json.dumps(rows))
    return rows


def ends(p):
    told = {"p": float(p.value), "low": float(p.low), "high": float(p.high)}
    return told | {"members": p.members.tolist(), "typical": p.typical}


def row(kind, target, there, box):
    truth = frequency(box.contains(there).sum(), len(there))
    return {
        "kind": kind,
        "target": target,
        "truth": float(truth.value),
        "error": float(truth.standard_error),
    }


def judged(rows):
    """Coverage, error, bias and sharpness of some answers. Truth is known to its own error, which
    widens the interval."""
    p, low, high, truth, error = (
        np.array([row[name] for row in rows]) for name in ("p", "low", "high", "truth", "error")
    )
    gap, wide = p - truth, np.hypot((high - low) / 2, 1.645 * error)
    middle = (low + high) / 2
    off = np.sqrt(max((gap**2).mean() - (error**2).mean(), 1e-8))
    return {
        "answers": len(rows),
        "coverage": float((np.abs(middle - truth) <= wide).mean()),
        "mean |P − truth|": float(np.abs(gap).mean()),
        "bias": float(gap.mean()),
        "rms": float(off),
        "half-width": float(((high - low) / 2).mean()),
        "sharpness": float(((high - low) / 2).mean() / off),
        "truth": float(truth.mean()),
    }


def table(cells):
    """One line a cell and kind, and one an idea."""
    lines, ideas = {}, {}
    for (name, count, _), content in cells.items():
        same, whole = name.endswith("-same"), ("all",) if "-" not in name else ()
        for one in content["rows"]:
            for where in () if same else (f"{name} {count}", *whole):
                lines.setdefault((where, one["kind"]), []).append(one)
            for idea, told in one.get("ideas", {}).items():
                for where in (f"{name.removesuffix('-same')} {count}", *whole, *("all",) * same):
                    ideas.setdefault((where, idea), []).append({**one, **told})
    return (
        {" · ".join(key): judged(rows) for key, rows in lines.items()},
        {" · ".join(key): judged(rows) for key, rows in ideas.items()},
    )


def shown(found):
    for name, numbers in found.items():
        words = "  ".join(f"{key} {value:.3f}" for key, value in numbers.items())
        print(f"{name:32s} {words}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--only", nargs="*", default=[f"{name}-{n}" for name, n in CELLS])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--collect", action="store_true", help="only what is there already")
    parser.add_argument("--toys", action="store_true", help="fit the interval on toys")
    parser.add_argument("--out", type=Path, default=Path("results/doubt.json"))
    options = parser.parse_args()
    (options.work / "cells").mkdir(parents=True, exist_ok=True)
    if options.toys:
        toys(options.work, options.jobs)
        return
    wanted = [(*one, seed) for seed in options.seeds for one in CELLS]
    # how much a declaration or a way to learn matters is seen on the first data set
    wanted = [one for one in wanted if "-" not in one[0] or one[2] == options.seeds[0]]
    wanted = [one for one in wanted if f"{one[0]}-{one[1]}" in options.only]
    if options.collect:
        kept = {path.stem for path in (options.work / "cells").glob("*.json")}
        wanted = [one for one in wanted if "-".join(map(str, one)) in kept]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        pairs = [(name, seed) for seed in (0, *options.seeds) for name in ("case1", "case5")]
        made = [pool.submit(data_set, options.work, *pair) for pair in pairs]
        made += [pool.submit(materials_at, options.work, *pair) for pair in pairs if pair[1]]
        for one in made:
            one.result()
        futures = {one: pool.submit(cell, options.work, *one) for one in wanted}
        cells = {one: future.result() for one, future in futures.items()}
    lines, ideas = table(cells)
    ranks = {}
    for name in TABLES if options.public else ():
        found = [
            one
            for seed in options.seeds[:1]
            for one in table_cell(options.work, options.public, name, seed)
        ]
        inside = np.array([0.05 < one["rank"] < 0.95 for one in found])
        ranks[name] = {"answers": len(found), "coverage": float(inside.mean())}
    shown(lines | ranks)
    shown(ideas)
    seconds = {
        f"{name} {count}": {
            key: float(
                np.mean([c[key] for (a, b, _), c in cells.items() if (a, b) == (name, count)])
            )
            for key in ("fit", "design")
        }
        for name, count in CELLS
        if any(one[:2] == (name, count) for one in cells)
    }
    content = {
        "command": "python benchmarks/doubt.py --work FOLDER --public FOLDER",
        "seeds": options.seeds,
        "answers": lines,
        "held-out settings": ranks,
        "ideas": ideas,
        "cpu_seconds": seconds,
        "environment": environment(),
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
