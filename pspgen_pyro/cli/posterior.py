"""`pspgen posterior`: every process setting that is consistent with a target, as draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..design import DesignPosterior, Draws

__all__ = ["PosteriorCommand"]

_CHAINS = {"hmc": 64, "nuts": 4, "svi": 4}
_DRAWS = {"hmc": 400, "nuts": 500, "svi": 500}
_WARMUP = {"hmc": 150, "nuts": 200, "svi": 1000}


@dataclass(frozen=True)
class PosteriorCommand:
    """Draw process settings and latents given that the properties lie in the target.

    Example: pspgen posterior run --target=-10:-9,-7:-5 --out post.zarr
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    target: str
    """One interval a property as lower:upper, separated by commas; write it with an equals
    sign."""
    out: Path
    """The Zarr store to write, for ArviZ; it must not exist."""
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

        refuse_existing(self.out)
        chains, draws, warmup = self._counts()
        from ..design import DesignPosterior, parse_target
        from ..runs import load_run

        run = load_run(self.run_folder)
        model = run.model
        target = parse_target(self.target, model.property_names)
        posterior = DesignPosterior(model, target, support=run.support)
        import torch
        from tqdm.auto import tqdm

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            total = warmup + draws * (self.method != "svi")
            total *= chains if self.method == "nuts" else 1
            with tqdm(total=total, desc=self.method, unit="step", disable=None) as bar:
                found = self._sample(posterior, chains, draws, warmup, bar.update)
        finally:
            torch.set_num_threads(threads)
        from ..diagnosis import to_datatree

        tree = to_datatree(found, model, images=self.images, seed=self.seed)
        with publishing(self.out) as folder:
            tree.to_zarr(folder, mode="a", consolidated=False)
        print(found)
        print(f"{self.out}: read it with `xarray.open_datatree(..., engine='zarr')`")
        return None

    def _counts(self) -> tuple[int, int, int]:
        counts = {
            "chains": _CHAINS[self.method] if self.chains is None else self.chains,
            "draws": _DRAWS[self.method] if self.draws is None else self.draws,
            "warmup": _WARMUP[self.method] if self.warmup is None else self.warmup,
        }
        for name, count in (counts | {"workers": self.workers}).items():
            if count < 1:
                raise InputError(f"'{name}' is {count}; it must be at least 1.")
        return counts["chains"], counts["draws"], counts["warmup"]

    def _sample(
        self,
        posterior: DesignPosterior,
        chains: int,
        draws: int,
        warmup: int,
        tick: Callable[[int], object],
    ) -> Draws:
        from ..design import Flow, FullRank, MeanField, fit_svi, sample_hmc, sample_nuts

        shared = {"chains": chains, "draws": draws, "seed": self.seed, "progress": tick}
        if self.method == "hmc":
            return sample_hmc(posterior, warmup=warmup, **shared)
        if self.method == "nuts":
            return sample_nuts(posterior, warmup=warmup, workers=self.workers, **shared)
        guides = {"mean-field": MeanField(), "full-rank": FullRank(), "flow": Flow()}
        return fit_svi(posterior, steps=warmup, guide=guides[self.guide], **shared)
