"""`pspgen demo`: the whole chain on Case 1, as the commands a user would type."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

__all__ = ["Demo"]


@dataclass(frozen=True)
class Demo:
    """Simulate Case 1, learn it, design for its three targets, check each against fresh physics,
    and report.

    Example: pspgen demo --out demo
    """

    out: Path
    """The folder to write; it must not exist."""
    samples: int = 10_000
    """Training triads."""
    reference: int = 25
    """Materials simulated at each of the 20 x 20 settings that the surfaces are compared with; 0
    for none."""
    epochs: int = 15
    """Passes through the training data."""
    verify: int = 400
    """Fresh materials at each answer."""
    workers: int = 2
    """Simulating processes."""
    seed: int = 1
    """Seeds everything."""

    def run(self) -> int | None:
        from ..io.publish import refuse_existing
        from ..io.validation import check_seed, check_whole
        from ..study import case

        refuse_existing(self.out)
        counts = {name: vars(self)[name] for name in ("samples", "epochs", "workers")}
        check_whole(**counts)
        check_whole(least=0, reference=self.reference, verify=self.verify)
        check_seed(self.seed)
        if self.reference == 1:
            raise InputError(
                "'reference' is 1 material at a setting, and the noise of a fraction can be taken "
                "off from 2 on; give 2 or more, or 0 for none."
            )
        self.out.mkdir()
        start = time.perf_counter()
        triads, run, reference = (
            str(self.out / name) for name in ("triads.zarr", "run", "reference.zarr")
        )
        common = ["--seed", str(self.seed), "--workers", str(self.workers)]
        commands = [
            ["simulate", "case1", "--samples", str(self.samples), *common, "--out", triads],
            ["fit", triads, "--epochs", str(self.epochs), "--seed", str(self.seed), "--out", run],
        ]
        answers = []
        for name, (lower, upper) in case("case1").targets.items():
            target = ",".join(f"{a:g}:{b:g}" for a, b in zip(lower, upper, strict=True))
            answers.append(str(self.out / f"design_{name}.json"))
            options = [
                "--verify",
                str(self.verify),
                "--seed",
                str(self.seed),
                "--out",
                answers[-1],
            ]
            commands.append(["design", run, f"--target={target}", *options])
        report = ["report", run, "--triads", triads, "--designs", *answers]
        if self.reference:
            split = ["--split", "reference", "--replicates", str(self.reference)]
            commands.append(["simulate", "case1", *split, *common, "--out", reference])
            report += ["--reference", reference]
        commands.append([*report, "--out", str(self.out / "report.html")])
        for command in commands:
            if code := _echo_and_run(command):
                with suppress(OSError):  # a folder that nothing was written to does not stay
                    self.out.rmdir()
                return code
        print(
            f"\nThe whole chain took {time.perf_counter() - start:.0f} s. Open "
            f"{self.out / 'report.html'}"
        )
        return None


def _echo_and_run(command: list[str]) -> int:
    from . import main

    print(f"\n$ pspgen {' '.join(command)}", flush=True)
    return main(command)
