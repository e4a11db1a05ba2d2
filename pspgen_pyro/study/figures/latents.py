"""Figures 5 and 6: what z1 keeps of φ, and what z0 of a material says of its properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...diagnosis.latents import plot_latent_properties
from ...plots import CYCLE, panels, parameter_labels, property_labels
from ...runs import load_run
from ..plan import MODELS
from ..view import View
from .common import Drawn, boxes, cloud, letter
from .materials import scattered_images

__all__ = ["latent_map", "latent_posteriors"]


def latent_map(view: View) -> Drawn:
    """Figure 5: φ, z1 and m of the test settings in one colour, images at their m, m at φ*."""
    name = view.found["latents"]["model"]
    run = load_run(view.folder.path / "models" / view.found["latents"]["run"])
    phi, m, x = _test(view)
    with torch.no_grad():
        z1 = run.members[0].latent_of_process(run.members[0].tensor(phi)).double().numpy()
    colour = m[:, 0] - m[:, 1]
    stars = {t: _row(view, name, t)["phi"] for t in view.targets}
    figure, axes = panels(2, 3, (11.4, 6.8))
    style: dict[str, Any] = {"s": 7, "lw": 0, "c": colour, "rasterized": True}
    axes[0, 0].scatter(*phi.T, **style)
    axes[0, 1].scatter(*z1.T, **style)
    with torch.no_grad():
        inputs = run.members[0].tensor(np.array(list(stars.values())))
        there = run.members[0].latent_of_process(inputs).double().numpy()
    for ax, places in ((axes[0, 0], stars.values()), (axes[0, 1], there)):
        _stars(ax, list(stars), list(places))
    dots = cloud(axes[0, 2], m, view.schema, view.targets, colour)
    scattered_images(axes[1, 0], x, m, view.schema)
    for (target, place), ink in zip(stars.items(), CYCLE, strict=False):
        fresh = view.fresh(place)[:100]
        axes[1, 1].scatter(*fresh.T, s=9, lw=0, alpha=0.8, c=ink, label=f"at φ* for {target}")
    boxes(axes[1, 1], view.targets)
    axes[1, 2].remove()
    _label(axes, view)
    figure.colorbar(dots, ax=axes[0, 2], label="m horizontal − m vertical")
    axes[1, 1].legend(fontsize="small", bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
    letter([*axes[0], axes[1, 0], axes[1, 1]])
    first, second = property_labels(view.schema)[:2]
    caption = (
        "As Figure 5, with two entries of z1. One material of each test setting, coloured by its "
        "“m horizontal − m vertical”: (a) “phi1 (dimensionless)” and “phi2 (dimensionless)”, (b) "
        f"its latents “z1, entry 1” and “z1, entry 2”, (c) “{first}” and “{second}”; stars are "
        f"the φ* of the three targets by {MODELS[name]}. (d) The images where their m lie. (e) "
        "Fresh materials at φ*."
    )
    return Drawn("figure5", figure, caption)


def latent_posteriors(view: View) -> Drawn:
    """Figure 6: three settings, and m by p(m | z0) for z0 given the image of one material each."""
    import xarray as xr

    told = view.folder.read(view.found["latents"]["posterior"])
    labels = property_labels(view.schema)
    dims = ("material", "draw", "property")
    found = xr.Dataset(
        {name: (dims, np.array(told[name])) for name in ("m", "m_prior")}
        | {"m_true": (("material", "property"), np.array(told["m_true"]))},
        coords={"property": (["property"], list(view.schema.property_names), {"labels": labels})},
    )
    count = len(told["phi"])
    figure, axes = panels(1, 1 + count, (3.4 * (1 + count), 3.2))
    ax, process = axes[0, 0], view.process
    _stars(ax, [str(i + 1) for i in range(count)], told["phi"])
    names = parameter_labels(process)
    ends = zip(process.lower, process.upper, strict=True)
    ax.set(**dict(zip(("xlim", "ylim"), ends, strict=True)), xlabel=names[0], ylabel=names[1])
    for i in range(count):
        plot_latent_properties(found, i, axes[0, 1 + i])
        axes[0, 1 + i].set_title(f"material {i + 1}")
    letter(axes)
    caption = (
        "As Figure 6. (a) Three settings, “phi1 (dimensionless)” and “phi2 (dimensionless)”. The "
        f"others: “{labels[0]}” and “{labels[1]}” of one material each (star), 100 draws of m "
        "with z0 from p(z0 | x, φ) by Hamiltonian Monte Carlo (blue), and with z0 from its prior "
        "(grey)."
    )
    return Drawn("figure6", figure, caption)


def _test(view: View) -> tuple[NDArray[Any], ...]:
    """One material of each test setting: φ, m and x."""
    data = view.triads("test").data
    _, first = np.unique(data["phi_index"].values, return_index=True)
    return tuple(data[name].values[first] for name in ("phi", "m", "x"))


def _row(view: View, model: str, target: str) -> Any:
    return next(r for r in view.rows if r["model"] == model and r["target"] == target)


def _stars(ax: Any, names: list[str], places: Any) -> None:
    for name, place, ink in zip(names, places, CYCLE, strict=False):
        ax.plot(*place, "*", ms=14, mec="k", color=ink, clip_on=False, zorder=5)
        ax.annotate(name, place, (7, 5), textcoords="offset points", weight="bold")


def _label(axes: Any, view: View) -> None:
    names, labels = parameter_labels(view.process), property_labels(view.schema)
    axes[0, 0].set(xlabel=names[0], ylabel=names[1])
    axes[0, 1].set(xlabel="z1, entry 1", ylabel="z1, entry 2")
    axes[1, 1].set(xlabel=labels[0], ylabel=labels[1])
