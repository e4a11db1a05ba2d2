r"""The parts of a model that its user does not choose.

If m has two entries, one along each direction of a square image, :math:`z_0 = (u, w)`: the
properties u beside the image's w. Otherwise the parts are App. A's, with a mixture for m.
"""

from __future__ import annotations

from typing import Any

from .base import Dimensions, Part
from .convolution import ConnectivityEncoder
from .encoders import ThreeBranchEncoder
from .images import BernoulliImage, CategoricalImage
from .maps import ResidualMap
from .priors import MixturePrior, StandardNormalPrior
from .properties import CodedProperty, MixtureProperty, PropertyItself

__all__ = ["default_parts"]


def default_parts(dims: Dimensions, encoder: Any, property_decoder: Any) -> dict[str, Part]:
    """The default of every part, by the name of its module.

    Arguments:
        dims: The sizes of the model.
        encoder: The encoder that was chosen, or None.
        property_decoder: The property decoder that was chosen, or None. The other of the two has
            a code only if this one has, and they agree on who reads it.
    """
    chosen = [part for part in (encoder, property_decoder) if part is not None]
    knows = all(hasattr(part, "code") for part in chosen)
    uncoded = {
        "process_map": ResidualMap(),
        "prior": StandardNormalPrior(),
        "decoder_x": BernoulliImage() if dims.phases == 2 else CategoricalImage(),
        "decoder_m": MixtureProperty(reads=min(4, dims.latent)),
        "encoder": ThreeBranchEncoder(),
    }
    if not knows or not _has_directions(dims):
        return uncoded
    # whether the property decoder reads the code; else the encoder does
    outside = isinstance(property_decoder, CodedProperty)
    code = property_decoder.code if outside else 1
    if encoder is not None:
        outside, code = encoder.reading is None, encoder.code
    entries = dims.properties * (code if outside else 1)
    return uncoded | {
        "prior": MixturePrior(entries=min(max(1, entries), dims.latent)),
        "decoder_m": CodedProperty(code) if outside else PropertyItself(),
        "encoder": ConnectivityEncoder(code, reading=None if outside else CodedProperty(code)),
    }


def _has_directions(dims: Dimensions) -> bool:
    """Whether m belongs to the two directions of a square image, as the property code wants it."""
    return dims.properties == 2 and dims.image[0] == dims.image[1] and dims.latent > 2
