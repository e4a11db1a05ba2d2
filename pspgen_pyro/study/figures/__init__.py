"""The figures of the study: one function a figure of the paper, and how they are written."""

from .choice import drawn
from .common import Drawn, write

__all__ = ["Drawn", "drawn", "write"]
