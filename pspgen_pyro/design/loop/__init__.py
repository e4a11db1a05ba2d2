"""Design with the simulator in the loop."""

from .closed_loop import ClosedLoop, Round, design_in_loop
from .discrepancy import Correction, Discrepancy
from .refinement import Refinement

__all__ = ["ClosedLoop", "Correction", "Discrepancy", "Refinement", "Round", "design_in_loop"]
