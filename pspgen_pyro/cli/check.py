"""`pspgen check`: is the model calibrated, and does physics agree with its posterior?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from ..diagnosis.checkup import Checkup

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """Check a run: calibration and coverage of its design posterior, its predictions beside fresh
    simulations, and its guide beside the prior given phi. With reference triads: the error of its
    probabilities, proper scores, and its microstructures beside real ones.

    Example: pspgen check run --reference reference.zarr --sbc 0 --out checks
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    out: Path
    """The folder to write (check.json, figures and sbc.zarr), or a file that ends in .json; it
    must not exist."""
    target: str | None = None
    """The design question to check, as for `pspgen design`; without one the model is checked over
    its whole process space, and its probabilities on the targets of the study's case."""
    sbc: int = 1000
    """Trials of simulation-based calibration; 0 leaves them out."""
    materials: int = 300
    """Fresh simulations at draws of the design posterior."""
    reference: Path | None = None
    """Triads over the whole process space that no training saw, such as those of the reference or
    the test split: predictions are scored against them. Without them 1600 fresh ones are
    simulated."""
    simulator: str | None = None
    """Who simulates, as for `pspgen design`."""
    member: int | None = None
    """Of an ensemble: the model to ask, counted from 1."""
    seed: int = 0
    """Seeds everything."""

    def run(self) -> int | None:
        from ..io.publish import publish_file, publishing, refuse_existing

        refuse_existing(self.out)
        from ..data import Triads
        from ..io.provenance import environment
        from .questions import open_run, simulator_from

        run = open_run(self.run_folder, self.member)
        target = None if self.target is None else run.target(self.target)
        found = run.check(
            None if self.reference is None else Triads.open(self.reference),
            target,
            simulator=simulator_from(self.simulator),
            simulations=self.sbc,
            materials=self.materials,
            seed=self.seed,
            progress=_progress,
        )
        content = {
            "data": run.data,
            "target": None if target is None else target.to_json(),
            "seed": self.seed,
            **found.content,
            "environment": environment(),
        }
        text = json.dumps(content, indent=1) + "\n"
        if self.out.suffix == ".json":
            publish_file(self.out, text)
        else:
            with publishing(self.out) as folder:
                _write(found, text, folder)
        print(found)
        print(f"\n{self.out}: written")
        return None


def _write(found: Checkup, text: str, folder: Path) -> None:
    (folder / "check.json").write_text(text, encoding="utf-8")
    for name, figure in found.figures.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    if found.tree is not None:
        found.tree.to_zarr(folder / "sbc.zarr", consolidated=False)


def _progress(title: str, total: int) -> Callable[[int], object]:
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc=title, disable=None)

    def advance(steps: int) -> None:
        bar.update(steps)
        if bar.n >= total:
            bar.close()

    return advance
