"""The step behind Figure 6: z0 of three materials given their images, and the m of each draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..design import Materials
from ..diagnosis import latent_posterior
from ..runs import load_run
from .cases import case

if TYPE_CHECKING:
    from .steps import Folder

__all__ = ["posteriors"]

_MATERIALS = 3
# settings and materials that no data set and no verification shares
_KEY = 0x1A7


def posteriors(
    folder: Folder, *, problem: tuple[str, str], run: str, seed: int = 0
) -> dict[str, Any]:
    """The step that draws z0 from p(z0 | x, φ) for one material of each of three settings.

    Arguments:
        folder: The study.

    Other arguments:
        problem: The case and the preset.
        run: The run of `models/` to ask.
        seed: Seeds the settings, the materials and the draws.
    """
    chain, model = case(*problem).chain, load_run(folder.path / "models" / run).members[0]
    roots = np.random.SeedSequence(seed, spawn_key=(_KEY,)).spawn(1 + _MATERIALS)
    phi = chain.process.sample(_MATERIALS, np.random.default_rng(roots[0]))
    made = chain.simulate(phi, roots[1:])
    found = latent_posterior(model, Materials(phi, made.x, made.m), seed=seed)
    numbers = ("m", "m_prior", "m_true", "phi", "log_density", "log_density_prior")
    told = {name: np.round(found[name].values, 5).tolist() for name in numbers}
    return told | {"run": run, "acceptance_rate": found["acceptance_rate"].values.tolist()}
