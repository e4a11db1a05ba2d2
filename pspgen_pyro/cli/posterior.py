"""`pspgen posterior`: every process setting that is consistent with a target, as draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

__all__ = ["PosteriorCommand"]


@dataclass(frozen=True)
class PosteriorCommand:
    """Draw process settings and latents given that the properties lie in the target.

    Example: pspgen posterior run --target=-10:-9,-7:-5 --out post.zarr
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    target: str
    """The design question, as for `pspgen design`."""
    out: Path
    """The Zarr store to write, for ArviZ; it must not exist."""
    member: int | None = None
    """Of an ensemble: the model to ask, counted from 1."""
    method: Literal["hmc", "nuts", "svi"] = "hmc"
    """`hmc`: many chains in one batch. `nuts`: Pyro's NUTS. `svi`: a fitted guide."""
    chains: int | None = None
    """How many chains; 64 for hmc, 4 for the others if left out."""
    draws: int | None = None
    """Draws a chain; 400 for hmc, 500 for nuts, 500 for svi if left out."""
    warmup: int | None = None
    """Transitions (svi: steps of the fit) before them; 150, 200 and 1000 if left out."""
    guide: Literal["mean-field", "full-rank", "flow"] = "full-rank"
    """What svi fits."""
    workers: int = 1
    """Processes for the chains of nuts."""
    images: bool = False
    """Keep microstructures of the predictions too."""
    seed: int = 0
    """Seeds the chains and the predictions."""

    def run(self) -> int | None:
        from ..io.publish import publishing, refuse_existing
        from ..io.threads import threads

        refuse_existing(self.out)
        from ..design.posterior import counts_of
        from .questions import open_run

        given = {"chains": self.chains, "draws": self.draws, "warmup": self.warmup}
        counts = counts_of(self.method, **given)
        posterior = open_run(self.run_folder, self.member).posterior(self.target)
        from tqdm.auto import tqdm

        total = counts["warmup"] + counts["draws"] * (self.method != "svi")
        total *= counts["chains"] if self.method == "nuts" else 1
        with threads(1), tqdm(total=total, desc=self.method, unit="step", disable=None) as bar:
            found = posterior.sample(
                self.method,
                **given,
                guide=self.guide,
                workers=self.workers,
                seed=self.seed,
                progress=bar.update,
            )
        tree = found.to_arviz(images=self.images, seed=self.seed)
        with publishing(self.out) as folder:
            tree.to_zarr(folder, mode="a", consolidated=False)
        print(found)
        print(f"{self.out}: read it with `xarray.open_datatree(..., engine='zarr')`")
        return None
