"""`pspgen study`: the paper's tables and figures by this package, beside the printed ones."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tyro.conf import Positional

__all__ = ["StudyCommand"]

_Model = Literal[
    "published", "default", "comparison_published", "comparison_tuned", "mixture", "forest"
]


@dataclass(frozen=True)
class StudyCommand:
    """Run a case of the study, or all of it: data, models, designs, fresh simulations, one page.

    Killed at any moment, it goes on with --resume and ends with the same numbers.

    Example: pspgen study case1 --scale 0.05 --workers 2 --out study
    """

    name: Positional[
        Literal["case1", "case2", "case3", "case4", "case5", "latents", "beta", "all"]
    ]
    """A case; `latents` (what z1 and z0 hold), `beta` (the weight of the divergence), or `all`."""
    out: Path
    """The folder to write."""
    scale: float = 1.0
    """Multiplies the sizes of the study; above 0, at most 1."""
    workers: int = 2
    """Processes that simulate or learn side by side."""
    scheduler: str | None = None
    """A dask scheduler to use instead of local processes, as tcp://host:8786; needs the
    extra `cluster`."""
    seeds: int | None = None
    """Seeds of every learned row. Default: 3; of 128 × 128 pixels 1."""
    models: tuple[_Model, ...] = get_args(_Model)
    """The models to compare."""
    max_epochs: int = 200
    """The largest number of epochs of the published recipe at full size; the paper has 500. It
    stops earlier where its validation loss has been flat for 40."""
    seed: int = 0
    """The root of all random numbers."""
    resume: bool = False
    """Go on with the study in the folder."""

    def run(self) -> int | None:
        from ..study import run_study

        try:
            run_study(
                self.name,
                self.out,
                scale=self.scale,
                workers=self.workers,
                scheduler=self.scheduler,
                seeds=self.seeds,
                models=self.models,
                max_epochs=self.max_epochs,
                seed=self.seed,
                resume=self.resume,
                progress=lambda words: print(words, file=sys.stderr, flush=True),
            )
        except KeyboardInterrupt:
            print("pspgen: interrupted; go on with --resume", file=sys.stderr)
            return 130
        print(f"{self.out}/index.html: written")
        return None
