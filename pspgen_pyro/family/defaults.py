r"""The parts of a model that its user does not choose.

If m has two entries, one along each direction of a square image, :math:`z_0 = (u, w)`: a property
code u beside the image's w. Otherwise the parts are App. A's, with a mixture for m.
"""

from __future__ import annotations

from .base import Dimensions, Part
from .convolution import ConnectivityEncoder
from .encoders import ThreeBranchEncoder
from .images import BernoulliImage, CategoricalImage
from .maps import ResidualMap
from .priors import MixturePrior, StandardNormalPrior
from .properties import CodedProperty, MixtureProperty

__all__ = ["default_parts"]


def default_parts(dims: Dimensions, *chosen: Part | None) -> dict[str, Part]:
    """The default of every part, by the name of its module.

    Arguments:
        dims: The sizes of the model.
        chosen: The encoder and the property decoder, or None where the default is taken; a code
            serves only those that both know of it.
    """
    knows = all(hasattr(part, "code") for part in chosen if part is not None)
    uncoded = {
        "process_map": ResidualMap(),
        "prior": StandardNormalPrior(),
        "decoder_x": BernoulliImage() if dims.phases == 2 else CategoricalImage(),
        "decoder_m": MixtureProperty(reads=min(4, dims.latent)),
        "encoder": ThreeBranchEncoder(),
    }
    if not knows or not _has_directions(dims):
        return uncoded
    return uncoded | {
        "prior": MixturePrior(entries=dims.properties),
        "decoder_m": CodedProperty(),
        "encoder": ConnectivityEncoder(),
    }


def _has_directions(dims: Dimensions) -> bool:
    """Whether m belongs to the two directions of a square image, as the property code wants it."""
    return dims.properties == 2 and dims.image[0] == dims.image[1] and dims.latent > 2
