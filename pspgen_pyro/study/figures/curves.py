"""Appendix B's curves, and what every model promises beside what its designs keep."""

from __future__ import annotations

import numpy as np

from ...plots import CYCLE, PALETTE, panel, panels
from ..plan import MODELS
from ..published import BETA
from ..view import View
from .common import Drawn, letter

__all__ = ["beta_curves", "promises"]


def beta_curves(view: View) -> Drawn:
    """Appendix B's figure: validation losses against β, and beside it the RMSE of P."""
    rows = view.found["beta"]
    beta = [row["beta"] for row in rows]
    figure, axes = panels(1, 3, (11.0, 3.2))
    for name, colour, label in (
        ("total", "blue", "total: −x − m + KL"),
        ("reconstruction", "green", "reconstruction: −x − m"),
    ):
        axes[0, 0].plot(beta, [r[name] for r in rows], "o-", color=PALETTE[colour], label=label)
    axes[0, 1].plot(beta, [row["m"] for row in rows], "o-", color=PALETTE["orange"])
    rmse = [[row["rmse"], row["rmse_error"]] for row in rows]
    value, error = np.array(rmse, dtype=float).T
    axes[0, 2].errorbar(beta, value, error, fmt="o-", color=PALETTE["vermilion"], capsize=3)
    labels = ("validation loss, nats a sample", "−log p(m | z), nats a sample", "RMSE of P")
    for ax, label in zip(axes[0], labels, strict=True):
        ax.axvline(BETA, color=PALETTE["grey"], ls=":", lw=1)
        ax.set(xscale="log", xlabel="beta", ylabel=label)
        ax.set_xticks(beta, [f"{b:g}" for b in beta])
        ax.minorticks_off()
    axes[0, 2].set_ylim(bottom=0)
    axes[0, 0].legend(fontsize="small", frameon=False)
    letter(axes)
    caption = (
        "As the figure of Appendix B. (a) “validation loss, nats a sample” against “beta”, in "
        "total (the divergence counted once) and of the reconstruction alone; the dotted line is "
        "the paper's choice. (b) The properties' part of it, “−log p(m | z), nats a sample”. (c) "
        "“RMSE of P” over the reference, the mean over the targets with its standard error, which "
        "the paper does not show."
    )
    return Drawn("appendixB", figure, caption)


def promises(view: View) -> Drawn:
    """Each model's own P at its φ* beside the fraction of fresh materials."""
    figure, ax = panel(5.4, 4.2)
    ax.plot([0, 1], [0, 1], color=PALETTE["grey"], lw=1)
    kinds = list(dict.fromkeys(row["model"] for row in view.rows if row["own"] is not None))
    for kind, colour in zip(kinds, (*CYCLE, PALETTE["grey"]), strict=False):
        rows = [row for row in view.rows if row["model"] == kind and row["own"] is not None]
        own, truth, error = ([row[n] for row in rows] for n in ("own", "truth", "truth_error"))
        label = MODELS.get(kind, kind)
        ax.errorbar(own, truth, error, fmt="o", ms=4, lw=0.8, color=colour, label=label, alpha=0.8)
    ax.set(xlabel="P by the model at its φ*", ylabel="P by fresh simulations at φ*")
    ax.legend(fontsize="x-small", bbox_to_anchor=(1.0, 1.0), loc="upper left", frameon=False)
    caption = (
        f"What is promised and kept ({view.problem[0]}, {view.problem[1]}). “P by the model at "
        "its φ*” and “P by fresh simulations at φ*” with its standard error, every seed, target "
        "and rule. Below the line a model promises more than it keeps."
    )
    return Drawn(f"promises-{view.problem[1]}", figure, caption)
