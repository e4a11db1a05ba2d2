r"""Honest rivals: the models an engineer would use instead, behind one interface.

Every `Predictor` answers for :math:`p(m \mid \varphi)`: PSP-GEN through `PSPGenPredictor`,
several of it through `EnsemblePredictor`, the others after `Rival.fit` on the same data and the
same symmetries. `RIVALS` makes each of them with its default hyper-parameters by a short name.
"""

from collections.abc import Callable

from .base import Predictor, PSPGenPredictor, Rival
from .comparison import ComparisonMethod
from .ensemble import EnsemblePredictor
from .flow import SplineFlow
from .forest import ForestWeights
from .gaussian import HeteroscedasticGaussian
from .logistic import LogisticIndicator
from .mixture import MixtureDensityNetwork
from .pseudo import PseudoLabels
from .structure import StructureSizes

__all__ = [
    "RIVALS",
    "ComparisonMethod",
    "EnsemblePredictor",
    "ForestWeights",
    "HeteroscedasticGaussian",
    "LogisticIndicator",
    "MixtureDensityNetwork",
    "PSPGenPredictor",
    "Predictor",
    "PseudoLabels",
    "Rival",
    "SplineFlow",
    "StructureSizes",
]

RIVALS: dict[str, Callable[[], Rival]] = {
    "mdn": MixtureDensityNetwork,
    "flow": SplineFlow,
    "forest": ForestWeights,
    "gaussian": HeteroscedasticGaussian,
    "logistic": LogisticIndicator,
    "pseudo": PseudoLabels,
    "comparison": ComparisonMethod.tuned,
    "comparison_published": ComparisonMethod.published,
}
"""The rivals by the names that the command line knows."""
