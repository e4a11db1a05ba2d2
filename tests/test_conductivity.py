"""Effective conductivity: exact media, exact bounds, duality, symmetries, two solvers."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import conductivity, conductivity_tensor, percolation

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


def in_fractions(kappa):
    """K_11 and K_22 by elimination in rational numbers: no contrast can spoil them."""
    rows, columns = kappa.shape
    stiffness = [[4, -1, -1, -2], [-1, 4, -2, -1], [-1, -2, 4, -1], [-2, -1, -1, 4]]
    matrix = [[Fraction(0)] * (kappa.size + 2) for _ in range(kappa.size)]
    for (r, c), value in np.ndenumerate(kappa):
        share = Fraction(float(value)) / 6
        nodes = [(r + i) % rows * columns + (c + j) % columns for i in (0, 1) for j in (0, 1)]
        for a, node in enumerate(nodes):
            for b, other in enumerate(nodes):
                matrix[node][other] += share * stiffness[a][b]
            matrix[node][-2] += share * (3, -3, 3, -3)[a]
            matrix[node][-1] += share * (3, 3, -3, -3)[a]
    sources = [row[-2:] for row in matrix]
    held = [row[1:] for row in matrix[1:]]
    for i, row in enumerate(held):
        held[i] = row = [entry / row[i] for entry in row]
        for j, other in enumerate(held):
            if j != i and other[i]:
                held[j] = [b - other[i] * a for a, b in zip(row, other, strict=True)]
    found = []
    for direction in (0, 1):
        work = sum(s[direction] * w[direction - 2] for s, w in zip(sources[1:], held, strict=True))
        total = sum(Fraction(float(value)) for value in kappa.ravel()) - work
        found.append(float(total / kappa.size))
    return np.array(found)


@pytest.mark.parametrize("solver", ["dolfinx", "scipy"])
@pytest.mark.parametrize("contrast", [1e-18, 1e-12, 1e-5, 1e5, 1e12, 1e18])
def test_layers_are_exact_at_every_contrast(solver, contrast):
    values = np.array([1.0, contrast, 3 * contrast])
    layers = np.array([0, 2, 2, 1, 0, 1, 2, 0])
    x = np.broadcast_to(layers[:, None], (1, 8, 11))
    expected = [values[layers].mean(), 1 / (1 / values[layers]).mean()]
    assert conductivity(x, values, solver)[0] == pytest.approx(expected, rel=1e-12)
    turned = x.transpose(0, 2, 1)
    assert conductivity(turned, values, solver)[0] == pytest.approx(expected[::-1], rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(
    arrays(np.uint8, (4, 3), elements=st.integers(0, 2)),
    st.permutations([1e-18, 1e-3, 1.0, 40.0, 1e18]),
    st.sampled_from(["scipy", "dolfinx"]),
)
def test_no_contrast_spoils_a_digit_that_rational_arithmetic_knows(image, values, solver):
    expected = in_fractions(np.array(values)[image])
    assert conductivity(image[None], values[:3], solver)[0] == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=100)
@given(arrays(np.uint8, (6, 5), elements=st.integers(0, 1)), st.sampled_from([1.0, 1e18]))
def test_blocked_is_exactly_zero_and_open_is_not(image, value):
    """Blocked: the conductor does not wind through the sides of pixels; corners do not count."""
    k = scipy(image[None], (0.0, value))[0]
    opened = percolation(image[None])[0]
    assert ((k > 0) == opened).all()
    assert (k[opened] > value * 1e-3).all()


def test_the_two_solvers_agree_with_an_insulating_phase():
    x = np.random.default_rng(2).integers(0, 3, (5, 9, 7))
    for values in [(0.0, 1.0, 5.0), (1e9, 0.0, 1e-9), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)]:
        by_dolfinx = conductivity_tensor(x, values, "dolfinx")
        assert by_dolfinx == pytest.approx(scipy_tensor(x, values), rel=1e-9, abs=1e-12)


def test_a_nearly_insulating_phase_tends_to_an_insulating_one():
    """A square obstacle has no corner contact, so the limit is the value at 0."""
    x = np.ones((1, 8, 10), dtype=int)
    x[0, 2:5, 3:9] = 0
    limit = scipy(x, (0.0, 1.0))
    gaps = [np.abs(scipy(x, (small, 1.0)) / limit - 1).max() for small in (1e-3, 1e-6, 1e-15)]
    assert gaps[0] > 100 * gaps[1]
    assert gaps[2] < 1e-12


def test_superconducting_islands_and_holes_are_dual():
    r"""Keller: K_h(0, 1) K_v(∞, 1) = 1, from above on a mesh, and closer on a finer one."""
    x = np.ones((1, 6, 6), dtype=int)
    x[0, 1:3, 1:5] = 0
    products = [
        scipy(x, (0.0, 1.0), refinement=r)[0, 0] * scipy(x, (1e18, 1.0), refinement=r)[0, 1]
        for r in (1, 2, 4, 8)
    ]
    excess = np.array(products) - 1
    assert (excess > 0).all()
    assert (excess[1:] < 0.6 * excess[:-1]).all()


@pytest.mark.parametrize("edges", ["mirrored", "walls"])
def test_mirrored_edges_hold_two_sides_at_a_potential_and_seal_the_others(edges):
    """A bent channel conducts from side to side only if it reaches both; a periodic one winds."""
    x = np.zeros((3, 6, 9), dtype=int)
    x[0, 2] = 1
    x[1, 1, :5], x[1, 1:5, 4], x[1, 4, 4:] = 1, 1, 1
    x[2, :, 3:5], x[2, 2, 4:8] = 1, 1
    k = scipy(x, (0.0, 1.0), edges=edges)
    assert k[0] == pytest.approx([1 / 6, 0])
    assert 0 < k[1, 0] < 1 / 6
    assert k[1, 1] == k[2, 0] == 0
    assert k[2, 1] > 2 / 9
    assert scipy(x, (0.0, 1.0))[1, 0] == 0


def test_a_mirrored_image_conducts_as_its_mirrored_cell_and_has_no_cross_term():
    x = np.random.default_rng(3).integers(0, 2, (2, 5, 7))
    found = scipy_tensor(x, (1.0, 30.0), edges="mirrored")
    assert found[:, 0, 1] == pytest.approx(0, abs=1e-12)
    flipped = scipy_tensor(x[:, ::-1, ::-1], (1.0, 30.0), edges="mirrored")
    assert flipped == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("solver", ["dolfinx", "scipy"])
def test_a_cell_tiled_to_a_rectangle_conducts_as_before(solver):
    x = np.random.default_rng(4).integers(0, 2, (1, 5, 5))
    single = conductivity_tensor(x, (1.0, 50.0), solver)
    tiled = conductivity_tensor(np.tile(x, (1, 1, 3)), (1.0, 50.0), solver)
    assert tiled == pytest.approx(single, rel=1e-10)


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


def test_layers_at_45_degrees_tend_to_the_turned_laminate():
    """K = (A + H)/2 along the axes and (H - A)/2 between them; what is left are the steps."""
    errors = []
    for n in (8, 16, 32):
        row, column = np.indices((n, n))
        x = ((row + column) % n < n // 2).astype(int)[None]
        arithmetic, harmonic = 2.5, 1.6
        straight, cross = (arithmetic + harmonic) / 2, (harmonic - arithmetic) / 2
        expected = np.array([[straight, cross], [cross, straight]])
        errors.append(np.abs(scipy_tensor(x, (1.0, 4.0)) - expected).max())
    assert errors[2] < 0.6 * errors[1] < 0.36 * errors[0]
    assert errors[2] < 0.02


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
        (np.zeros((1, 4, 4)), (1.0, -1.0), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (1e-20, 1e20), {}, "further apart than a factor 1e.36"),
        (np.zeros((1, 4, 4)), (1.0, np.inf), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (1.0, np.nan), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (), {}, "'values' is"),
        (np.zeros((1, 4, 4)), ("a", 1.0), {}, "'values' is"),
        (np.zeros((1, 4, 4)), (1.0, 2.0), {"solver": "magic"}, "'solver' is"),
        (np.zeros((1, 4, 4)), (1.0, 2.0), {"refinement": 0}, "'refinement' is"),
        (np.zeros((1, 4, 4)), (1.0, 2.0), {"edges": "open"}, "'edges' is"),
    ],
)
def test_what_cannot_be_solved_is_refused_by_name(x, values, options, words):
    with pytest.raises(InputError, match=words):
        conductivity(x, values, **options)
