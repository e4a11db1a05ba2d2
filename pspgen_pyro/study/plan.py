r"""What a study makes: its parts, its models, and every size at a scale :math:`s`.

The number of training settings, of reference materials and of fresh simulations is that of the
study times :math:`s`, the number of steps of training that times :math:`\sqrt s`; none falls below
a floor at which the answer would mean nothing. At :math:`s = 1` the sizes are the paper's, except
that the published recipe stops after at most `max_epochs` epochs. In Case 4, whose simulations
cost ten times those of the others, the reference has 60 materials a setting, and φ* get 400 fresh
simulations. Case 5, whose process has ten parameters and so no grid, is compared with the test
split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..io.validation import check_whole, is_number
from .cases import Case, case

__all__ = ["BETAS", "CAPTIONED", "MODELS", "STUDIES", "Sizes", "check_arguments", "sizes_of"]

CAPTIONED = {
    "case1": "Case 1: designs within the training data (§4.2)",
    "case2": "Case 2: a region without training data (§4.3)",
    "case3": "Case 3: a quarter of the training data (§4.4)",
    "case4": "Case 4: images of 128 × 128 pixels (§4.5)",
    "case5": "Case 5: ten process parameters (§4.6)",
    "latents": "What the latents hold (Figures 5 and 6 of §4.2)",
    "beta": "The weight of the divergence (Appendix B)",
}
"""The parts of the study and what they are about."""

STUDIES = (*CAPTIONED, "all")
"""The studies by name; "all" is every part in turn."""

MODELS = {
    "published": "PSP-GEN, published recipe",
    "default": "PSP-GEN, default",
    "comparison_published": "comparison method, published",
    "comparison_tuned": "comparison method, tuned",
    "mixture": "mixture network",
    "forest": "forest weights",
}
"""The models of every case by name, and what tables call them."""

BETAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""The weights of the divergence in Appendix B's figure."""

_SEEDED = 3
_LARGE = 64


@dataclass(frozen=True)
class Sizes:
    """The sizes of one case at one scale.

    Arguments:
        settings: Training settings.
        replicates: Training materials a setting.
        test: Settings of the test split, of four materials each.
        points: Points of the reference grid along each parameter; 0 if there is no grid.
        each: Reference materials a grid point.
        fresh: Fresh simulations at every φ*.
        epochs: The largest number of epochs of the published recipe.
        effort: What the steps of all other training are multiplied by.
        seeds: Seeds of every learned row.
    """

    settings: int
    replicates: int
    test: int
    points: int
    each: int
    fresh: int
    epochs: int
    effort: float
    seeds: int

    def steps(self, full: int, floor: int = 20) -> int:
        """A number of steps at this scale."""
        return max(floor, round(full * self.effort))


def sizes_of(
    name: str, scale: float = 1.0, *, seeds: int | None = None, max_epochs: int = 200
) -> Sizes:
    """The sizes of a case.

    Arguments:
        name: The case.
        scale: The scale, above 0 and at most 1.

    Other arguments:
        seeds: Seeds of every learned row; 3 if None, at 128 × 128 pixels 1.
        max_epochs: The largest number of epochs of the published recipe at full size.

    Example:
        >>> sizes_of("case1").points, sizes_of("case1", 0.02).points
        (20, 5)
    """
    chosen = case(name)
    train, large = chosen.splits["train"], _large(chosen)
    points, total, effort = 0, 60 * 400 if large else 500 * 400, math.sqrt(scale)
    if "reference" in chosen.splits:
        points = max(5, round(20 * scale ** (1 / 3)))
    return Sizes(
        settings=max(40, round(train.points * scale)),
        replicates=train.replicates,
        test=max(20, round(500 * scale)),
        points=points,
        each=max(10 if large else 20, round(total * scale / max(1, points**2))),
        fresh=max(50, round((400 if large else 1000) * scale)),
        epochs=max(3, round(max_epochs * effort)),
        effort=effort,
        seeds=seeds or (1 if large else _SEEDED),
    )


def check_arguments(
    name: str, scale: float, seeds: int | None, models: Sequence[str], epochs: int
) -> None:
    """Says which argument of a study cannot be used.

    Raises:
        InputError: If there is no such study or model, or a number is out of range.
    """
    if name not in STUDIES:
        raise InputError(f"'name' is {name!r}; choose one of {', '.join(STUDIES)}.")
    if not (is_number(scale) and 0 < scale <= 1):
        raise InputError(
            f"'scale' is {scale!r:.40}; give a number above 0 and at most 1, such as 0.05."
        )
    if unknown := [one for one in models if one not in MODELS]:
        raise InputError(f"'models' has {unknown[0]!r}; choose among {', '.join(MODELS)}.")
    check_whole(optional=True, seeds=seeds, max_epochs=epochs)
    if not models:
        raise InputError(f"'models' is empty; choose among {', '.join(MODELS)}.")


def _large(chosen: Case) -> bool:
    return min(chosen.chain.schema.images.shape) > _LARGE
