r"""What the paper prints: the points φ* of its tables, and P there by its own simulator.

`comp` is the comparison method's, `prop` PSP-GEN's, `ref` the best point of the paper's reference
grid; P is in per cent. Tables 1 and 3 and Case 2's text agree with their figures; the other
oddities are the paper's own:

* The region of Case 2 is printed nowhere. It is taken to be M^R, whose settings are alike; but P
  is 94.2 % at (9, 1.905) there and 83.8 % at the same point of Table 1, so the two regions differ.
* In Eq. 26 a comma is missing between the second and the third entry of the comparison method's
  φ for M_low.

References:
    PSP-GEN (Zang & Koutsourelakis, 2024), Tables 1–3, §4.2, §4.3, §4.6, Eq. 26, Appendix B
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BETA", "PUBLISHED", "TWO_LATENTS", "WHERE", "PublishedPoint"]


@dataclass(frozen=True)
class PublishedPoint:
    """A printed φ* and the P printed beside it.

    Arguments:
        phi: The setting.
        percent: P in per cent, by the paper's simulator.
    """

    phi: tuple[float, ...]
    percent: float


def _row(left: tuple, middle: tuple, right: tuple) -> dict[str, PublishedPoint]:
    entries = zip("LMR", (left, middle, right), strict=True)
    return {name: PublishedPoint((a, b), percent) for name, (a, b, percent) in entries}


_SMALL_REFERENCE = _row((1.0, 2.0, 81.2), (4.789, 0.2, 30.2), (9.0, 1.905, 83.8))

PUBLISHED: Mapping[str, Mapping[str, Mapping[str, PublishedPoint]]] = {
    "case1": {
        "comp": _row((1.883, 1.367, 65.8), (5.335, 0.395, 27.4), (8.052, 1.406, 63.4)),
        "prop": _row((1.009, 2.0, 81.2), (5.152, 0.2, 28.6), (8.999, 2.0, 79.2)),
        "ref": _SMALL_REFERENCE,
    },
    "case2": {
        "comp": {"R": PublishedPoint((7.425, 1.966), 69.7)},
        "prop": {"R": PublishedPoint((8.999, 1.999), 92.4)},
        "ref": {"R": PublishedPoint((9.0, 1.905), 94.2)},
    },
    "case3": {
        "comp": _row((2.095, 1.999, 67.2), (5.373, 0.775, 19.6), (8.967, 1.11, 62.4)),
        "prop": _row((1.001, 1.999, 81.2), (4.683, 0.2, 30.2), (8.999, 1.999, 79.2)),
        "ref": _SMALL_REFERENCE,
    },
    "case4": {
        "comp": _row((1.347, 1.292, 81.6), (6.803, 0.203, 35.2), (8.502, 1.213, 77.6)),
        "prop": _row((1.013, 1.997, 95.4), (4.996, 0.202, 60.2), (8.987, 1.971, 93.2)),
        "ref": _row((1.0, 2.0, 95.4), (5.211, 0.2, 61.4), (9.0, 2.0, 93.2)),
    },
    "case5": {
        "comp": {
            "low": PublishedPoint(
                (1.046, 8.995, 4.802, 9.0, 5.036, 1.999, 2.0, 2.0, 2.0, 1.936), 18.0
            ),
            "high": PublishedPoint(
                (6.183, 7.512, 4.351, 8.999, 8.999, 2.0, 0.022, 1.999, 0.023, 2.0), 14.2
            ),
        },
        "prop": {
            "low": PublishedPoint((1.0, 1.0, 1.0, 3.092, 1.0, 0.02, 0.02, 0.02, 0.02, 2.0), 19.2),
            "high": PublishedPoint(
                (1.0, 3.055, 2.374, 8.952, 8.999, 0.02, 0.02, 0.024, 0.021, 0.095), 24.7
            ),
        },
    },
}
"""The printed points by case, method and target."""

WHERE = {
    "case1": "Table 1",
    "case2": "§4.3 and Figure 7",
    "case3": "Table 2",
    "case4": "Table 3",
    "case5": "Eq. 26 and Figure 11",
}
"""Where each case's numbers are printed."""

TWO_LATENTS = {"L": (1.0, 2.0), "M": (4.579, 0.2), "R": (8.999, 1.999)}
"""PSP-GEN's φ* with two entries of z1 (§4.2); no P is printed."""

BETA = 2.0
"""The β at which both curves of Appendix B have their minimum."""
