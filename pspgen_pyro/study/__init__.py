"""The five cases of the study as named objects."""

from .cases import CASES, Case, Region, Split, case

__all__ = ["CASES", "Case", "Region", "Split", "case"]
