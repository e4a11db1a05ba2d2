"""Why a design's P is uncertain, and what would help most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .estimates import NINETY, EnsembleEstimate
from .support import Support

if TYPE_CHECKING:
    from ..process import ProcessSpace
    from .ascent import Design

__all__ = ["reasons"]

_WIDE, _FAR, _FEW, _REPEATED = 0.05, 0.9, 100, 20


def reasons(
    design: Design,
    process: ProcessSpace,
    support: Support | None = None,
    *,
    images: bool = False,
) -> list[str]:
    """Sentences without a full stop, the advice last; none if the interval of P reaches less than
    0.05 to either side.

    Arguments:
        design: The design of a region.
        process: The process space.
        support: What the model learned from; None if it was not kept.

    Other arguments:
        images: Whether the materials have images, which teach without labels too.
    """
    found = design.probability
    if not isinstance(found, EnsembleEstimate):
        return []
    if found.low is None or found.high is None:
        return [
            "one network made the model, so nobody knows how far its P is off; train a default "
            "model, or an ensemble"
        ]
    reach, p = float(found.high - found.low) / 2, float(found.value)
    if reach < _WIDE:
        return []
    low, high = np.quantile(found.members, [0.05, 0.95])
    said = [f"networks that learned from halves of the settings say {low:.2f} to {high:.2f} here"]
    if found.promised is not None and float(found.promised) - p > _WIDE / 2:
        said.append(
            f"the setting was chosen for its P: of the {float(found.promised):.2f} that the "
            f"networks promise, what the search itself puts on is taken off"
        )
    if support is not None:
        said += _of_data(design, process, support)
    # so many simulations have a 90 % interval of ± 0.05 by themselves
    count = math.ceil(max(p * (1 - p), 0.05) * (NINETY / _WIDE) ** 2 / 10) * 10
    said.append(f"what helps most: {count} simulations or tests at φ* tell P to ± {_WIDE:g}")
    return said if support is None else [*said, _more(reach, support, images)]


def _of_data(design: Design, process: ProcessSpace, support: Support) -> list[str]:
    said, seen = [], min(support.count(target) for target in design.targets)
    if seen < _FEW:
        said.append(
            f"few materials to learn from: {seen} of {len(support.m)} lie in or near the target; "
            "more of them help everywhere"
        )
    far = support.remoteness(design.phi, process)
    if far is not None and far > _FAR:
        said.append(
            f"φ* is far from the data: {100 * far:.0f} % of the training settings are nearer to "
            "their next one"
        )
    if support.phi is not None:
        each = np.unique(support.phi, axis=0, return_counts=True)[1]
        if (several := int((each > 1).sum())) < _REPEATED:
            said.append(
                f"few replicates: {several} of {len(each)} settings were made more than once, so "
                "little tells the noise of m from an error of its law; three materials at each "
                f"of {_REPEATED} settings would"
            )
    return said


def _more(reach: float, support: Support, images: bool) -> str:
    """How many labels would narrow the interval everywhere, if its width falls as the root of
    their number grows."""
    known = len(support.m)
    more = known * ((reach / _WIDE) ** 2 - 1)
    digits = 10 ** max(0, math.floor(math.log10(max(more, 1))) - 1)
    more = math.ceil(more / digits) * digits
    said = (
        f"at every setting: some {more} labelled materials beyond the {known} of the training, if "
        "the interval narrows as one over the root of their number"
    )
    return said + (
        "; unlabelled images with their settings do a part of it where images show the property"
        if images
        else ""
    )
