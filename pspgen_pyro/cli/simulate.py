"""`pspgen simulate`: triads (φ, x, m) of a case or of one's own chain into a Zarr store."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from ..errors import InputError

if TYPE_CHECKING:
    from ..chain import Chain
    from ..study import Case

__all__ = ["Simulate"]


@dataclass(frozen=True)
class Simulate:
    """Simulate triads of a case, or of a chain of your own, into a Zarr store.

    The store appears under its name when it is complete; an interrupted run goes on with --resume.
    The same seed gives the same bytes, whoever does the work.

    Example: pspgen simulate case1 --samples 2000 --seed 0 --workers 2 --out triads.zarr
    """

    case: Positional[
        Literal["case1", "case2", "case3", "case4", "case5", "three_phase", "elastic"] | None
    ] = None
    """The case of the study, or one of the two beside it: three phases, elastic stiffness."""
    out: Path = field(kw_only=True)
    """The store to make; it must not exist."""
    chain: str | None = None
    """A chain instead of a case: module:function, a function without arguments that returns a
    Chain; the module may lie in the current folder."""
    samples: int | None = None
    """The TOTAL number of triads, that is φ times replicates. Default: as in the study."""
    seed: int = 0
    """The root of all random numbers."""
    workers: int = 1
    """Local processes."""
    split: Literal["train", "test", "reference"] = "train"
    """The part of the data; no two parts share a random number."""
    replicates: int | None = None
    """Triads a φ. Default: as in the study; of a chain 1."""
    points: int | None = None
    """The number of φ along each axis of a reference grid. Default: as in the study."""
    scale: float = 1.0
    """Multiplies the study's number of φ (of the reference grid: of replicates)."""
    preset: Literal["calibrated", "as_stated"] | None = None
    """How a spectrum becomes a structure. Default: `calibrated`."""
    formulation: Literal["study", "consistent", "bilinear"] | None = None
    """The discretisation. Default: `study`, which the targets are meant for; `bilinear` in the
    three-phase case."""
    solver: Literal["multifrontal", "dolfinx", "scipy"] | None = None
    """Who solves it; all give the same numbers. Default: `multifrontal`; `scipy` in the
    three-phase case."""
    resume: bool = False
    """Go on with an interrupted run."""
    scheduler: str | None = None
    """A dask scheduler to use instead of local processes, as tcp://host:8786; needs the
    extra `cluster`."""

    def run(self) -> int | None:
        from ..data import Store, generate

        source = self._source()
        try:
            triads = generate(
                source,
                self.out,
                samples=self.samples,
                replicates=self.replicates,
                points=self.points,
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
        failed = len(Store(self.out).manifest().failures)
        preset = triads.data.attrs["preset"]
        made = ", ".join([self.split, *([preset] if preset else []), f"seed {self.seed}"])
        print(
            f"{self.out}: {len(triads)} triads of {self.case or self.chain} ({made}); "
            f"{failed} failed"
        )
        return None

    def _source(self) -> Case | Chain:
        """The case or the chain to simulate.

        Raises:
            InputError: If there is not exactly one, or an option belongs to the other.
        """
        from ..study import case
        from .questions import chain_from

        if (self.case is None) == (self.chain is None):
            raise InputError(
                "'case' and 'chain' both say what to simulate; give one, such as `pspgen simulate "
                "case1` or `pspgen simulate --chain module:function`."
            )
        if self.case is not None:
            preset = self.preset or "calibrated"
            return case(self.case, preset, self.formulation, self.solver)
        for name in ("preset", "formulation", "solver"):
            if vars(self)[name] is not None:
                raise InputError(f"'{name}' is for the cases of the study; a chain has its own.")
        return chain_from(str(self.chain))
