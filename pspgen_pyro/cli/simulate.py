"""`pspgen simulate`: triads (φ, x, m) of a case into a Zarr store."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

__all__ = ["Simulate"]


@dataclass(frozen=True)
class Simulate:
    """Simulate triads of a case into a Zarr store.

    The store appears under its name when it is complete; an interrupted run goes on with --resume.
    The same seed gives the same bytes, whoever does the work.

    Example: pspgen simulate case1 --samples 2000 --seed 0 --workers 2 --out triads.zarr
    """

    case: Positional[Literal["case1", "case2", "case3", "case4", "case5", "three_phase"]]
    """The case of the study, or the three-phase one beside it."""
    out: Path
    """The store to make; it must not exist."""
    samples: int | None = None
    """The TOTAL number of triads, that is φ times replicates. Default: as in the study."""
    seed: int = 0
    """The root of all random numbers."""
    workers: int = 1
    """Local processes."""
    split: Literal["train", "test", "reference"] = "train"
    """The part of the case's data; no two parts share a random number."""
    replicates: int | None = None
    """Microstructures a φ. Default: as in the study."""
    scale: float = 1.0
    """Multiplies the study's number of φ (of the reference grid: of replicates)."""
    preset: Literal["calibrated", "as_stated"] = "calibrated"
    """How a spectrum becomes a structure."""
    formulation: Literal["study", "consistent", "bilinear"] | None = None
    """The discretisation. Default: `study`, which the targets are meant for; `bilinear` in the
    three-phase case."""
    solver: Literal["multifrontal", "dolfinx", "scipy"] | None = None
    """Who solves it; all give the same numbers. Default: `multifrontal`; `scipy` in the
    three-phase case."""
    resume: bool = False
    """Go on with an interrupted run."""
    scheduler: str | None = None
    """A dask scheduler to use instead of local processes, as tcp://host:8786."""

    def run(self) -> int | None:
        from ..data import generate
        from ..study import case

        chosen = case(self.case, self.preset, self.formulation, self.solver)
        try:
            triads = generate(
                chosen,
                self.out,
                samples=self.samples,
                replicates=self.replicates,
                seed=self.seed,
                workers=self.workers,
                split=self.split,
                scale=self.scale,
                resume=self.resume,
                scheduler=self.scheduler,
                progress=True,
            )
        except KeyboardInterrupt:
            print("pspgen: interrupted; go on with --resume", file=sys.stderr)
            return 130
        failed = int(triads["k"].isnull().any("property").sum())
        print(
            f"{self.out}: {triads.sizes['sample']} triads of {self.case} ({self.split}, "
            f"{self.preset}, seed {self.seed}); {failed} failed"
        )
        return None
