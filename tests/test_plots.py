"""Tests for the pspgen_pyro.plots module: what is drawn, and that it can be read."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pspgen_pyro import ProcessSpace, plots
from pspgen_pyro.data.triads import Triads
from pspgen_pyro.design import Box, Estimate
from pspgen_pyro.errors import InputError
from pspgen_pyro.schema import Microstructure, Schema
from pspgen_pyro.training.checkpoint import History

BOX = Box((-10, -7), (-9, -5))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def schema(names=("horizontal", "vertical")):
    process = ProcessSpace(("T",), (900.0,), (1200.0,))
    images = Microstructure(shape=(6, 6))
    return Schema(
        process=process, microstructure=images, properties=tuple(f"{n} log" for n in names)
    )


def triads(names=("horizontal", "vertical"), samples=60, percolates=True):
    rng = np.random.default_rng(0)
    data = xr.Dataset({"m": (("sample", "property"), rng.normal(-7, 1, (samples, len(names))))})
    if percolates:
        data["percolates"] = (("sample", "direction"), rng.random((samples, 2)) < 0.5)
    return Triads(schema(names), data)


def surface(values=((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))):
    coords = {
        "phi1": ("phi1", [1.0, 9.0], {"units": "1"}),
        "phi2": ("phi2", [0.2, 1.1, 2.0], {"units": "K/s"}),
    }
    return xr.DataArray(np.array(values), dims=("phi1", "phi2"), coords=coords)


def test_every_microstructure_has_a_panel_and_every_row_its_label():
    x = np.random.default_rng(0).integers(0, 2, (3, 6, 6))
    figure = plots.show_microstructures({"simulated": x, "generated": x[:2]})
    assert len(figure.axes) == 5
    assert {ax.get_ylabel() for ax in figure.axes} == {"simulated", "generated", ""}


def test_void_is_drawn_lighter_than_solid():
    figure = plots.show_microstructures({"one": np.array([[[0, 1], [1, 0]]])})
    solid, void = figure.axes[0].images[0].cmap([0, 1])[:, :3].mean(axis=1)
    assert void > solid + 0.4


def test_a_figure_of_no_microstructures_is_refused():
    with pytest.raises(InputError, match="'rows' holds no image"):
        plots.show_microstructures({})


def test_the_cloud_shows_every_triad_once_and_outlines_every_target():
    figure = plots.property_cloud(triads(), {"L": BOX})
    ax = figure.axes[0]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 60
    assert ax.patches[0].get_xy() == (-10, -7)
    assert "L" in [text.get_text() for text in ax.texts]


def test_the_name_of_a_target_that_reaches_beyond_the_picture_stands_inside_it():
    ax = plots.property_cloud(triads(), {"wide": Box((-99, -99), (99, 99))}).axes[0]
    x, y = ax.texts[0].xy
    assert ax.get_xlim()[0] <= x < ax.get_xlim()[1]
    assert ax.get_ylim()[0] < y <= ax.get_ylim()[1]


def test_three_properties_give_a_panel_for_every_pair():
    assert len(plots.property_cloud(triads("abc")).axes) == 3


def test_one_property_is_a_histogram_of_every_triad_with_the_ends_of_its_target():
    ax = plots.property_cloud(triads(("only",)), {"L": Box((-8,), (np.inf,))}).axes[0]
    assert sum(patch.get_height() for patch in ax.patches) == 60
    assert [line.get_xdata()[0] for line in ax.lines] == [-8]
    assert ax.get_xlabel() == "ln only"


def test_data_that_say_nothing_of_percolation_are_drawn_in_one_colour_with_units():
    some = triads(("a", "b"), percolates=False)
    some.data["m"][0, 1] = np.nan
    ax = plots.property_cloud(some).axes[0]
    assert len(ax.collections) == 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["triads"]
    assert ax.get_xlabel() == "ln a"


def test_of_many_properties_simulations_are_drawn_in_those_that_the_target_bounds():
    inf = np.inf
    box = Box((-inf, -1, -inf, -1), (inf, 1, inf, 1))
    ax = plots.simulated_cloud(np.zeros((5, 4)), box, schema("abcd"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ln b", "ln d")


def test_simulations_of_one_property_are_counted_as_the_target_does():
    ax = plots.simulated_cloud([[0.0], [0.5], [3.0]], Box((-1,), (1,)), schema("a"))
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["inside: 2", "outside: 1"]


def test_the_simulated_cloud_counts_inside_and_outside_as_the_box_does():
    m = [[-9.5, -6.0], [-9.5, -4.0], [-7.0, -6.0]]
    ax = plots.simulated_cloud(m, BOX, schema())
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["inside: 1", "outside: 2"]


def test_surfaces_have_the_first_parameter_along_the_horizontal_axis():
    ax = plots.probability_surface(surface(), phi=(9.0, 2.0))
    assert ax.collections[0].get_array().shape == (3, 2)
    assert ax.get_xlabel() == "phi1 (dimensionless)"
    assert ax.get_ylabel() == "phi2 (K/s)"
    assert ax.lines[0].get_xydata().tolist() == [[9.0, 2.0]]


def test_a_difference_of_zero_is_at_the_middle_of_its_colours():
    ax = plots.probability_difference(surface(((-0.3, 0.0, 0.1), (0.0, 0.0, 0.2))))
    low, high = ax.collections[0].get_clim()
    assert low == -high == pytest.approx(-0.3)


def test_a_surface_over_one_parameter_is_refused():
    with pytest.raises(InputError, match="'surface' has 1 dimension"):
        plots.probability_surface(surface().isel(phi1=0))


def test_slices_mark_the_answer_in_every_panel():
    p = Estimate(*(np.full(5, value) for value in (0.5, 0.0, 0.4, 0.6)))
    line = np.linspace(0, 1, 5), p
    figure = plots.probability_slices(
        {"a": line, "b": line, "c": line}, dict(a=0.1, b=0.2, c=0.3), at=p.at(0)
    )
    assert [ax.lines[1].get_xdata()[0] for ax in figure.axes] == [0.1, 0.2, 0.3]


def test_training_curves_mark_the_epoch_whose_weights_were_kept():
    names = [f"{fold}_{term}" for fold in ("train", "validation") for term in ("x", "m", "kl")]
    history = History({name: [3.0, 2.0, 2.5] for name in [*names, "validation_loss"]}, 1, "done")
    figure = plots.training_curves(history)
    assert [ax.lines[2].get_xdata()[0] for ax in figure.axes] == [2, 2, 2]
    assert {ax.get_ylabel() for ax in figure.axes} == {"nats a sample"}


def test_inside_and_outside_differ_in_shape_and_not_only_in_colour():
    ax = plots.simulated_cloud([[-9.5, -6.0], [-7.0, -6.0]], BOX, schema())
    inside, outside = (points.get_paths()[0].vertices.shape for points in ax.collections)
    assert inside != outside


def test_a_plot_draws_into_the_axes_it_is_given():
    _, ax = plots.panel()
    assert plots.probability_surface(surface(), ax=ax) is ax


def test_the_progress_of_a_campaign_is_p_with_its_interval_over_the_experiments():
    history = pd.DataFrame(
        {"experiments": [0, 8, 16], "P": [0.5, 0.6, 0.7], "low": [0.1, 0.4, 0.6]}
    ).assign(high=0.9)
    ax = plots.campaign_progress(history)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [0, 8, 16]
    assert line.get_ydata().tolist() == [0.5, 0.6, 0.7]
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == 0.1
    assert corners[:, 1].max() == 0.9
    assert ax.get_xlabel() == "experiments"
