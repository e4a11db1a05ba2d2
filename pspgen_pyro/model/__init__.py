r"""The parts of the model and the guide, as small interchangeable objects.

A part is a frozen dataclass that holds its own hyper-parameters and builds a torch module once the
sizes are known. A module returns a *distribution*, never a bare tensor, so that another part with
the same interface can take its place:

======================  ====================================  ================================
part                    module maps                           the paper's choice
======================  ====================================  ================================
process map             :math:`\varphi \mapsto z_1`           `ResidualMap()`
microstructure decoder  :math:`z_0, z_1 \mapsto p(x)`         `BernoulliImage()` (footnote 1:
                                                              `CategoricalImage()`)
property decoder        :math:`z_0, z_1 \mapsto p(m)`         `MixtureProperty(1, reads=None)`
prior                   :math:`\varphi \mapsto p(z_0)`        `StandardNormalPrior()`
encoder                 :math:`x, m, \varphi \mapsto q(z_0)`  `ThreeBranchEncoder()`
======================  ====================================  ================================

Process parameters and properties arrive standardised; `PSPGen` does that with numbers it carries
itself.
"""

from .base import Dimensions, ImageDecoder, Part, Prior, PropertyDecoder
from .encoders import Encoder, ReadingEncoder, ThreeBranchEncoder
from .ensemble import Ensemble
from .images import BernoulliImage, CategoricalImage, GreyImage
from .maps import ResidualMap
from .priors import MixturePrior, StandardNormalPrior
from .properties import MixtureProperty, PropertyItself
from .pspgen import PSPGen
from .reader import BottleneckReader

__all__ = [
    "BernoulliImage",
    "BottleneckReader",
    "CategoricalImage",
    "Dimensions",
    "Encoder",
    "Ensemble",
    "GreyImage",
    "ImageDecoder",
    "MixturePrior",
    "MixtureProperty",
    "PSPGen",
    "Part",
    "Prior",
    "PropertyDecoder",
    "PropertyItself",
    "ReadingEncoder",
    "ResidualMap",
    "StandardNormalPrior",
    "ThreeBranchEncoder",
]
