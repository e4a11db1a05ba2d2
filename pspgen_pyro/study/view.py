"""One problem of a finished study, as its figures and tables look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.triads import Triads
from ..design import Box, verify
from ..diagnosis.reference_materials import coordinates
from ..process import ProcessSpace
from ..schema import Schema
from .answers import truth_name
from .cases import Case, case
from .models import targets_of
from .plan import MODELS
from .steps import Folder

__all__ = ["COMPARED", "PROPOSED", "View"]

PROPOSED = (("default", "argmax"), ("published", "argmax"), ("mixture", "argmax"))
"""Whose φ* figures call φ_prop: the first of these models that was run."""

COMPARED = (
    ("comparison_published", "R1, mean"),
    ("comparison_tuned", "R1, mean"),
    ("forest", "argmax"),
)
"""Whose φ* figures call φ_comp."""


@dataclass(frozen=True, eq=False)
class View:
    """A problem with its numbers and data.

    Arguments:
        folder: The study.
        problem: The case and the preset.
        found: Its part of the results.
        stores: The triads stores by split.
        seed: The seed of the fresh simulations.
    """

    folder: Folder
    problem: tuple[str, str]
    found: Mapping[str, Any]
    stores: Mapping[str, str]
    seed: int = 0

    @cached_property
    def case(self) -> Case:
        """The case."""
        return case(*self.problem)

    @property
    def targets(self) -> dict[str, Box]:
        """The targets by name."""
        return targets_of(self.case)

    @property
    def process(self) -> ProcessSpace:
        """The process space."""
        return self.case.process

    @property
    def schema(self) -> Schema:
        """What a triad is."""
        return self.case.chain.schema

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row a model, seed, target and rule."""
        return self.found["rows"]

    def triads(self, split: str) -> Triads:
        """The triads of a split."""
        return Triads.open(self.folder.data / self.stores[split])

    def surface(self, target: str) -> xr.DataArray:
        """The fractions of the reference in a target over the grid."""
        counted = self.folder.read(self.found["reference"]["step"])
        axes = [np.unique(column) for column in np.array(counted["phi"]).T]
        table = np.array(counted["fractions"][target]).reshape([len(axis) for axis in axes])
        named = coordinates(self.process, axes)
        return xr.DataArray(
            table, named, self.process.names, attrs={"long_name": "fraction in target"}
        )

    def answer(
        self, chosen: Sequence[tuple[str, str]], target: str
    ) -> tuple[str, Mapping[str, Any]] | None:
        """The words for the first of some models that was run, and its row for a target."""
        for model, rule in chosen:
            for row in self.rows:
                if (row["model"], row["rule"], row["target"]) == (model, rule, target):
                    return MODELS[model] + ("" if rule == "argmax" else f" ({rule})"), row
        return None

    def who(self, chosen: Sequence[tuple[str, str]]) -> str:
        """The words for the first of some models that was run."""
        found = self.answer(chosen, next(iter(self.targets)))
        return "not run" if found is None else found[0]

    def fresh(self, phi: Sequence[float]) -> NDArray[np.float64]:
        """The fresh properties at a φ* of the study, with shape `(N, K)`."""
        return np.array(self.folder.read(truth_name(self.problem, phi))["m"])

    def materials(self, phi: Sequence[float], count: int = 5) -> tuple[Any, NDArray[np.float64]]:
        """The images and the properties of the first of those."""
        region = next(iter(self.targets.values()))
        found = verify(self.case.chain, region, phi, samples=count, seed=self.seed)
        return found.x, found.m
