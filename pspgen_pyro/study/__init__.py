"""The five cases of the study as named objects, and the study itself, from data to page."""

from typing import TYPE_CHECKING, Any

from .cases import CASES, Case, Region, Split, case

if TYPE_CHECKING:
    from .study import run_study

__all__ = ["CASES", "Case", "Region", "Split", "case", "run_study"]


def __getattr__(name: str) -> Any:
    # a process that only simulates loads no torch
    if name == "run_study":
        from .study import run_study

        return run_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
