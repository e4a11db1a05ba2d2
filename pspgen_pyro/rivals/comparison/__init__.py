"""The comparison method of the study, published and tuned."""

from .convergence import Convergence
from .features import TwoPointScores
from .matching import Matching, ProcessFlow
from .method import ComparisonMethod
from .points import POINTS, DesignPoint
from .regions import RULES, RegionPosterior
from .sparse import SparseGP

__all__ = [
    "POINTS",
    "RULES",
    "ComparisonMethod",
    "Convergence",
    "DesignPoint",
    "Matching",
    "ProcessFlow",
    "RegionPosterior",
    "SparseGP",
    "TwoPointScores",
]
