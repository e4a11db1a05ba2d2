"""The command line: parse, call the library function a notebook would call, print.

Bad input ends with one sentence on standard error and exit code 2; a failure of the machine with
exit code 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg, subcommand

from .. import __version__
from ..errors import (
    InputError,
    MissingDependencyError,
    SimulationError,
    StorageError,
    TrainingError,
    WorkerError,
)
from .campaign import CampaignStart, CampaignStatus, CampaignSuggest, CampaignTell
from .check import Check
from .compare import Compare
from .data import DataInfo, DataVerify
from .demo import Demo
from .design import DesignCommand
from .fit import Fit
from .import_ import Import
from .loop import Loop
from .parsing import parsed
from .posterior import PosteriorCommand
from .report import ReportCommand
from .simulate import Simulate
from .study import StudyCommand

__all__ = ["main"]

_ABOUT = (
    "Inverse materials design under uncertainty: simulate triads, fit the model, ask for a "
    "design, check it against fresh physics. `pspgen --version` prints the version."
)
_FAILURES = (MissingDependencyError, SimulationError, StorageError, TrainingError, WorkerError)


@dataclass(frozen=True)
class Data:
    """Describe a triads store, or check its checksums."""

    command: Annotated[
        Annotated[DataInfo, subcommand("info", prefix_name=False)]
        | Annotated[DataVerify, subcommand("verify", prefix_name=False)],
        arg(name=""),
    ]

    def run(self) -> int | None:
        return self.command.run()


@dataclass(frozen=True)
class CampaignCommand:
    """Design with a laboratory in the loop: ask for experiments, tell their results."""

    command: Annotated[
        Annotated[CampaignStart, subcommand("start", prefix_name=False)]
        | Annotated[CampaignSuggest, subcommand("suggest", prefix_name=False)]
        | Annotated[CampaignTell, subcommand("tell", prefix_name=False)]
        | Annotated[CampaignStatus, subcommand("status", prefix_name=False)],
        arg(name=""),
    ]

    def run(self) -> int | None:
        return self.command.run()


Command = (
    Annotated[Simulate, subcommand("simulate")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Fit, subcommand("fit")]
    | Annotated[DesignCommand, subcommand("design")]
    | Annotated[Loop, subcommand("loop")]
    | Annotated[CampaignCommand, subcommand("campaign")]
    | Annotated[PosteriorCommand, subcommand("posterior")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[ReportCommand, subcommand("report")]
    | Annotated[StudyCommand, subcommand("study")]
    | Annotated[Demo, subcommand("demo")]
)


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    # on matrices of this size a second thread gains little, and on a busy machine it costs tenfold
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args = sys.argv[1:] if args is None else args
    if [*args] == ["--version"]:
        print(f"pspgen {__version__}")
        return 0
    try:
        return parsed(Command, _ABOUT, args).run() or 0
    except InputError as error:
        print(f"pspgen: error: {error}", file=sys.stderr)
        return 2
    except _FAILURES as error:
        print(f"pspgen: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader, such as `head`, has left; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("pspgen: interrupted", file=sys.stderr)
        return 130
