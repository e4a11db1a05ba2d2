"""Effective conductivity: exact media, exact bounds, duality, symmetries, two solvers."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import conductivity, conductivity_tensor

scipy = partial(conductivity, solver="scipy")
scipy_tensor = partial(conductivity_tensor, solver="scipy")
quick = settings(deadline=None, max_examples=60)
images = arrays(np.uint8, (4, 4), elements=st.integers(0, 1))
three_phases = arrays(np.uint8, (4, 4), elements=st.integers(0, 2))
three_values = st.tuples(*[st.floats(0.01, 100.0)] * 3)
contrasts = st.floats(0.01, 100.0)


def eigenvalues(tensor):
    return np.linalg.eigvalsh(tensor)


def dual(x, a, b, refinement=1):
    """The estimate from below: Keller's relation applied to the cell with its phases exchanged."""
    exchanged = scipy_tensor(1 - x, (a, b), refinement=refinement)
    return a * b * exchanged / np.linalg.det(exchanged)[:, None, None]


def from_below(x, values):
    """The dual estimate with any number of phases: K(κ) = K(1/κ) / det K(1/κ)."""
    inverse = scipy_tensor(x, 1 / np.asarray(values))
    return inverse / np.linalg.det(inverse)[:, None, None]


def fourfold(quarter):
    """A cell that a quarter turn leaves as it is, so that its tensor is isotropic."""
    turned = [np.rot90(quarter, turns) for turns in range(4)]
    return np.block([[turned[0], turned[3]], [turned[1], turned[2]]])[None]


@pytest.mark.parametrize("solver", ["dolfinx", "scipy"])
def test_a_laminate_has_the_arithmetic_mean_along_and_the_harmonic_mean_across(solver):
    values = np.array([0.3, 2.0, 50.0])
    layers = np.array([0, 2, 2, 1, 0, 1, 2, 0])
    x = np.broadcast_to(layers[:, None], (1, 8, 8))
    k = conductivity(x, values, solver)[0]
    assert k[0] == pytest.approx(values[layers].mean(), rel=1e-10)
    assert k[1] == pytest.approx(1 / (1 / values[layers]).mean(), rel=1e-10)


def test_the_two_solvers_agree_on_many_phases_and_refined_squares():
    x = np.random.default_rng(0).integers(0, 5, (3, 6, 6))
    values = (1e-3, 0.1, 1.0, 7.0, 400.0)
    for refinement in (1, 3):
        by_dolfinx = conductivity_tensor(x, values, "dolfinx", refinement)
        assert by_dolfinx == pytest.approx(
            scipy_tensor(x, values, refinement=refinement), rel=1e-9, abs=1e-12
        )


def test_one_phase_conducts_as_itself():
    assert scipy_tensor(np.zeros((1, 5, 5)), [2.5])[0] == pytest.approx(2.5 * np.eye(2))


def test_a_checkerboard_tends_to_the_geometric_mean_from_above():
    x = np.kron([[0, 1], [1, 0]], np.ones((2, 2), dtype=int))[None]
    excess = [scipy(x, (1.0, 4.0), refinement=r)[0, 0] / 2 - 1 for r in (1, 2, 4, 8, 16)]
    assert min(excess) > 0
    assert (np.diff(excess) < 0).all()
    assert excess[-1] < 0.01


def test_kellers_product_falls_to_ab_as_the_squares_are_refined():
    r"""K_h(a, b) K_v(b, a) = a b where the axes are principal; here by a mirror line."""
    half = np.random.default_rng(1).integers(0, 2, (6, 3))
    x = np.concatenate([half, half[:, ::-1]], axis=1)[None]
    a, b = 1.0, 10.0
    products = [
        scipy(x, (a, b), refinement=r)[0, 0] * scipy(x, (b, a), refinement=r)[0, 1] / (a * b)
        for r in (1, 2, 4, 8, 16)
    ]
    excess = np.array(products) - 1
    assert (excess > 0).all()
    assert (excess[1:] < 0.7 * excess[:-1]).all()


@quick
@given(images, contrasts)
def test_refining_shrinks_an_enclosure_of_the_true_tensor(image, contrast):
    x, values = image[None], (1.0, contrast)
    upper = [scipy_tensor(x, values, refinement=r) for r in (1, 2)]
    lower = [dual(x, *values, refinement=r) for r in (1, 2)]
    for smaller, larger in [(lower[0], lower[1]), (lower[1], upper[1]), (upper[1], upper[0])]:
        assert (eigenvalues(larger - smaller) > -1e-9 * eigenvalues(larger).max()).all()


@quick
@given(images, contrasts)
def test_the_wiener_bounds_hold_for_every_cell_on_any_mesh(image, contrast):
    kappa = np.where(image, contrast, 1.0)
    found = eigenvalues(scipy_tensor(image[None], (1.0, contrast)))[0]
    assert found[0] >= 1 / (1 / kappa).mean() * (1 - 1e-9)
    assert found[1] <= kappa.mean() * (1 + 1e-9)


@quick
@given(images, st.floats(1.1, 100.0))
def test_the_hashin_shtrikman_bounds_hold_for_isotropic_cells(quarter, b):
    """The upper estimate lies above the lower bound, the dual estimate below the upper bound."""
    x, a = fourfold(quarter), 1.0
    f = x.mean()
    if f in (0, 1):
        return
    bounds = (a + f / (1 / (b - a) + (1 - f) / 2 / a), b + (1 - f) / (1 / (a - b) + f / 2 / b))
    upper = scipy_tensor(x, (a, b))[0]
    assert upper == pytest.approx(upper[0, 0] * np.eye(2), abs=1e-9 * b)
    assert upper[0, 0] >= bounds[0] * (1 - 1e-9)
    assert dual(x, a, b)[0, 0, 0] <= bounds[1] * (1 + 1e-9)


@quick
@given(images, st.floats(1.1, 100.0))
def test_the_trace_bound_holds_for_anisotropic_cells(image, b):
    r"""Lurie–Cherkaev, Murat–Tartar: Σ 1/(λ_i − a) ≤ 1/(H − a) + 1/(A − a), a the poorer phase."""
    if image.all() or not image.any():
        return
    kappa = np.where(image, b, 1.0)
    found = eigenvalues(scipy_tensor(image[None], (1.0, b)))[0]
    bound = 1 / (1 / (1 / kappa).mean() - 1) + 1 / (kappa.mean() - 1)
    assert (1 / (found - 1)).sum() <= bound * (1 + 1e-7)


@quick
@given(three_phases, three_values)
def test_the_wiener_bounds_hold_for_three_phases(image, values):
    kappa = np.array(values)[image]
    found = eigenvalues(scipy_tensor(image[None], values))[0]
    assert found[0] >= 1 / (1 / kappa).mean() * (1 - 1e-9)
    assert found[1] <= kappa.mean() * (1 + 1e-9)


@quick
@given(three_phases, three_values)
def test_the_hashin_shtrikman_bounds_hold_for_isotropic_cells_of_three_phases(quarter, values):
    r"""⟨1/(κ + c)⟩⁻¹ − c with c the smallest and the largest conductivity, in two dimensions."""
    x = fourfold(quarter)
    kappa = np.array(values)[x]
    low, high = (1 / (1 / (kappa + c)).mean() - c for c in (kappa.min(), kappa.max()))
    assert scipy_tensor(x, values)[0, 0, 0] >= low * (1 - 1e-9)
    assert from_below(x, values)[0, 0, 0] <= high * (1 + 1e-9)


@quick
@given(three_phases, three_values, st.integers(0, 2))
def test_no_phase_conducts_better_to_the_detriment_of_the_whole(image, values, phase):
    better = [2 * v if i == phase else v for i, v in enumerate(values)]
    gain = scipy_tensor(image[None], better) - scipy_tensor(image[None], values)
    assert (eigenvalues(gain) > -1e-9 * max(better)).all()


@quick
@given(images, st.integers(0, 3), st.integers(0, 3))
def test_conductivity_moves_turns_and_scales_with_the_cell(image, down, right):
    tensor = scipy_tensor(image[None], (1.0, 20.0))
    rolled = scipy_tensor(np.roll(image, (down, right), (0, 1))[None], (1.0, 20.0))
    turned = scipy_tensor(image.T[None], (1.0, 20.0))
    renamed = scipy_tensor(1 - image[None], (60.0, 3.0))
    assert rolled == pytest.approx(tensor, abs=1e-10)
    assert turned[:, ::-1, ::-1] == pytest.approx(tensor, abs=1e-10)
    assert renamed == pytest.approx(3 * tensor, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "values", "options", "words"),
    [
        (np.full((1, 4, 4), 2), (1.0, 2.0), {}, "'x' holds 2"),
        (np.full((1, 4, 4), 3), (1.0, 2.0, 3.0), {}, "only the labels 0 to 2"),
        (np.zeros((1, 4, 4)), (1.0, 0.0), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (1.0, np.inf), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (), {}, "'values' is"),
        (np.zeros((1, 4, 4)), ("a", 1.0), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (1.0, 2.0), {"solver": "magic"}, "'solver' is"),
        (np.zeros((1, 4, 4)), (1.0, 2.0), {"refinement": 0}, "'refinement' is"),
    ],
)
def test_what_cannot_be_solved_is_refused_by_name(x, values, options, words):
    with pytest.raises(InputError, match=words):
        conductivity(x, values, **options)
