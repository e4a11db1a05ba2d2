"""`pspgen report`: one page that shows what the model claims beside what the physics says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """Write one HTML file: pictures, the model's probabilities beside the simulated ones, where they disagree.

    The file needs nothing else: it opens offline, prints, and follows the light or dark theme of its reader.

    Example: pspgen report run --triads triads.zarr --designs a.json b.json --out report.html
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    triads: Path
    """The triads that the run was trained on."""
    out: Path
    """The HTML file to write; it must not exist."""
    designs: tuple[Path, ...] = ()
    """Answers written by `pspgen design --out`."""
    reference: Path | None = None
    """Triads of the reference split: the simulated surfaces to compare with."""

    def run(self) -> int | None:
        from ..publish import publish_file, refuse_existing

        refuse_existing(self.out)
        from ..data import open_triads
        from ..report import read_answer, write_page
        from ..runs import load_run

        run = load_run(self.run_folder)
        triads = open_triads(self.triads)
        reference = None if self.reference is None else open_triads(self.reference)
        answers = [read_answer(path, run) for path in self.designs]
        page = write_page(run, triads, answers, reference)
        publish_file(self.out, page)
        print(f"{self.out}: {len(answers)} design(s), {len(page) / 1e6:.1f} MB")
        return None
