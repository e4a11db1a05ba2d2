"""The chain: one seeded simulator whose failures are kept and named."""

from dataclasses import replace

import numpy as np
import pytest

from pspgen_pyro.chain import Chain, Permeability, PropertyFunction, StructureFunction
from pspgen_pyro.errors import InputError, MissingDependencyError
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.process.symmetries import Mirror
from pspgen_pyro.properties import percolation, permeability
from pspgen_pyro.schema import Microstructure
from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum
from pspgen_pyro.study import case

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
STRUCTURE = PhaseSeparatedField(12, two_mode_spectrum)


def seeds(count, root=0):
    return np.random.SeedSequence(root).spawn(count)


def bands(phi, seeds):
    """Horizontal bands of solid, φ1 rows high; void everywhere if φ1 is below 1.5."""
    x = np.ones((len(phi), 8, 8), dtype=np.uint8)
    for image, phi1 in zip(x, phi[:, 0], strict=True):
        image[: int(phi1) if phi1 >= 1.5 else 0] = 0
    return x


BANDS = StructureFunction(bands, Microstructure(shape=(8, 8)))


def noise(phi, seeds):
    """Rectangles of void pixels, as many as φ1 says."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    return np.stack([rng.random((6, 4)) < p / 10 for rng, p in zip(rngs, phi[:, 0], strict=True)])


NOISE = StructureFunction(noise, Microstructure(shape=(6, 4), periodic=False))


def test_the_chain_is_its_two_links_one_after_the_other():
    phi = PROCESS.sample(5, np.random.default_rng(0))
    sample = Chain(PROCESS, STRUCTURE, Permeability()).simulate(phi, seeds(5))
    x = STRUCTURE(phi, seeds(5))
    assert (sample.x == x).all()
    assert (sample.value == permeability(x)).all()
    assert (sample.m == np.log(sample.value)).all()
    assert (sample.percolates == percolation(x)).all()
    assert sample.failures == {}
    assert len(sample) == 5


def test_a_sample_does_not_depend_on_its_batch():
    chain = Chain(PROCESS, STRUCTURE, Permeability())
    phi = PROCESS.sample(6, np.random.default_rng(1))
    whole = chain.simulate(phi, seeds(6))
    for part in (slice(0, 1), slice(1, 6)):
        some = chain.simulate(phi[part], seeds(6)[part])
        assert (some.x == whole.x[part]).all()
        assert (some.value == whole.value[part]).all()


def test_a_sample_without_solid_is_kept_as_nan_with_its_reason_and_spares_the_others():
    chain = Chain(PROCESS, BANDS, Permeability())
    sample = chain.simulate([[3.0, 1.0], [1.0, 1.0], [4.0, 1.0]], seeds(3))
    assert list(sample.failures) == [1]
    assert "no solid" in sample.failures[1]
    assert np.isnan(sample.value[1]).all()
    assert np.isnan(sample.m[1]).all()
    assert np.isfinite(sample.m[[0, 2]]).all()


def test_a_structure_that_cannot_be_simulated_is_kept_with_its_reason():
    def moody(phi, seeds):
        if (phi[:, 0] > 8).any():
            raise FloatingPointError("'steps' are too long")
        return bands(phi, seeds)

    chain = Chain(PROCESS, StructureFunction(moody, BANDS.microstructure), Permeability())
    sample = chain.simulate([[3.0, 1.0], [8.5, 1.0]], seeds(2))
    assert sample.failures == {1: "FloatingPointError: 'steps' are too long"}
    assert np.isfinite(sample.value[0]).all()
    assert np.isnan(sample.value[1]).all()


def test_a_blocked_direction_of_the_consistent_formulation_is_an_atom_at_its_detection_limit():
    chain = Chain(PROCESS, BANDS, Permeability("consistent", detection_limit=1e-9))
    sample = chain.simulate([[8.0, 1.0], [3.0, 1.0]], seeds(2))
    atom = np.log(1e-9)
    assert (sample.value[0] == 0).all()
    assert (sample.m[0] == atom).all()
    assert sample.m[1, 1] == atom < sample.m[1, 0]
    assert (chain.schema.ends[0] == atom).all()
    assert sample.failures == {}


def test_a_value_without_an_m_is_unknown_with_its_reason_and_its_neighbours_stay():
    """The study's formulation declares no limit: k = 0 has no logarithm."""
    sample = Chain(PROCESS, BANDS, Permeability()).simulate([[8.0, 1.0], [3.0, 1.0]], seeds(2))
    assert np.isnan(sample.m[0]).all()
    assert np.isfinite(sample.m[1]).all()
    assert list(sample.failures) == [0]
    assert "declare a detection limit" in sample.failures[0]
    two = PropertyFunction(lambda x: np.array([[1.0, -1.0]] * len(x)), ("a log", "b log"))
    sample = Chain(PROCESS, NOISE, two).simulate([[3.0, 1.0]], seeds(1))
    assert sample.m[0, 0] == 0
    assert np.isnan(sample.m[0, 1])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_chain_has_as_many_properties_as_it_declares_each_on_its_own_scale(count):
    declared = ("porosity logit limits=0:1", "a [Pa] log", "b", "c [m^2] log", "d [K]")[:count]

    def solve(x):
        f = np.clip(x.mean(axis=(1, 2)), 0.01, 0.99)
        return np.stack([f, 1e9 * f, -f, 1e-12 * f, 300 + f], axis=1)[:, :count]

    chain = Chain(PROCESS, NOISE, PropertyFunction(solve, declared))
    sample = chain.simulate([[5.0, 1.0]] * 3, seeds(3))
    f = np.clip(sample.x.mean(axis=(1, 2)), 0.01, 0.99)
    expected = [np.log(f / (1 - f)), np.log(1e9 * f), -f, np.log(1e-12 * f), 300 + f]
    assert sample.value.shape == (3, count)
    assert np.allclose(sample.m, np.stack(expected, axis=1)[:, :count])
    assert sample.percolates is None
    assert [p.name for p in chain.schema.properties] == [d.split()[0] for d in declared]


def test_a_chain_without_images_goes_from_settings_to_values():
    def solve(phi, seeds):
        noise = [np.random.default_rng(seed).normal() for seed in seeds]
        return (phi.sum(axis=1) + noise)[:, None]

    chain = Chain(PROCESS, None, PropertyFunction(solve, ("strength [MPa]",)))
    phi = PROCESS.sample(4, np.random.default_rng(0))
    sample = chain.simulate(phi, seeds(4))
    assert chain.schema.microstructure is None
    assert (sample.x, sample.percolates) == (None, None)
    assert (sample.m == solve(phi, seeds(4))).all()
    assert (sample.m[1:] == chain.simulate(phi[1:], seeds(4)[1:]).m).all()


def test_grey_images_stay_grey():
    images = Microstructure(shape=(6, 4), phases="grey")
    grey = StructureFunction(lambda phi, seeds: noise(phi, seeds) * 0.25, images)
    mean = PropertyFunction(lambda x: x.mean(axis=(1, 2))[:, None], ("mean",))
    sample = Chain(PROCESS, grey, mean).simulate([[5.0, 1.0]], seeds(1))
    assert sample.x.dtype == np.float32
    assert set(np.unique(sample.x)) == {0.0, 0.25}


def test_the_study_declares_directions_whose_transposition_exchanges_them():
    schema = case("case1").chain.schema
    assert schema.transposed == (1, 0)
    assert [(p.quantity, p.direction, p.scale) for p in schema.properties] == [
        ("permeability", "horizontal", "log"),
        ("permeability", "vertical", "log"),
    ]
    assert str(schema.microstructure) == "36×36 pixels, 2 phases, periodic"
    three = case("three_phase").chain.schema
    assert (three.microstructure.phases, three.groups) == (3, ((0, 1),))


def test_a_symmetry_that_the_properties_do_not_have_is_refused():
    process = replace(PROCESS, symmetries=(Mirror("phi1"),))
    one = PropertyFunction(lambda x: x, (Permeability().properties[0],))
    with pytest.raises(InputError, match="no partner of the same quantity"):
        Chain(process, BANDS, one)
    with pytest.raises(InputError, match="only square ones"):
        Chain(process, NOISE, PropertyFunction(lambda x: x, Permeability().properties))


@pytest.mark.parametrize(
    ("structure", "solve", "words"),
    [
        (lambda phi, seeds: np.zeros((1, 4, 6)), None, "'structure' returned shape"),
        (lambda phi, seeds: np.full((1, 6, 4), 255), None, "'structure' returned 255"),
        (lambda phi, seeds: np.full((1, 6, 4), 0.5), None, "'structure' returned 0.5"),
        (lambda phi, seeds: "image", None, "'structure' returned shape"),
        (noise, lambda x: x.mean(axis=(1, 2)), r"'property_' returned shape \(1,\)"),
        (noise, lambda x: np.ones((1, 2)), r"'property_' returned shape \(1, 2\)"),
        (noise, lambda x: [[None]], "'property_' returned shape"),
    ],
)
def test_a_simulator_that_returns_something_else_than_it_declares_is_refused(
    structure, solve, words
):
    simulator = StructureFunction(structure, NOISE.microstructure)
    chain = Chain(PROCESS, simulator, PropertyFunction(solve or (lambda x: x), ("a",)))
    with pytest.raises(InputError, match=words):
        chain.simulate([[5.0, 1.0]], seeds(1))


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (None, "'structure' makes no images"),
        (NOISE, "solves on a periodic cell"),
        (StructureFunction(bands, Microstructure(shape=(8, 8), phases=3)), "for 2 phases"),
        (StructureFunction(bands, Microstructure(shape=(8, 8), phases="grey")), "for 2 phases"),
        (StructureFunction(bands, Microstructure(shape=(8, 8), periodic=False)), "periodic"),
    ],
)
def test_permeability_refuses_images_that_it_cannot_solve_on(structure, words):
    with pytest.raises(InputError, match=words):
        Chain(PROCESS, structure, Permeability())


def test_images_that_are_no_periodic_square_have_a_permeability_between_walls():
    sample = Chain(PROCESS, NOISE, Permeability(edges="walls")).simulate([[5.0, 1.0]], seeds(1))
    assert sample.value == pytest.approx(permeability(sample.x, edges="walls"))
    assert Permeability(edges="walls").provenance["edges"] == "walls"
    assert "edges" not in Permeability().provenance


def test_a_missing_library_is_an_error_not_a_failed_sample():
    def absent(x):
        raise MissingDependencyError("'dolfinx' is not installed.")

    with pytest.raises(MissingDependencyError):
        Chain(PROCESS, BANDS, PropertyFunction(absent, ("k",))).simulate([[3.0, 1.0]], seeds(1))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda chain: chain.simulate([5.0, 1.0], seeds(1)), "phi"),
        (lambda chain: chain.simulate([[5.0, 1.0]], seeds(2)), "seeds"),
        (lambda chain: chain.simulate([[10.0, 1.0]], seeds(1)), "phi"),
        (lambda chain: Permeability("exact"), "formulation"),
        (lambda chain: Permeability("study", "guess"), "solver"),
        (lambda chain: Permeability(edges="open"), "edges"),
        (lambda chain: Permeability(detection_limit=-1.0), "Property"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(InputError, match=f"'{name}'"):
        call(Chain(PROCESS, BANDS, Permeability()))
