"""Other ways to say how sure P is at the φ* that the mean over the networks chose."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t

from pspgen_pyro.design import LBFGS, Objective, sobol_normal
from pspgen_pyro.design.estimates import NINETY, link, unlink
from pspgen_pyro.design.optimisers import Problem
from pspgen_pyro.design.probability import opinions

IDEAS = ("halves", "shrunk", "left out")
PROMISE = 1.3


def answers(model, box, phi):
    """P and its interval by each idea, at a φ* with shape `(P)`."""
    alone = asked(model, box, phi[None])[:, 0]
    reach = t.ppf(0.95, len(alone) - 1) * link(alone).std(ddof=1)
    low, high = (unlink(link(alone.mean()) + side * reach) for side in (-1, 1))
    return {
        "halves": {"p": float(alone.mean()), "low": float(low), "high": float(high)},
        "shrunk": shrunk(model, box, alone),
        "left out": left_out(model, box, alone),
    }


@torch.no_grad()
def asked(model, box, phi):
    """P by each network, with shape `(K, N)`."""
    noise = torch.zeros(1, model.dims.latent)
    return opinions(model, box, model.tensor(phi), noise).exp().double().numpy()


def shrunk(model, box, alone):
    """The posterior of h(P) under a normal law over the process space, whose variance is what the
    networks' mean varies less what they differ."""
    each = link(asked(model, box, model.process.sample((2000,), np.random.default_rng(0))))
    differ = each.var(axis=0, ddof=1).mean()
    across = max(each.mean(axis=0).var() - differ / 2, 1e-4)
    own = link(alone).var(ddof=1)
    share = across / (across + own)
    middle = each.mean() + share * (link(alone.mean()) - each.mean())
    return told(middle, np.sqrt(share * own))


def left_out(model, box, alone):
    """Each pair says how much of what the others promise, where they would go, it does not see."""
    count = len(alone)
    noise = sobol_normal(64, model.dims.latent, 0).to(model.m_loc)
    engine = torch.quasirandom.SobolEngine(len(model.process), scramble=True, seed=0)
    scouts = engine.draw(256, dtype=torch.float64).numpy()
    gaps = []
    for k in range(0, count, 2):
        rest = [j for j in range(count) if j // 2 != k // 2]
        problem = Problem(model, Some(box, tuple(rest)), noise)
        first = scouts[np.argsort(-problem.score(scouts))[:8]]
        unit = LBFGS(60).climb(problem, first).unit
        best = unit[np.argmax(problem.score(unit))]
        there = asked(model, box, problem.process(torch.tensor(best[None])).numpy())[:, 0]
        promised = link(there[rest].mean())
        gaps.append([promised - link(there[j]) for j in (k, k + 1)])
    gaps = np.array(gaps)
    return told(link(alone.mean()) - PROMISE * gaps.mean(), gaps.std(ddof=1))


def told(middle, spread):
    ends = (middle, middle - NINETY * spread, middle + NINETY * spread)
    return dict(zip(("p", "low", "high"), map(float, map(unlink, ends)), strict=True))


@dataclass(frozen=True)
class Some(Objective):
    """The mean P of some of the networks."""

    target: object
    which: tuple[int, ...]

    def check(self, model):
        pass

    def score(self, model, phi, noise):
        each = opinions(model, self.target, phi, noise)[list(self.which)]
        return each.logsumexp(dim=0) - np.log(len(each))
