"""Figures 3, 7, 8, 9 and 11: where the targets lie, P over the process space, m at φ*."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ...plots import panels, probability_surface, property_labels, simulated_cloud
from ..view import COMPARED, PROPOSED, View
from .common import Drawn, boxes, cloud, letter, mark
from .materials import scattered_images

__all__ = ["designs", "generalisation", "ten_parameters"]


def designs(view: View, number: int) -> Drawn:
    """The cloud of properties with the targets, and the reference's P with the three φ*."""
    targets = view.targets
    figure, axes = panels(1, 1 + len(targets), (3.5 * (1 + len(targets)), 3.2))
    cloud(axes[0, 0], view.triads("test").data["m"].values, view.schema, targets)
    for ax, name in zip(axes[0, 1:], targets, strict=True):
        _map(ax, view, name)
    axes[0, -1].legend(loc="lower center", ncols=3, fontsize="small", bbox_to_anchor=(0.5, 1.06))
    letter(axes)
    first, second = property_labels(view.schema)[:2]
    caption = (
        f"As Figure {number}. (a) “{first}” and “{second}” of the test materials, with the "
        "targets. The others: the fraction of the reference materials in the target (“fraction in "
        "target”) over “phi1 (dimensionless)” and “phi2 (dimensionless)”, with the best grid "
        f"point φ_ref (star), φ_prop (disc: {view.who(PROPOSED)}) and φ_comp (square: "
        f"{view.who(COMPARED)})."
    )
    return Drawn(f"figure{number}-{view.problem[1]}", figure, caption)


def generalisation(view: View) -> Drawn:
    """Figure 7: the target without data, P over the process space, and m at both φ*."""
    (name, target), schema = next(iter(view.targets.items())), view.schema
    figure, axes = panels(1, 4, (13.6, 3.5))
    cloud(axes[0, 0], view.triads("train").data["m"].values, schema, {name: target})
    _map(axes[0, 1], view, name)
    axes[0, 1].legend(fontsize="small", loc="lower left")
    pairs = (("φ_comp", COMPARED), ("φ_prop", PROPOSED))
    for ax, (words, chosen) in zip(axes[0, 2:], pairs, strict=True):
        _fresh_cloud(ax, view, words, chosen, name)
    letter(axes)
    first, second = property_labels(schema)[:2]
    caption = (
        f"As Figure 7. (a) “{first}” and “{second}” of the training materials; none lies in the "
        "target or near it. (b) The fraction of the reference materials in the target (“fraction "
        "in target”) over “phi1 (dimensionless)” and “phi2 (dimensionless)”. (c) Fresh materials "
        f"at φ_comp ({view.who(COMPARED)}), (d) at φ_prop ({view.who(PROPOSED)})."
    )
    return Drawn("figure7", figure, caption)


def ten_parameters(view: View) -> Drawn:
    """Figure 11: images where their properties lie, the cloud, and m at all four φ*."""
    schema, targets = view.schema, view.targets
    figure, axes = panels(2, 3, (10.6, 7.0))
    data = view.triads("test").data
    scattered_images(axes[0, 0], data["x"].values, data["m"].values, schema)
    cloud(axes[1, 0], data["m"].values, schema, targets)
    for column, name in enumerate(targets, start=1):
        _fresh_cloud(axes[0, column], view, f"φ_comp, {name}", COMPARED, name)
        _fresh_cloud(axes[1, column], view, f"φ_prop, {name}", PROPOSED, name)
    letter(axes.T)
    first, second = property_labels(schema)[:2]
    caption = (
        f"As Figure 11. Test materials where their “{first}” and “{second}” lie: (a) images, "
        f"light is void, (b) dots, with both targets. (c) and (e) Fresh materials at φ_comp "
        f"({view.who(COMPARED)}), (d) and (f) at φ_prop ({view.who(PROPOSED)})."
    )
    return Drawn("figure11", figure, caption)


def _map(ax: Axes, view: View, target: str) -> None:
    surface = view.surface(target)
    probability_surface(surface, ax=ax, vmax=max(0.05, float(surface.max())))
    mark(ax, view, target)
    ax.set_title(f"target {target}")


def _fresh_cloud(
    ax: Axes, view: View, words: str, chosen: Sequence[tuple[str, str]], target: str
) -> None:
    """Fresh materials at a φ*, and how many lie inside."""
    found = view.answer(chosen, target)
    if found is None:
        boxes(ax, {target: view.targets[target]})
        ax.annotate("not run", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    m = view.fresh(found[1]["phi"])
    simulated_cloud(m, view.targets[target], view.schema, ax=ax)
    for dots in ax.collections:
        dots.set(rasterized=True, sizes=[7])
    ax.get_legend().remove()  # type: ignore[union-attr]
    ax.autoscale()
    ax.set_title(f"{words}: {100 * found[1]['truth']:.1f} % of {len(m)} inside")
