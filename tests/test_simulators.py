"""Claims about anybody's simulator, and about support where not every property is known."""

import numpy as np
import pytest

from pspgen_pyro import Box, InputError, ProcessSpace, case, verify
from pspgen_pyro.chain import (
    Chain,
    EffectiveConductivity,
    ElasticStiffness,
    Permeability,
    PropertyFunction,
)
from pspgen_pyro.design import Support, adapted, parse_target
from pspgen_pyro.errors import SimulationError
from pspgen_pyro.schema import Microstructure, Schema
from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum

PROCESS = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
SCHEMA = Schema(process=PROCESS, properties=("k [m^2] log", "strength [MPa]"))
IMAGED = Schema(
    process=PROCESS, microstructure=Microstructure(shape=(3, 4)), properties=("strength [MPa]",)
)


def furnace(phi, seeds):
    noise = np.array([np.random.default_rng(seed).normal() for seed in seeds])
    return np.stack([np.full(len(phi), 1e-12), 10 * phi[:, 0] + noise], axis=1)


def check(simulator, schema=SCHEMA, target="strength > 5", **options):
    return verify(simulator, parse_target(target, schema), (0.5, 0.5), schema=schema, **options)


def test_a_function_is_asked_in_units_and_its_materials_are_counted_on_m():
    found = check(furnace, target="strength > 5 MPa, k < 2e-12 m^2", samples=300)
    assert abs(found.probability.value - 0.5) < 5 * found.probability.standard_error
    assert np.unique(found.m[:, 0]) == pytest.approx(np.log(1e-12))
    assert found.x is None
    assert "P(strength > 5 MPa and k < 2e-12 m^2)" in str(found)


def test_every_row_has_a_seed_of_its_own_whatever_the_batch():
    assert np.array_equal(check(furnace, samples=60).m[:55], check(furnace, samples=55).m)


def test_a_chain_answers_as_it_does_alone():
    chain, box = case("case1").chain, Box((-10, -7), (-9, -5))
    names = ("horizontal", "vertical")
    properties = tuple(f"{name} log quantity=k direction={name}" for name in names)
    schema = Schema(
        process=chain.process, microstructure=Microstructure(shape=(36, 36)), properties=properties
    )
    alone = verify(chain, box, (5.0, 1.0), samples=3)
    assert np.array_equal(verify(chain, box, (5.0, 1.0), schema=schema, samples=3).m, alone.m)


def test_images_come_beside_the_values():
    def imaged(phi, seeds):
        return np.ones((len(phi), 3, 4), dtype=int), np.full(len(phi), 7.0)

    found = check(imaged, IMAGED, samples=51)
    assert found.x.shape == (51, 3, 4)
    assert found.probability.value == 1


@pytest.mark.parametrize(
    ("simulator", "error", "words"),
    [
        (lambda phi, seeds: phi[:, :1], InputError, r"shape \(4, 1\) for 4 settings; give"),
        (lambda phi, seeds: phi[0], InputError, r"shape \(2,\) for 4 settings; give"),
        (lambda phi, seeds: 1.0, InputError, r"shape \(\) for 4 settings; give"),
        (lambda phi, seeds: "many", InputError, "returned 'str', which holds no numbers"),
        (lambda phi, seeds: phi / 0, SimulationError, "FloatingPointError"),
        (lambda phi, seeds: phi * np.nan, SimulationError, "failed: it returned NaN"),
        (lambda phi, seeds: -phi, InputError, "property 'k' is -0.5 in row 1"),
        (lambda phi, seeds: (phi, phi), InputError, "the schema has no images"),
        (lambda phi: phi, SimulationError, "takes 1 positional argument"),
        (3, InputError, "'simulator' is 'int'; give a chain, or a function"),
        (case("case1").chain, InputError, "'simulator' has the process"),
    ],
)
def test_a_simulator_that_answers_something_else_is_refused_in_one_sentence(
    simulator, error, words
):
    with pytest.raises(error, match=words) as caught, np.errstate(all="raise"):
        check(simulator, samples=4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 3, 3), dtype=int), r"shape \(2, 3, 3\) of .* numbers of shape \(2, 3, 4\)"),
        (np.full((2, 3, 4), 255), "whole labels from 0 to 1"),
        (np.full((2, 3, 4), 0.5), "whole labels from 0 to 1"),
    ],
)
def test_images_that_the_schema_does_not_describe_are_refused(x, words):
    with pytest.raises(InputError, match=words):
        check(lambda phi, seeds: (x, phi[:, 0]), IMAGED, samples=2)


def test_a_function_and_a_target_by_names_need_a_schema():
    with pytest.raises(InputError, match="'schema' is missing"):
        adapted(furnace, None)


def test_a_material_counts_where_all_that_is_bounded_is_known():
    m = np.array([[0.0, np.nan], [0.0, 0.0], [np.nan, 0.0], [0.0, 9.0]])
    support, inf = Support(m), np.inf
    assert support.count(Box((-1, -inf), (1, inf))) == 3
    assert support.count(Box((-1, -1), (1, 1))) == 1
    assert "1 of 2 training materials" in support.verdict(Box((-1, -1), (1, 1)))


def test_properties_that_were_never_measured_together_support_no_joint_target():
    apart = np.full((100, 2), np.nan)
    apart[:50, 0], apart[50:, 1] = 0.0, 0.0
    support = Support(apart)
    assert support.verdict(Box((-1, -np.inf), (1, np.inf))) == ""
    assert support.verdict(Box((-1, -1), (1, 1))).startswith("unsupported: 0 of 0")


@pytest.mark.parametrize(
    ("simulator", "words"),
    [
        (
            Permeability("consistent", edges="walls"),
            ("void", "vertical [1]", "walls", "consistent"),
        ),
        (
            EffectiveConductivity((2.0, 0.0), unit="W/(m K)"),
            ("horizontal [W/(m K)]", "[2.0, 0.0]"),
        ),
        (ElasticStiffness((1.0, 2.0), (0.3, 0.1), "stress"), ("C66 [GPa]", "plane stress", "0.1")),
        (PropertyFunction(furnace, ("area [um^2] log",)), ("furnace", "area [um^2]")),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_simulator_says_what_it_computes_in_which_unit_and_how(simulator, words):
    said = simulator.describe()
    assert "\n" not in said
    assert all(word in said for word in words)


def test_a_pixel_size_gives_permeabilities_in_square_metres_or_millidarcy():
    n, cells = 12, PhaseSeparatedField(12, two_mode_spectrum, pixel_size="0.5 um")
    process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    known = Chain(process, cells, Permeability(pixel_size="0.5 um", unit="mD"))
    plain = Chain(process, PhaseSeparatedField(12, two_mode_spectrum), Permeability())
    phi, seeds = [[5.0, 1.0]], np.random.SeedSequence(0).spawn(1)
    k, areas = known.simulate(phi, seeds).value, plain.simulate(phi, seeds).value
    assert k == pytest.approx(areas * (n * 0.5e-6) ** 2 / 9.869233e-16, rel=1e-6)
    assert known.schema.properties[0].unit == "mD"
    assert "pixel 0.5 um" in str(known.schema)
    assert Permeability(pixel_size="500 nm").properties[0].unit == "m^2"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pixel_size": "0 um"}, "positive"),
        ({"pixel_size": "0.5"}, "unit of length"),
        ({"pixel_size": "3 s"}, "does not convert"),
        ({"unit": "mD"}, "without 'pixel_size'"),
        ({"pixel_size": "1 um", "unit": "GPa"}, "does not convert"),
    ],
)
def test_a_pixel_size_that_is_none_is_refused_in_a_sentence(settings, named):
    with pytest.raises(InputError, match=named):
        Permeability(**settings)


def test_structure_and_property_declare_one_pixel_size():
    process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    for made in ("0.6 um", None):
        structure = PhaseSeparatedField(12, two_mode_spectrum, pixel_size=made)
        with pytest.raises(InputError, match="same pixel size"):
            Chain(process, structure, Permeability(pixel_size="0.5 um"))
