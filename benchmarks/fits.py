"""What the benchmarks on other people's data share: one call that fits, one that asks for P."""

import time

import numpy as np
import torch

import pspgen_pyro as psp
from pspgen_pyro.report import surface_error
from pspgen_pyro.rivals import RIVALS


def fitted(model, triads, seed, images=False):
    """A fitted model, PSP-GEN or a rival, and the CPU seconds it took; without images only what P
    depends on is trained."""
    torch.manual_seed(seed)
    start = time.process_time()
    if model == "pspgen":
        made = psp.fit(triads, seed=seed, progress=False, **({} if images else {"epochs": 0}))
    else:
        data = psp.Batches.from_triads(triads)
        known = {"schema": triads.schema, "symmetries": triads.schema.symmetries}
        made = RIVALS[model]().fit(data, **known, seed=seed)
    return made, time.process_time() - start


def p_surface(made, target, phi):
    """P(m in target | φ) at settings `(N, P)`, with shape `(N,)`."""
    found = made.probability(target, phi)
    return np.asarray(found if isinstance(found, np.ndarray) else found.value)


def surfaces(made, targets, phi, m):
    """P of each target beside the fractions of a reference m with shape `(N, materials, K)`."""
    found = {}
    for name, target in targets.items():
        share = target.contains(m.reshape(-1, m.shape[-1])).reshape(m.shape[:-1]).mean(axis=1)
        p = p_surface(made, target, phi)
        error = surface_error(p, share, m.shape[1])
        found[name] = {
            "rmse": error.rmse,
            "resolution": error.resolution,
            "surface": p.round(5).tolist(),
        }
    return found | {"mean rmse": float(np.mean([one["rmse"] for one in found.values()]))}


def mean_and_error(values):
    """The mean over the seeds and its standard error; NaN, for unknown, of one seed."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(values.mean()), float(error)
