"""Whether the Gaussian processes are trained well enough to be compared with anything.

Two conditions: the objective has stopped, and the 90 % intervals of rows that were held out hold
about 90 % of them. Short of the first, a comparison judges the optimiser; short of the second,
the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Convergence"]

_STILL, _LOW, _HIGH = 1e-3, 0.87, 0.93


@dataclass(frozen=True)
class Convergence:
    """The gate between training and comparison.

    Arguments:
        change: The larger relative change of the two objectives over the last tenth of the steps.
        scores: The share of held-out scores in their central 90 % interval given φ.
        properties: The share of held-out properties in theirs given the scores; NaN if none is
            known.

    Example:
        >>> print(Convergence(change=2e-4, scores=0.91, properties=0.8))
        not converged: 80.0 % of held-out properties in their 90 % interval (87 to 93 needed)
    """

    change: float
    scores: float
    properties: float

    @property
    def converged(self) -> bool:
        """Whether both conditions hold."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """What does not hold, in words."""
        found = []
        if not self.change < _STILL:
            found.append(
                f"the objective changed by {self.change:.1e} over the last tenth of the steps "
                f"({_STILL:g} allowed)"
            )
        for name, share in (("scores", self.scores), ("properties", self.properties)):
            # written so that NaN fails
            if not _LOW <= share <= _HIGH:
                came = "none" if math.isnan(share) else f"{100 * share:.1f} %"
                found.append(f"{came} of held-out {name} in their 90 % interval (87 to 93 needed)")
        return tuple(found)

    def __str__(self) -> str:
        return "not converged: " + "; ".join(self.failures) if self.failures else "converged"
