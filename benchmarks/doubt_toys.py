"""Twenty test functions of uncertainty quantification with noise, on which the numbers of the
interval were fitted: P has a closed form, so every answer is judged without simulations.

Two properties a function, m1 = f + noise and m2 = f / 2 + g + noise with g a random network and
noise whose size depends on φ; all standardised.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from doubt_ideas import asked
from scipy.special import ndtr
from scipy.stats import t as student_t

import pspgen_pyro as psp
from pspgen_pyro.design import optimism
from pspgen_pyro.design.estimates import NINETY, link, unlink

COUNTS = (250, 1000, 2500)


def scaled(u, bounds):
    low, high = np.array(bounds, float).T
    return low + (high - low) * u[:, : len(low)]


def branin(u):
    x, y = u[:, 0] * 15 - 5, u[:, 1] * 15
    square = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return square + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x)


def ishigami(u):
    a, b, c = ((2 * u[:, :3] - 1) * np.pi).T
    return np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


def friedman(u):
    curved = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
    return curved + 10 * u[:, 3] + 5 * u[:, 4]


def borehole(u):
    bounds = [(0.05, 0.15), (100, 50000), (63070, 115600), (990, 1110)]
    bounds += [(63.1, 116), (700, 820), (1120, 1680), (9855, 12045)]
    rw, r, tu, hu, tl, hl, length, k = scaled(u, bounds).T
    log = np.log(r / rw)
    return 2 * np.pi * tu * (hu - hl) / (log * (1 + 2 * length * tu / (log * rw**2 * k) + tu / tl))


def otl(u):
    bounds = [(50, 150), (25, 70), (0.5, 3), (1.2, 2.5), (0.25, 1.2), (50, 300)]
    b1, b2, f, c1, c2, beta = scaled(u, bounds).T
    v, k = 12 * b2 / (b1 + b2), beta * (c2 + 9)
    return (v + 0.74) * k / (k + f) + 11.35 * f / (k + f) + 0.74 * f * k / ((k + f) * c1)


def piston(u):
    bounds = [(30, 60), (0.005, 0.02), (0.002, 0.01), (1000, 5000), (9e4, 11e4)]
    mass, s, v0, k, p0, ta, t0 = scaled(u, [*bounds, (290, 296), (340, 360)]).T
    a = p0 * s + 19.62 * mass - k * v0 / s
    v = s / (2 * k) * (np.sqrt(a**2 + 4 * k * p0 * v0 * ta / t0) - a)
    return 2 * np.pi * np.sqrt(mass / (k + s**2 * p0 * v0 * ta / t0 / v**2))


def wing(u):
    bounds = [(150, 200), (220, 300), (6, 10), (-10, 10), (16, 45), (0.5, 1), (0.08, 0.18)]
    bounds += [(2.5, 6), (1700, 2500), (0.025, 0.08)]
    area, fuel, aspect, sweep, q, taper, thick, load, gross, paint = scaled(u, bounds).T
    cos = np.cos(np.radians(sweep))
    shape = area**0.758 * fuel**0.0035 * (aspect / cos**2) ** 0.6 * q**0.006 * taper**0.04
    return 0.036 * shape * (100 * thick / cos) ** -0.3 * (load * gross) ** 0.49 + area * paint


def robot(u):
    angle = np.cumsum(2 * np.pi * u[:, :4], axis=1)
    return np.hypot((u[:, 4:8] * np.cos(angle)).sum(1), (u[:, 4:8] * np.sin(angle)).sum(1))


def smallest(u):
    return np.log(0.05 + u[:, :5].min(1)) + 0.3 * u[:, 5:].sum(1) / max(1, u.shape[1] - 5)


def slowest(u):
    return np.log(np.exp(-4 * u).sum(1)) + np.sin(2 * u[:, 0] * u[:, -1])


def network(size, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (
        rng.normal(size=(size, 30)) * 1.5 / size**0.35,
        rng.normal(size=30),
        rng.normal(size=30),
    )
    return lambda u: np.tanh((2 * u - 1) @ a + b) @ c


FUNCTIONS = [
    (2, branin),
    (2, network(2, 1)),
    (2, smallest),
    (3, ishigami),
    (3, network(3, 2)),
    (4, network(4, 4)),
    (5, friedman),
    (5, slowest),
    (6, otl),
    (6, network(6, 5)),
    (7, piston),
    (8, borehole),
    (8, robot),
    (8, network(8, 6)),
    (10, wing),
    (10, smallest),
    (10, slowest),
    (10, friedman),
    (10, network(10, 3)),
    (10, network(10, 7)),
]


class Toy:
    def __init__(self, number):
        self.size, first = FUNCTIONS[number]
        rng = np.random.default_rng(100 + number)
        self.parts = [first, network(self.size, 200 + number), network(self.size, 300 + number)]
        u = rng.random((4000, self.size))
        self.moments = [(part(u).mean(), part(u).std()) for part in self.parts]
        self.noise = np.exp(rng.uniform(np.log(0.3), np.log(2.0)))

    def law(self, u):
        pairs = zip(self.parts, self.moments, strict=True)
        f, g, w = ((part(u) - mean) / sd for part, (mean, sd) in pairs)
        size = self.noise * np.exp(0.3 * np.tanh(w))
        return np.stack([f, 0.5 * f + g], 1), np.stack([size, 0.8 * size], 1)

    def draw(self, count, seed):
        rng = np.random.default_rng(seed)
        u = rng.random((count, self.size))
        mean, sd = self.law(u)
        return u, mean + sd * rng.normal(size=mean.shape)

    def probability(self, box, u):
        mean, sd = self.law(np.atleast_2d(u))
        low, high = np.array(box.lower), np.array(box.upper)
        return (ndtr((high - mean) / sd) - ndtr((low - mean) / sd)).prod(1)


def toy_cell(work, number, count):
    """The P of every network and the truth at random settings, on edges and in corners, and at φ*
    of a bold and a cautious search with the optimism o, one row a target."""
    from doubt import boxes

    torch.set_num_threads(1)
    path = work / "cells" / f"toy-{number}-{count}.npz"
    if path.exists():
        with np.load(path) as found:
            return dict(found)
    toy = Toy(number)
    phi, m = toy.draw(count, 1001)
    names = tuple(f"u{j + 1}" for j in range(toy.size))
    process = psp.ProcessSpace(names, (0.0,) * toy.size, (1.0,) * toy.size)
    triads = psp.Triads.from_arrays(
        phi, None, m, process=process, properties=["m1 [1] linear", "m2 [1] linear"], quiet=True
    )
    run = psp.fit(triads, seed=1, progress=False)
    rng, size = np.random.default_rng(7), toy.size
    engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=0)
    edge = rng.random((64, size))
    edge[range(64), rng.integers(size, size=64)] = rng.integers(2, size=64)
    places = {
        "random": engine.draw(256, dtype=torch.float64).numpy(),
        "edge": edge,
        "corner": rng.integers(2, size=(64, size)).astype(float),
    }
    targets, found = boxes(toy.draw(20_000, 5)[1], seed=number), {}
    for kind, u in places.items():
        found[kind] = np.stack([asked(run.model, box, u) for box in targets])
        found[f"{kind}_truth"] = np.stack([toy.probability(box, u) for box in targets])
    for kind, cautious in (("bold", False), ("cautious", True)):
        p = [run.design(box, cautious=cautious, seed=1).probability for box in targets]
        found[kind] = np.stack([one.members for one in p])[..., None]
        there = [toy.probability(box, one.phi) for box, one in zip(targets, p, strict=True)]
        found[f"{kind}_truth"] = np.array(there)
        off = [link(float(one.promised)) - link(float(one.value)) for one in p]
        found[f"{kind}_o"] = np.array(off) / optimism._SHARE
    np.savez(path, **found)
    print(path.stem, flush=True)
    return found


def answers_of(found, kind):
    """h of the mean, the variance over the networks, its mean over the process space, o and the
    truth, one row an answer."""
    rows = []
    for t in range(len(found["random"])):
        typical = link(found["random"][t]).var(axis=0, ddof=1).mean()
        p, truth = found[kind][t], found[f"{kind}_truth"][t]
        own = link(p).var(axis=0, ddof=1)
        o = max(0.0, found[f"{kind}_o"][t]) if f"{kind}_o" in found else 0.0
        same = np.ones(len(truth))
        rows.append(np.stack([link(p.mean(axis=0)), own, typical * same, o * same, truth]))
    return np.concatenate(rows, axis=1)


def scored(rows, share, factor, off, doubt):
    """Interval score (Gneiting & Raftery, 2007), coverage, half-width over RMS error, bias."""
    h, own, typical, o, truth = rows
    reach = factor * np.sqrt((1 - share) * own + share * typical)
    reach, middle = np.hypot(reach, NINETY * doubt * o), h - off * o
    p, low, high = (unlink(middle + side * reach) for side in (0, -1, 1))
    missed = np.maximum(0, low - truth) + np.maximum(0, truth - high)
    gap, wide = p - truth, high - low
    inside = (truth >= low) & (truth <= high)
    score = (wide + 20 * missed).mean()
    return score, inside.mean(), wide.mean() / 2 / np.sqrt((gap**2).mean()), gap.mean()


def toys(work, jobs):
    """Prints the interval score and the coverage for the numbers that the interval has."""
    context = multiprocessing.get_context("spawn")
    wanted = [(n, count) for count in COUNTS for n in range(len(FUNCTIONS))]
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {one: pool.submit(toy_cell, work, *one) for one in wanted}
        found = {one: future.result() for one, future in futures.items()}
    t = student_t.ppf(0.95, 14)

    def shown(cells, kinds, *numbers):
        told = []
        for kind in kinds:
            rows = np.concatenate([answers_of(one, kind) for one in cells], axis=1)
            score, inside, width, bias = scored(rows, *numbers)
            told.append(f"{kind} {score:.3f} {inside:.2f} {width:.2f} {bias:+.3f}")
        return "; ".join(told)

    print("score, coverage, half-width over RMS error, bias")
    for share in (0.0, 0.5, 1.0):
        for factor in (1.0, 1.2, 1.3, 1.4, 1.5, 1.6):
            line = shown(found.values(), ("random", "edge", "corner"), share, factor * t, 0, 0)
            print(f"towards the typical {share}, factor {factor}: {line}")
    for off in (0.3, 0.35, 0.4):
        for doubt in (0.0, 0.1, 0.2, 0.3):
            line = shown(found.values(), ("bold", "cautious"), 0.5, 1.4 * t, off, doubt)
            print(f"off {off}, doubt {doubt}: {line}")
    for low, high in ((2, 3), (4, 7), (8, 10)):
        for count in COUNTS:
            cells = [
                one
                for (n, c), one in found.items()
                if c == count and low <= FUNCTIONS[n][0] <= high
            ]
            kinds = ("random", "edge", "corner", "bold", "cautious")
            line = shown(cells, kinds, 0.5, 1.4 * t, optimism._SHARE, optimism._DOUBT)
            print(f"{low} to {high} parameters, {count} rows: {line}")
