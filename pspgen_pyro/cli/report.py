"""`pspgen report`: one page that shows what the model claims beside what the physics says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    import xarray as xr

    from ..report import Answer
    from ..runs import Run

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
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
        from ..data import open_triads
        from ..report import read_answer, write_page
        from ..runs import load_run

        run = load_run(self.run_folder)
        triads = open_triads(self.triads)
        reference = None if self.reference is None else open_triads(self.reference)
        answers = [read_answer(path, run) for path in self.designs]
        commands = _commands(self, run, triads, reference, answers)
        page = write_page(run, triads, answers, reference, commands=commands)
        publish_file(self.out, page)
        print(f"{self.out}: {len(answers)} design(s), {len(page) / 1e6:.1f} MB")
        return None


def _commands(
    report: Report,
    run: Run,
    triads: xr.Dataset,
    reference: xr.Dataset | None,
    answers: list[Answer],
) -> list[str]:
    """The commands that make the same again, from what each file recorded of itself."""
    lines = [_simulate(report.triads, triads), _fit(report, run)]
    lines += [
        _design(report, path, answer) for path, answer in zip(report.designs, answers, strict=True)
    ]
    last = ["report", report.run_folder, "--triads", report.triads]
    if report.designs:
        last += ["--designs", *report.designs]
    if reference is not None:
        lines.append(_simulate(report.reference, reference))
        last += ["--reference", report.reference]
    return [*lines, _line(*last, "--out", report.out)]


def _line(*words: object) -> str:
    return shlex.join(["pspgen", *map(str, words)])


def _simulate(path: Path | None, triads: xr.Dataset) -> str:
    names = ("split", "samples", "replicates", "seed", "preset", "formulation", "solver")
    options = [word for name in names for word in (f"--{name}", triads.attrs[name])]
    return _line("simulate", triads.attrs["case"], *options, "--out", path)


def _fit(report: Report, run: Run) -> str:
    from .fit import Fit

    settings, options = run.training.get("settings", {}), []
    for entry in fields(Fit):
        value, flag = settings.get(entry.name), f"--{entry.name.replace('_', '-')}"
        if value is None or entry.name in ("triads", "out", "resume"):
            continue
        if not isinstance(value, bool):
            options += [flag, value]
        elif value is not entry.default:
            options.append(flag if value else f"--no-{flag[2:]}")
    return _line("fit", report.triads, *options, "--out", report.run_folder)


def _design(report: Report, path: Path, answer: Answer) -> str:
    settings = dict(answer.settings)
    options = [f"--target={settings.pop('target')}"] if "target" in settings else []
    options += [word for name, value in settings.items() for word in (f"--{name}", value)]
    return _line("design", report.run_folder, *options, "--out", path)
