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
encoder                 :math:`x, m, \varphi \mapsto q(z_0)`  `ThreeBranchEncoder()`; for pairs
                                                              without m `TwoBranchEncoder()`
======================  ====================================  ================================

Process parameters and properties arrive standardised; `PSPGen` does that with numbers it carries
itself.
"""

from .base import Dimensions, Part, part_from_json, part_to_json
from .convolution import ConnectivityEncoder
from .encoders import ThreeBranchEncoder, TwoBranchEncoder
from .images import BernoulliImage, CategoricalImage
from .maps import ResidualMap
from .priors import FlowPrior, GaussianPrior, MixturePrior, StandardNormalPrior
from .properties import CodedProperty, MixtureProperty, PropertyItself
from .pspgen import PSPGen
from .stationary import ConvolutionalEncoder, ConvolutionalImage, StationaryPrior

__all__ = [
    "BernoulliImage",
    "CategoricalImage",
    "CodedProperty",
    "ConnectivityEncoder",
    "ConvolutionalEncoder",
    "ConvolutionalImage",
    "Dimensions",
    "FlowPrior",
    "GaussianPrior",
    "MixturePrior",
    "MixtureProperty",
    "Part",
    "PSPGen",
    "PropertyItself",
    "ResidualMap",
    "StationaryPrior",
    "StandardNormalPrior",
    "ThreeBranchEncoder",
    "TwoBranchEncoder",
    "part_from_json",
    "part_to_json",
]
