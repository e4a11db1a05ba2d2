r"""Coverage of the whole posterior at once: tests of accuracy with random points (TARP).

Take a reference point :math:`r` that knows the datum of a trial but not its truth. The ball around
:math:`r` through the truth holds a share :math:`f` of the posterior draws, and if the draws come
from the posterior, :math:`f` is uniform: the balls with credibility :math:`\alpha` hold the truth
with probability :math:`\alpha`. Distances are taken in :math:`\varphi`, in units of its prior
standard deviation, alone or with :math:`z_0` beside it.

References:
    Sampling-Based Accuracy Testing of Posterior Estimators for General Inference (Lemos, Coogan,
    Hezaveh & Perreault-Levasseur, 2023)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..errors import InputError
from ..plots import PALETTE, panel
from .ranks import randomised_ranks
from .trials import Trials
from .uniformity import Uniformity, simultaneous_band, uniformity

__all__ = ["Coverage", "plot_coverage", "tarp"]

Reference = Literal["companion", "prior"]


@dataclass(frozen=True)
class Coverage:
    r"""Expected coverage.

    Arguments:
        of: What the distance was taken in, "phi" or "phi and z0".
        reference: Where the reference points came from.
        share: The shares :math:`f`, with shape `(S)`.
        uniformity: How uniform they are.
    """

    of: str
    reference: Reference
    share: NDArray[np.float64]
    uniformity: Uniformity

    def at(self, credibility: float) -> float:
        """The fraction of the truths inside the balls of this credibility."""
        return float((self.share <= credibility).mean())

    def verdict(self, level: float = 0.01) -> str:
        """ "uniform", "overconfident", or "timid or elsewhere", at a false alarm rate of `level`.

        Draws that are too narrow crowd into the ball through the truth, wherever its centre is;
        draws that are too wide, or in the wrong place, leave it.
        """
        found = self.uniformity
        if found.p_value >= level:
            return "uniform"
        lean = found.spread if abs(found.spread) >= abs(found.shift) else found.shift
        return "overconfident" if lean > 0 else "timid or elsewhere"


def tarp(
    trials: Trials,
    *,
    of: Literal["phi", "phi and z0"] = "phi",
    reference: Reference = "companion",
    seed: int = 0,
) -> Coverage:
    """The coverage of posterior draws over trials.

    Arguments:
        trials: Truths and draws.

    Other arguments:
        of: What to measure distances in.
        reference: "companion" takes another simulation with the same datum, and so notices draws
            that ignore the datum; "prior" takes a draw from the prior, as in the source.
        seed: Seeds the reference points.

    Raises:
        InputError: If `of` or `reference` is something else.
    """
    if of not in ("phi", "phi and z0") or reference not in ("companion", "prior"):
        raise InputError(
            f"'of' is {of!r} and 'reference' {reference!r}; choose 'phi' or 'phi and z0', and "
            "'companion' or 'prior'."
        )
    points = trials.companions(seed) if reference == "companion" else trials.strangers(seed)
    centre = _coordinates(trials, *points, of)
    truth = _coordinates(trials, trials.phi, trials.z0, of)
    drawn = _coordinates(trials, trials.drawn_phi, trials.drawn_z0, of)
    share = randomised_ranks(
        np.linalg.norm(truth - centre, axis=-1), np.linalg.norm(drawn - centre, axis=-1), seed=seed
    )
    return Coverage(of, reference, share, uniformity(share))


def _coordinates(
    trials: Trials, phi: NDArray[np.float64], z0: NDArray[np.float64], of: str
) -> NDArray[np.float64]:
    process = trials.model.process
    scaled = phi * 12**0.5 / process.feasible.width
    return scaled if of == "phi" else np.concatenate([scaled, z0], axis=-1)


def plot_coverage(coverage: Coverage, ax: Axes | None = None) -> Axes:
    """Expected coverage over credibility, with the simultaneous 99 % band.

    Arguments:
        coverage: The coverage.
        ax: The axes; new ones if None.
    """
    ax = ax or panel(3.6, 3.4)[1]
    ordered = np.sort(coverage.share)
    n = len(ordered)
    share = np.arange(1, n + 1) / n
    points, lower, upper = simultaneous_band(n)
    ax.fill_between(points, lower, upper, color=PALETTE["grey"], alpha=0.3, lw=0)
    ax.plot([0, 1], [0, 1], color=PALETTE["grey"], lw=1)
    ax.step(ordered, share, color=PALETTE["blue" if coverage.uniformity.inside else "vermilion"])
    ax.set(
        xlabel="credibility",
        ylabel="share of the truths inside",
        title=f"{coverage.of}: p = {coverage.uniformity.p_value:.2g}",
    )
    ax.title.set_fontsize("medium")
    return ax
