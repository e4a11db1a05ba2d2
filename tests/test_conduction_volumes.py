"""Conduction and percolation in three dimensions: layers, extruded images, bounds, contacts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import (
    _iterative,
    conductivity,
    conductivity_tensor,
    diffusivity,
    percolation,
)
from pspgen_pyro.properties.edges import mirrored

quick = settings(deadline=None, max_examples=30)
volumes = arrays(np.uint8, (4, 3, 5), elements=st.integers(0, 1))


@pytest.mark.parametrize("direction", [0, 1, 2])
@pytest.mark.parametrize("values", [(1.0, 10.0, 3.0), (1.0, 1e6, 1e3), (2.0, 0.0, 1.0)])
def test_layers_are_exact_in_each_direction(direction, values):
    layers = np.array(values)[[0, 2, 2, 1, 0, 1, 2]]
    labels = np.array([0, 2, 2, 1, 0, 1, 2])
    shape = [5, 4, 6]
    shape[2 - direction] = 7
    x = np.moveaxis(
        np.broadcast_to(labels, (*np.delete(shape, 2 - direction), 7)), -1, 2 - direction
    )
    expected = np.full(3, layers.mean())
    expected[direction] = 0 if 0 in values else 1 / (1 / layers).mean()
    assert conductivity(x[None], values)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("values", [(1.0, 10.0), (0.0, 1.0), (100.0, 1.0)])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_an_extruded_image_conducts_as_the_image(values, axis):
    image = np.random.default_rng(0).integers(0, 2, (1, 6, 7))
    across = [d for d in range(3) if d != 3 - axis]
    found = conductivity_tensor(np.repeat(np.expand_dims(image, axis), 4, axis), values)[0]
    expected = conductivity_tensor(image, values)[0]
    assert found[np.ix_(across, across)] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found[3 - axis, 3 - axis] == pytest.approx(np.array(values)[image].mean(), rel=1e-9)


@quick
@given(
    arrays(np.uint8, (5, 6), elements=st.integers(0, 2)),
    st.permutations([0.0, 1.0, 0.03, 50.0]),
)
def test_conjugate_gradients_and_factorisation_give_one_tensor(image, values):
    direct = conductivity_tensor(image[None], values[:3])[0]
    iterative = _iterative.tensor(np.array(values)[image])
    assert iterative == pytest.approx(direct, rel=1e-9, abs=1e-11)


@quick
@given(volumes, st.floats(1.1, 100.0))
def test_the_wiener_bounds_hold_in_three_dimensions(volume, contrast):
    kappa = np.where(volume, contrast, 1.0)
    found = np.linalg.eigvalsh(conductivity_tensor(volume[None], (1.0, contrast))[0])
    assert found[0] >= 1 / (1 / kappa).mean() * (1 - 1e-9)
    assert found[2] <= kappa.mean() * (1 + 1e-9)


@quick
@given(arrays(np.uint8, 20, elements=st.integers(0, 1)), st.floats(1.1, 100.0))
def test_the_hashin_shtrikman_bound_holds_for_cubic_cells(draws, b):
    """A cell that all turns and reflections of a cube leave as it is, so its tensor is isotropic;
    the elements' estimate lies above the lower bound."""
    orbits = {
        key: draws[i] for i, key in enumerate(itertools.combinations_with_replacement(range(4), 3))
    }
    octant = np.empty((4, 4, 4), dtype=np.uint8)
    for at in np.ndindex(octant.shape):
        octant[at] = orbits[tuple(sorted(at))]
    x = mirrored(octant[None])
    f, tensor = x.mean(), conductivity_tensor(x, (1.0, b))[0]
    assert tensor == pytest.approx(tensor[0, 0] * np.eye(3), abs=1e-8 * b)
    assert tensor[0, 0] >= (1 + f / (1 / (b - 1) + (1 - f) / 3)) * (1 - 1e-9)


@quick
@given(volumes, st.permutations([0, 1, 2]), st.integers(0, 4))
def test_the_tensor_moves_and_turns_with_the_cell(volume, axes, shift):
    tensor = conductivity_tensor(volume[None], (0.5, 20.0))[0]
    turned = conductivity_tensor(np.roll(volume, shift, 2).transpose(axes)[None], (0.5, 20.0))[0]
    order = [2 - axes[2 - direction] for direction in range(3)]
    assert turned == pytest.approx(tensor[np.ix_(order, order)], abs=1e-9)


def test_mirrored_edges_of_a_volume_are_its_mirrored_cell():
    x = np.random.default_rng(1).integers(0, 2, (1, 4, 3, 5))
    tensor = conductivity_tensor(x, (1.0, 9.0), edges="mirrored")
    assert tensor == pytest.approx(conductivity_tensor(mirrored(x), (1.0, 9.0)))
    assert tensor[0] == pytest.approx(np.diag(np.diag(tensor[0])), abs=1e-9)


def test_refining_lowers_the_estimate():
    x = np.random.default_rng(2).integers(0, 2, (1, 3, 4, 3))
    coarse, fine = (conductivity(x, (1.0, 20.0), refinement=r) for r in (1, 2))
    assert (fine < coarse).all()


@settings(deadline=None, max_examples=60)
@given(volumes)
def test_a_volume_conducts_exactly_where_it_percolates(volume):
    assert ((diffusivity(volume[None]) > 0) == percolation(volume[None])).all()


def test_paths_around_the_torus_and_touches_without_area():
    paths = np.zeros((5, 6, 6, 6), dtype=np.uint8)
    paths[0, 2, 3] = 1
    # up a staircase, which closes only after a turn in two directions
    for i in range(6):
        paths[1, 0, i, i] = paths[1, 0, i, (i + 1) % 6] = 1
    # diagonal rods that touch at edges, and voxels that touch at corners
    for i in range(6):
        paths[2, :, i, i] = 1
        paths[3, i, i, i] = 1
    # two rods that would wind if their touch at an edge counted
    paths[4, 0, 0, :3] = paths[4, 1, 1, 3:] = 1
    expected = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert percolation(paths).tolist() == np.array(expected, dtype=bool).tolist()
    assert ((diffusivity(paths) > 0) == percolation(paths)).all()


@pytest.mark.parametrize("seed", range(3))
def test_extruded_voids_percolate_as_their_image(seed):
    x = (np.random.default_rng(seed).random((50, 8, 8)) < 0.6).astype(np.uint8)
    found = percolation(np.repeat(x[:, None], 3, axis=1))
    assert (found[:, :2] == percolation(x)).all()
    assert found[:, 2].all()


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ((1.0, 2.0), {"solver": "dolfinx"}, "'solver' is 'dolfinx'"),
        ((1.0, 1e7), {}, "the most for a volume"),
        ((-1.0, 1.0), {}, "'values' is"),
    ],
)
def test_what_a_volume_cannot_have_is_refused_by_name(values, options, words):
    with pytest.raises(InputError, match=words):
        conductivity(np.zeros((1, 4, 4, 4)), values, **options)


def test_a_volume_with_a_wrong_label_says_where():
    x = np.zeros((1, 4, 4, 4))
    x[0, 1, 2, 3] = 7
    with pytest.raises(InputError, match="'x' holds 7.0 at sample 0, layer 1, row 2, column 3"):
        conductivity(x, (1.0, 2.0))
