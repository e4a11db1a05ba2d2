"""`pspgen report`: one page that shows what the model claims beside what the physics says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from ..data import Triads
    from ..report import Answer
    from ..runs import Run

__all__ = ["ReportCommand"]


@dataclass(frozen=True)
class ReportCommand:
    """Write one HTML file: pictures, and the model's probabilities beside the simulated ones.

    The file needs nothing else: it opens offline, prints, and follows the light or dark theme of
    its reader.

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
        from ..io.publish import publish_file, refuse_existing

        refuse_existing(self.out)
        from ..data import Triads
        from ..report import read_answer, write_page
        from .questions import open_run

        run = open_run(self.run_folder)
        triads = Triads.open(self.triads)
        reference = None if self.reference is None else Triads.open(self.reference)
        answers = [read_answer(path, run) for path in self.designs]
        commands = _commands(self, run, triads, reference, answers)
        page = write_page(run, triads, answers, reference, commands=commands)
        publish_file(self.out, page)
        print(f"{self.out}: {len(answers)} design(s), {len(page) / 1e6:.1f} MB")
        return None


def _commands(
    report: ReportCommand,
    run: Run,
    triads: Triads,
    reference: Triads | None,
    answers: list[Answer],
) -> list[str]:
    """The commands that make the same again, from what each file recorded of itself."""
    lines = [*_simulate(report.triads, triads), _fit(report, run)]
    lines += [
        _design(report, path, answer) for path, answer in zip(report.designs, answers, strict=True)
    ]
    last = ["report", report.run_folder, "--triads", report.triads]
    if report.designs:
        last += ["--designs", *report.designs]
    if reference is not None:
        lines += _simulate(report.reference, reference)
        last += ["--reference", report.reference]
    return [*lines, _line(*last, "--out", report.out)]


def _line(*words: object) -> str:
    return shlex.join(["pspgen", *map(str, words)])


def _simulate(path: Path | None, triads: Triads) -> list[str]:
    """The command that simulated the triads; none where they are data of one's own."""
    names = ("split", "samples", "replicates", "seed", "preset", "formulation", "solver")
    told = triads.data.attrs
    if any(name not in told for name in ("case", *names)):
        return []
    options = [word for name in names for word in (f"--{name}", told[name])]
    return [_line("simulate", told["case"], *options, "--out", path)]


def _fit(report: ReportCommand, run: Run) -> str:
    from .fit import options_of

    return _line("fit", report.triads, *options_of(run), "--out", report.run_folder)


def _design(report: ReportCommand, path: Path, answer: Answer) -> str:
    settings = dict(answer.settings)
    options = [f"--target={settings.pop('target')}"] if "target" in settings else []
    options += [word for name, value in settings.items() for word in (f"--{name}", value)]
    return _line("design", report.run_folder, *options, "--out", path)
