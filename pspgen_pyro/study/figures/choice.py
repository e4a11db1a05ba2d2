"""Which figures belong to which part of the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..steps import Folder
from ..view import View
from .common import Drawn
from .curves import beta_curves, promises
from .latents import latent_map, latent_posteriors
from .maps import designs, generalisation, ten_parameters
from .materials import materials_at_designs

__all__ = ["drawn"]

_DESIGNS = {"case1": 3, "case3": 8, "case4": 9}
_MATERIALS = {"case1": 4, "case4": 10}


def drawn(
    folder: Folder,
    part: str,
    problem: tuple[str, str],
    told: Mapping[str, Any],
    stores: Mapping[str, str],
    seed: int,
) -> Iterator[Drawn]:
    """The figures of a part for one preset.

    Arguments:
        folder: The study.
        part: The part.
        problem: The case and the preset.
        told: What the results say of that problem.
        stores: Its triads by split.
        seed: The seed of the fresh simulations.
    """
    view = View(folder, problem, told, stores, seed)
    if part in _DESIGNS:
        yield designs(view, _DESIGNS[part])
    if part in _MATERIALS:
        yield materials_at_designs(view, _MATERIALS[part])
    if part == "case2":
        yield generalisation(view)
    if part == "case5":
        yield ten_parameters(view)
    if part == "latents":
        yield latent_map(view)
        yield latent_posteriors(view)
    if part == "beta":
        yield beta_curves(view)
    if part.startswith("case"):
        yield promises(view)
