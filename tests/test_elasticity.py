"""Elastic stiffness: exact media, exact bounds, symmetries, two solvers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pspgen_pyro.chain import ElasticStiffness
from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import elastic_moduli, elastic_stiffness
from pspgen_pyro.properties.elasticity import phase_stiffness
from pspgen_pyro.study.cases import case

YOUNG, POISSON = (1.0, 10.0, 3.0), (0.3, 0.2, -0.1)
PLANES = pytest.mark.parametrize("plane", ["strain", "stress"])
quick = settings(deadline=None, max_examples=40)
images = arrays(np.uint8, (5, 5), elements=st.integers(0, 1))
moduli = st.tuples(*[st.floats(0.01, 100.0)] * 2)
ratios = st.tuples(*[st.floats(-0.5, 0.45)] * 2)


def white(*shape, phases=2, seed=0):
    return np.random.default_rng(seed).integers(0, phases, shape)


def refined(x, by):
    return np.repeat(np.repeat(x, by, axis=1), by, axis=2)


def laminate(layers, phases):
    """The stiffness of layers on top of each other, of axis 2 across: stress σ22, σ12 and strain
    ε11 are the same in all."""
    c11, c22, c12, c66 = (phases[layers][:, i, j] for i, j in ((0, 0), (1, 1), (0, 1), (2, 2)))
    across = 1 / (1 / c22).mean()
    mixed = (c12 / c22).mean()
    along = (c11 - c12**2 / c22).mean() + mixed**2 * across
    found = np.diag([along, across, 1 / (1 / c66).mean()])
    found[0, 1] = found[1, 0] = mixed * across
    return found


@PLANES
def test_one_phase_is_as_stiff_as_itself(plane):
    expected = phase_stiffness((7.0,), (0.3,), plane)
    found = elastic_stiffness(np.zeros((1, 9, 9)), (7.0,), (0.3,), plane)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@PLANES
@pytest.mark.parametrize("solver", ["multifrontal", "dolfinx"])
def test_a_laminate_has_its_closed_form_in_both_directions(plane, solver):
    layers = np.array([0, 2, 2, 1, 0, 1, 2, 0])
    x = np.broadcast_to(layers[:, None], (8, 8))
    expected = laminate(layers, phase_stiffness(YOUNG, POISSON, plane))
    found = elastic_stiffness(np.stack([x, x.T]), YOUNG, POISSON, plane, solver)
    assert found[0] == pytest.approx(expected, rel=1e-10, abs=1e-10)
    swapped = np.ix_([1, 0, 2], [1, 0, 2])
    assert found[1] == pytest.approx(expected[swapped], rel=1e-10, abs=1e-10)


def test_where_all_shear_moduli_are_equal_the_cell_is_isotropic_whatever_its_geometry():
    """Hill: 1 / (K + μ) is averaged; bilinear elements come down to it as pixels are refined."""
    mu, lame = 1.0, np.array([0.5, 20.0])
    young, poisson = mu * (3 * lame + 2 * mu) / (lame + mu), lame / 2 / (lame + mu)
    x = white(1, 6, 6)
    exact = 1 / (1 / (lame + 2 * mu))[x].mean()
    found = [elastic_stiffness(refined(x, r), young, poisson)[0] for r in (1, 4, 16)]
    excess = np.array([[c[0, 0] / exact - 1, c[1, 1] / exact - 1] for c in found])
    assert (excess > 0).all()
    assert (excess[1:] < 0.4 * excess[:-1]).all()
    assert excess[-1].max() < 0.03
    assert found[-1][2, 2] == pytest.approx(mu, rel=0.02)
    assert abs(found[-1][0, 0] - found[-1][1, 1]) < 0.01 * exact


@quick
@given(images, moduli, ratios)
def test_the_stiffness_lies_between_those_of_reuss_and_voigt(image, young, poisson):
    phases = phase_stiffness(young, poisson)[image].reshape(-1, 3, 3)
    voigt, reuss = phases.mean(axis=0), np.linalg.inv(np.linalg.inv(phases).mean(axis=0))
    found = elastic_stiffness(image[None], young, poisson)[0]
    scale = np.linalg.eigvalsh(voigt).max()
    assert np.array_equal(found, found.T)
    assert np.linalg.eigvalsh(voigt - found).min() > -1e-10 * scale
    assert np.linalg.eigvalsh(found - reuss).min() > -1e-10 * scale


@quick
@given(images, st.floats(1.1, 100.0), ratios)
def test_the_bulk_modulus_of_a_square_cell_respects_hashin_and_shtrikman(image, b, poisson):
    turned = [np.rot90(image, turns) for turns in range(4)]
    x = np.block([[turned[0], turned[3]], [turned[1], turned[2]]])[None]
    phases, f = phase_stiffness((1.0, b), poisson), x.mean()
    bulk, shear = (phases[:, 0, 0] + phases[:, 0, 1]) / 2, phases[:, 2, 2]
    least = shear.min()
    lower = 1 / ((1 - f) / (bulk[0] + least) + f / (bulk[1] + least)) - least
    found = elastic_stiffness(x, (1.0, b), poisson)[0]
    assert (found[0, 0] + found[0, 1]) / 2 >= lower * (1 - 1e-10)
    assert found[0, 0] == pytest.approx(found[1, 1], rel=1e-10)


def test_a_disc_in_a_square_lies_below_the_upper_bound_of_hashin_and_shtrikman():
    y, x = np.mgrid[:64, :64] - 31.5
    disc = ((x**2 + y**2) < 20**2)[None].astype(int)
    bulk = np.array([(c[0, 0] + c[0, 1]) / 2 for c in phase_stiffness((1.0, 10.0), (0.3, 0.2))])
    shear, f = phase_stiffness((1.0, 10.0), (0.3, 0.2))[:, 2, 2].max(), disc.mean()
    upper = 1 / ((1 - f) / (bulk[0] + shear) + f / (bulk[1] + shear)) - shear
    found = elastic_stiffness(disc, (1.0, 10.0), (0.3, 0.2))[0]
    assert (found[0, 0] + found[0, 1]) / 2 < upper


def test_a_checkerboard_has_the_symmetry_of_a_square():
    x = np.kron([[0, 1], [1, 0]], np.ones((6, 6), dtype=int))[None]
    found = elastic_stiffness(x, YOUNG[:2], POISSON[:2])[0]
    assert found[0, 0] == pytest.approx(found[1, 1], rel=1e-10)
    assert np.abs(found[2, :2]).max() < 1e-10


def test_turned_reflected_shifted_and_tiled_images_have_the_stiffness_that_they_must():
    x = white(1, 7, 7, phases=3)

    def solved(image):
        return elastic_stiffness(image, YOUNG, POISSON)[0]

    stiffness = solved(x)
    assert solved(np.roll(x, (2, 3), axis=(1, 2))) == pytest.approx(stiffness, rel=1e-9, abs=1e-9)
    assert solved(np.tile(x, (1, 2, 2))) == pytest.approx(stiffness, rel=1e-9, abs=1e-9)
    other = np.ix_([1, 0, 2], [1, 0, 2])
    transposed = solved(x.transpose(0, 2, 1))
    assert transposed == pytest.approx(stiffness[other], rel=1e-9, abs=1e-9)
    signs = np.outer([1, 1, -1], [1, 1, -1])
    assert solved(x[:, ::-1]) == pytest.approx(stiffness * signs, rel=1e-9, abs=1e-9)


@PLANES
def test_layers_of_void_carry_nothing_across_and_a_free_sheet_along(plane):
    x = np.zeros((1, 8, 8), dtype=int)
    x[0, 2:5] = 1
    solid = phase_stiffness((2.0,), (0.3,), plane)[0]
    found = elastic_stiffness(x, (0.0, 2.0), (0.0, 0.3), plane)[0]
    along = 3 / 8 * (solid[0, 0] - solid[0, 1] ** 2 / solid[1, 1])
    assert found == pytest.approx(np.diag([along, 0, 0]), rel=1e-10, abs=1e-12)
    constants = elastic_moduli(found)
    assert constants["E1"] == pytest.approx(along)
    assert abs(constants["E2"]) < 1e-12


def test_islands_of_solid_carry_nothing():
    x = np.zeros((2, 12, 12), dtype=int)
    x[0, 2:5, 3:9] = x[0, 8, 1] = 1
    x[1, 4:7, 4:7] = x[1, 7:9, 7:9] = 1
    found = elastic_stiffness(x, (0.0, 5.0), (0.3, 0.3))
    assert np.abs(found).max() < 1e-11


@PLANES
@pytest.mark.parametrize("young", [(1.0, 10.0, 3.0), (0.0, 10.0, 3.0), (1e-4, 1e2, 1.0)])
def test_the_two_solvers_agree(plane, young):
    x = white(3, 10, 10, phases=3, seed=1)
    by_fronts = elastic_stiffness(x, young, POISSON, plane)
    by_dolfinx = elastic_stiffness(x, young, POISSON, plane, "dolfinx")
    assert np.abs(by_fronts - by_dolfinx).max() < 1e-8 * np.abs(by_dolfinx).max()


def test_workers_do_not_change_a_bit():
    x = white(20, 12, 12)
    one = elastic_stiffness(x, YOUNG[:2], POISSON[:2])
    assert np.array_equal(elastic_stiffness(x, YOUNG[:2], POISSON[:2], workers=3), one)
    assert np.array_equal(elastic_stiffness(x[7:8], YOUNG[:2], POISSON[:2])[0], one[7])


def test_a_mirrored_image_is_one_quarter_of_its_cell():
    x = white(1, 6, 6)
    quarter = elastic_stiffness(x, YOUNG[:2], POISSON[:2], edges="mirrored")[0]
    whole = np.block([[x[0], x[0][:, ::-1]], [x[0][::-1], x[0][::-1, ::-1]]])[None]
    assert np.array_equal(quarter, elastic_stiffness(whole, YOUNG[:2], POISSON[:2])[0])
    assert np.abs(quarter[2, :2]).max() < 1e-12


@pytest.mark.parametrize(
    ("young", "poisson", "named"),
    [
        ((1.0, -2.0), (0.3, 0.3), "young"),
        ((1.0, np.inf), (0.3, 0.3), "young"),
        ((1e-300, 1e300), (0.3, 0.3), "young"),
        ((0.0, 0.0), (0.3, 0.3), "young"),
        ((1.0, 2.0), (0.3, 0.5), "poisson"),
        ((1.0, 2.0), (0.3, -1.0), "poisson"),
        ((1.0, 2.0), (0.3, np.nan), "poisson"),
        ((1.0, 2.0), (0.3,), "poisson"),
        (("a", "b"), (0.3, 0.3), "young"),
        ((), (), "young"),
    ],
)
def test_moduli_that_are_none_are_named(young, poisson, named):
    with pytest.raises(InputError, match=f"'{named}'"):
        elastic_stiffness(white(1, 6, 6), young, poisson)


def test_all_void_and_volumes_are_refused_in_a_sentence():
    x = white(2, 6, 6)
    x[1] = 0
    with pytest.raises(InputError, match="no solid in sample 1"):
        elastic_stiffness(x, (0.0, 1.0), (0.3, 0.3))
    with pytest.raises(InputError, match="shape"):
        elastic_stiffness(white(1, 6, 6, 6), (1.0, 2.0), (0.3, 0.3))
    for options in ({"edges": "walls"}, {"solver": "scipy"}, {"workers": 0}, {"plane": "shell"}):
        with pytest.raises(InputError, match=next(iter(options))):
            elastic_stiffness(x, (1.0, 2.0), (0.3, 0.3), **options)


def test_the_elastic_case_exchanges_c11_and_c22_when_its_images_are_transposed():
    chain = case("elastic").chain
    assert chain.schema.transposed == (1, 0, 2, 3)
    x = chain.structure(np.array([[8.0, 0.5]]), np.random.SeedSequence(0).spawn(1))
    property_ = chain.property_
    assert isinstance(property_, ElasticStiffness)
    swapped = property_(np.swapaxes(x, 1, 2))
    assert swapped == pytest.approx(property_(x)[:, [1, 0, 2, 3]], rel=1e-9)
