"""Is a campaign worth its experiments? Against BoTorch, BoFire and random search, with the truth.

Two problems are those of `benchmarks/campaign_problems.py`, where P(m > a | φ) is known exactly.
On each data set every method starts from the same 40 random experiments and asks for 10 batches
of 8 more; experiment number i has the same luck whoever asks for it.

| method | how it asks | what it answers |
|---|---|---|
| campaign | `psp.fit`, `Campaign`, fitted anew on all data after every batch | its status |
| botorch | `benchmarks/campaign_rivals.py` | the largest P of its own |
| bofire | the same | the same |
| random | at random | `psp.fit` on the first 40, 80 and 120, and the design of it |

The third is Case 3 of the study, 2,500 triads and 500 calls of its simulator, as
`benchmarks/closed_loop.py` has it: the campaign's search asks the simulator (the closed loop that
spends all calls), BoTorch and BoFire have all 3,000, and random search fits 3,000. There P is the
mean over the targets L, M and R, the truth a frequency, the interval of an answer without one its
value ± 1.645 standard errors, and nobody counts calls, since one method has no steps.

Each course (problem, method, data set) is kept in the work folder, so that an interrupted run goes
on; with `--known` it goes on from an earlier table, on another machine too. Standard errors are
those over data sets, differences are taken data set by data set. A course reaches 95 % of the best
when the truth at the setting that it answers first does; all experiments count, and one that never
does counts as if it had with one batch more. Prints the table and writes `results/campaign.json`.
What is not installed is left out, unless its courses are there: BoTorch comes by `pip install
botorch`, BoFire by `pip install "bofire[optimization]"`, which wants an older numpy and so, at
present, an environment of its own.

    python benchmarks/campaign.py --work FOLDER --public FOLDER [--sets 20] [--case3-sets 20] \
        [--problems mixed mixture case3] [--methods campaign botorch bofire random] \
        [--workers 2] [--known results/campaign.json]
"""

import argparse
import json
import multiprocessing
import shutil
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import campaign_problems
import closed_loop
import numpy as np
import torch
from campaign_problems import BATCH, BATCHES, FIRST
from fits import mean_and_error

import pspgen_pyro as psp
from pspgen_pyro.io.provenance import environment, versions

NORMAL = 1.6448536269514722
METHODS = ("campaign", "botorch", "bofire", "random")
NUMBERS = ("truth", "error", "covered", "calls")


@cache
def problem_of(name, public):
    if name == "mixture":
        return campaign_problems.mixture(public)
    return campaign_problems.mixed()


def triads_of(problem, phi, values):
    return psp.Triads.from_arrays(
        phi,
        None,
        values[:, None],
        process=problem.process,
        properties=[problem.property],
        quiet=True,
    )


def said(phi, p):
    """A setting and its P with the interval, as a step of a course."""
    return [float(value) for value in phi], float(p.value), float(p.low), float(p.high)


def campaign(problem, seed, folder):
    """A campaign as the documentation has it."""

    def begun(triads, number):
        run = psp.fit(triads, seed=seed, progress=False)
        return psp.Campaign.start(folder / str(number), run, triads, problem.target, seed=seed)

    def status():
        now = current.status()
        return said(problem.process.unlabelled(now.phi), now.probability)

    phi, values = problem.beginning(seed)
    current, count = begun(triads_of(problem, phi, values), 0), len(problem.process)
    yield phi, status()
    for batch in range(BATCHES):
        if batch:
            current = begun(current.triads(), batch)
        table = current.ask(BATCH)
        words = table.iloc[:, 1 : 1 + count].set_axis(problem.process.names, axis=1)
        phi = np.array([problem.process.unlabelled(row) for row in words.to_dict("records")])
        table[problem.heading] = problem.measured(phi, seed, FIRST + BATCH * batch)
        current.tell(table)
        yield phi, status()


def random(problem, seed, folder):
    """Experiments at random, and what a fit on them says."""
    phi, values = problem.beginning(seed)
    rng = np.random.default_rng([0x4A, seed])
    for batch in range(BATCHES + 1):
        more = phi[len(phi) - BATCH :] if batch else phi
        step = None
        if batch % (BATCHES // 2) == 0:
            run = psp.fit(triads_of(problem, phi, values), seed=seed, progress=False)
            design = run.design(problem.target, seed=seed)
            step = said(design.phi, design.probability)
        yield more, step
        new = problem.process.sample(BATCH, rng)
        if batch < BATCHES:
            values = np.concatenate([values, problem.measured(new, seed, len(phi))])
            phi = np.concatenate([phi, new])


def rival(kind, problem, seed, folder):
    """BoTorch or BoFire."""
    import campaign_rivals

    asks = getattr(campaign_rivals, kind)(problem, seed)
    phi, values = problem.beginning(seed)
    more = phi
    for batch in range(BATCHES + 1):
        asks.tell(phi, np.log(values) if problem.log else values)
        setting, *answer = asks.answer()
        yield more, (setting.tolist(), *map(float, answer))
        if batch < BATCHES:
            more = asks.ask(BATCH)
            values = np.concatenate([values, problem.measured(more, seed, len(phi))])
            phi = np.concatenate([phi, more])


COURSES = {
    "campaign": campaign,
    "botorch": partial(rival, "BoTorch"),
    "bofire": partial(rival, "BoFire"),
    "random": random,
}
# their names in `benchmarks/closed_loop.py`; BoFire is not asked
CASE3 = {
    "campaign": "closed loop, all calls",
    "botorch": "BoTorch 3,000",
    "bofire": "BoFire 3,000",
    "random": "one-shot 3,000",
}
NEEDS = {"botorch": "botorch", "bofire": "bofire"}


def installed(method):
    return method not in NEEDS or find_spec(NEEDS[method]) is not None


def course(work, public, name, method, seed):
    """One course, from its file if it is there."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = work / "courses" / f"{name}-{method}-{seed}.json"
    if not path.exists():
        problem, folder = problem_of(name, public), work / "folders" / path.stem
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start, steps, asked = time.process_time(), [], []
        for phi, step in COURSES[method](problem, seed, folder):
            asked += phi.tolist()
            if step is not None:
                setting, p, low, high = step
                truth = float(problem.truth(np.array([setting]))[0])
                steps.append({"experiments": len(asked), "phi": setting, "P": p} | {"low": low})
                steps[-1] |= {"high": high, "truth": truth}
        off = problem.process.feasible.violated(np.array(asked)) if problem.log else False
        content = {"steps": steps, "asked": asked, "violations": int(np.sum(off))}
        path.write_text(json.dumps(content | {"cpu_seconds": time.process_time() - start}))
        shutil.rmtree(folder)
        last = steps[-1]
        print(
            f"{path.stem:24s} P {last['P']:.3f} ({last['low']:.3f} to {last['high']:.3f}), truth "
            f"{last['truth']:.3f}, {time.process_time() - start:.0f} CPU s",
            flush=True,
        )
    return json.loads(path.read_text())


def judged(found, best):
    """What one course came to."""
    last = found["steps"][-1]
    near = [s["experiments"] for s in found["steps"] if s["truth"] >= 0.95 * best]
    return {
        "truth": last["truth"],
        "error": abs(last["P"] - last["truth"]),
        "covered": float(last["low"] <= last["truth"] <= last["high"]),
        "calls": min(near, default=FIRST + BATCH * (BATCHES + 1)),
        "reached": float(bool(near)),
        "signed": last["P"] - last["truth"],
        "width": last["high"] - last["low"],
        "cpu_seconds": found["cpu_seconds"],
    }


def of_case3(work, methods, seeds):
    """What the methods come to in Case 3, by method and seed, means over the targets; and every
    answer."""
    work, study = work / "case3", psp.case("case3")
    work.mkdir(exist_ok=True)
    asked = {CASE3[one]: installed(one) for one in CASE3 if one in methods}
    answers = []
    for seed in seeds:
        path = work / f"rows_{seed}.json"
        known = json.loads(path.read_text()) if path.exists() else []
        there = {row["method"] for row in known}
        if missing := [one for one, can in asked.items() if can and one not in there]:
            known += closed_loop.answers(work, study, seed, missing)
            path.write_text(json.dumps(known))
        answers += [row for row in known if row["method"] in asked]
    rows = closed_loop.with_truth(answers, study)[0] if answers else []
    found = {}
    for method, name in CASE3.items():
        for seed in seeds:
            mine = [row for row in rows if (row["method"], row["seed"]) == (name, seed)]
            if mine:
                each = [of_answer(row) for row in mine]
                found[method, seed] = {k: np.mean([one[k] for one in each]) for k in each[0]}
    return found, rows


def restore(path, work):
    """Puts what an earlier table came from into the work folder."""
    found = json.loads(path.read_text())
    for one in found["courses"]:
        name = "-".join(str(one.pop(key)) for key in ("problem", "method", "seed"))
        (work / "courses" / f"{name}.json").write_text(json.dumps(one))
    rows = found.get("case3", [])
    (work / "case3").mkdir(exist_ok=True)
    for seed in {row["seed"] for row in rows}:
        mine = [row for row in rows if row["seed"] == seed]
        (work / "case3" / f"rows_{seed}.json").write_text(json.dumps(mine))


def of_answer(row):
    """What one answer in Case 3 came to."""
    reach = NORMAL * row["standard_error"]
    low, high = row.get("low", row["P"] - reach), row.get("high", row["P"] + reach)
    return {
        "truth": row["truth"],
        "error": row["error"],
        "covered": float(low <= row["truth"] <= high),
        "signed": row["P"] - row["truth"],
        "width": high - low,
        "cpu_seconds": row["cpu_seconds"] + row["training_cpu_seconds"],
    }


def compared(judgements):
    """A line for every problem and method, and for every rival what a campaign does better.

    Arguments:
        judgements: By the name of the problem, what every method came to, by method and seed.
    """
    lines, apart = [], []
    for name, rows in judgements.items():
        for method in dict.fromkeys(method for method, _ in rows):
            mine = {seed: row for (one, seed), row in rows.items() if one == method}
            line = {"problem": name, "method": method, "sets": len(mine)}
            for key in next(iter(mine.values())):
                line[key], line[f"{key}_se"] = mean_and_error([r[key] for r in mine.values()])
            lines.append(line)
            pairs = [s for s in mine if ("campaign", s) in rows]
            if method == "campaign" or not pairs:
                continue
            line = {"problem": name, "campaign less": method, "sets": len(pairs)}
            for key in (one for one in NUMBERS if one in mine[pairs[0]]):
                both = [rows["campaign", s][key] - mine[s][key] for s in pairs]
                line[key], line[f"{key}_se"] = mean_and_error(both)
            apart.append(line)
    return lines, apart


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--public", type=Path, help="the folder of public data, for mixture")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--case3-sets", type=int, default=20, help="of Case 3, the dearest")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first data set")
    parser.add_argument("--problems", nargs="+", default=["mixed", "mixture"])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/campaign.json"))
    parser.add_argument("--known", type=Path, help="an earlier table, whose courses are kept")
    options = parser.parse_args()
    (options.work / "courses").mkdir(parents=True, exist_ok=True)
    if options.known is not None:
        restore(options.known, options.work)
    seeds = range(options.first, options.first + options.sets)
    wanted = [
        (name, method, seed)
        for seed in seeds
        for name in options.problems
        if name == "mixed" or (name == "mixture" and options.public is not None)
        for method in options.methods
        if installed(method)
        or (options.work / "courses" / f"{name}-{method}-{seed}.json").exists()
    ]
    run = partial(course, options.work, options.public)
    if options.workers == 1:
        found = {one: run(*one) for one in wanted}
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
            futures = {one: pool.submit(run, *one) for one in wanted}
            found = {one: future.result() for one, future in futures.items()}
    answers = []
    judgements = {
        name: {
            (method, seed): judged(one, problem_of(name, options.public).best[1])
            for (problem, method, seed), one in found.items()
            if problem == name
        }
        for name in dict.fromkeys(name for name, _, _ in found)
    }
    if "case3" in options.problems:
        own = range(options.first, options.first + options.case3_sets)
        judgements["case3"], answers = of_case3(options.work, options.methods, own)
    lines, apart = compared(judgements)
    for line in lines:
        calls = "calls_se" in line and (
            f"calls to 95 % {line['calls']:.0f} ± {line['calls_se']:.0f} "
            f"(reached {line['reached']:.2f}), "
        )
        print(
            f"{line['problem']:8s} {line['method']:9s} {line['sets']:3d} sets: truth "
            f"{line['truth']:.3f} ± {line['truth_se']:.3f}, |P − truth| {line['error']:.3f} ± "
            f"{line['error_se']:.3f} (signed {line['signed']:+.3f}), covered "
            f"{line['covered']:.2f}, width {line['width']:.2f}, {calls or ''}"
            f"{line['cpu_seconds']:.0f} CPU s"
        )
    for line in apart:
        numbers = ", ".join(
            f"{k} {line[k]:+.3f} ± {line[f'{k}_se']:.3f}" for k in NUMBERS if k in line
        )
        print(f"{line['problem']:8s} campaign less {line['campaign less']:8s}: {numbers}")
    best = {name: problem_of(name, options.public).best[1] for name, _, _ in found}
    settings = {"first": FIRST, "batch": BATCH, "batches": BATCHES}
    content = {
        "environment": environment() | {"rivals": versions(["botorch", "gpytorch", "bofire"])},
        "settings": settings | {"seeds": [*seeds], "best": best},
        "lines": lines,
        "differences": apart,
        "courses": [
            {"problem": name, "method": method, "seed": seed, "steps": one["steps"]}
            | {"violations": one["violations"], "cpu_seconds": one["cpu_seconds"]}
            for (name, method, seed), one in found.items()
        ],
        "case3": answers,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
