"""Claims about symmetries in law: the simulators have those that their processes declare."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from small import batches, small_model

from pspgen_pyro import InputError, ProcessSpace, case
from pspgen_pyro.errors import DataError
from pspgen_pyro.process.symmetries import (
    Mirror,
    PeriodicShift,
    Permutation,
    Reflection,
    Symmetry,
    Transposition,
    augment,
    orbit,
)
from pspgen_pyro.structure import two_point_correlation, void_fraction
from pspgen_pyro.training import train

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
ALL = [Mirror("phi1", (1, 0)), PeriodicShift(), Reflection(), Transposition((1, 0))]
CASES = ["case1", "case5", "three_phase"]


def rows(n=40, size=6):
    low, high = torch.tensor(PROCESS.lower), torch.tensor(PROCESS.upper)
    return (
        low + (high - low) * torch.rand(n, 2),
        torch.rand(n, size, size).round(),
        torch.randn(n, 2),
    )


def same(a, b):
    return all(torch.equal(s, t) for s, t in zip(a, b, strict=True))


def settings_of(chosen):
    """A setting that no declared symmetry maps to itself unless it must."""
    space = chosen.process
    share = np.linspace(0.2, 0.6, len(space))
    return np.array(space.lower) + share * (np.array(space.upper) - space.lower)


@pytest.fixture(scope="module", params=CASES)
def simulated(request):
    chosen = case(request.param)
    seeds = np.random.SeedSequence(5).spawn(3)
    x = chosen.chain.structure(np.tile(settings_of(chosen), (3, 1)), seeds)
    return chosen, x, chosen.chain.property_(x)


def test_the_property_of_a_transposed_image_is_the_transposed_property(simulated):
    chosen, x, k = simulated
    turned = chosen.chain.property_(np.ascontiguousarray(x.swapaxes(1, 2)))
    np.testing.assert_allclose(turned, k[:, ::-1], rtol=1e-9)


@pytest.mark.parametrize("kind", ["reflected", "shifted"])
def test_the_property_of_an_image_reflected_or_shifted_is_its_own(simulated, kind):
    chosen, x, k = simulated
    moved = (
        [x[:, ::-1], x[:, :, ::-1]]
        if kind == "reflected"
        else [np.roll(x, (5, 11), axis=(1, 2)), np.roll(x, -1, axis=2)]
    )
    for image in moved:
        found = chosen.chain.property_(np.ascontiguousarray(image))
        np.testing.assert_allclose(found, k, rtol=1e-9)


def descriptors(x):
    """One number an image each: void fraction, anisotropy, and what breaks left from right."""
    c = two_point_correlation(x == x.max())
    skew = c[:, 1:3, 1:3].sum((1, 2)) - c[:, 1:3, -2:].sum((1, 2))
    return {
        "void": void_fraction(x == x.max()),
        "anisotropy": (c[:, 0, 1:5] - c[:, 1:5, 0]).sum(-1),
        "diagonal": skew,
        "corner": x[:, 0, 0].astype(float),
    }


def p_values(chosen, symmetry, n=100):
    """Of the equality in law of transformed samples at φ and fresh ones at the transformed φ.

    With an element other than the identity wherever the symmetry can list its elements.
    """
    phi = np.tile(settings_of(chosen), (n, 1))
    seeds = np.random.SeedSequence(8).spawn(2 * n)
    x = torch.tensor(chosen.chain.structure(phi, seeds[:n]))
    m = torch.zeros(n, 2)
    elements = symmetry.elements(chosen.process, torch.tensor(phi), x, m)
    generator = torch.Generator().manual_seed(0)
    if len(elements) > 1:
        there, moved, _ = elements[-1]
    else:
        there, moved, _ = symmetry(chosen.process, torch.tensor(phi), x, m, generator)
    fresh = chosen.chain.structure(there.numpy(), seeds[n:])
    a, b = descriptors(moved.numpy()), descriptors(fresh)
    return [ks_2samp(a[name], b[name]).pvalue for name in a]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "case5" else n for n in CASES]
)
def test_every_declared_symmetry_holds_in_law(name):
    """At most 16 tests a case, each wrong with probability 1e-4."""
    chosen = case(name)
    assert chosen.chain.schema.symmetries
    for symmetry in chosen.chain.schema.symmetries:
        assert min(p_values(chosen, symmetry)) > 1e-4, symmetry


def test_the_same_check_rejects_a_symmetry_that_does_not_hold():
    assert min(p_values(case("case1"), Transposition((1, 0)))) < 1e-12


def test_a_random_element_moves_phi_x_and_m_of_a_row_together_or_none_of_them():
    phi, x, m = rows()
    for symmetry in (Mirror("phi1", (1, 0)), Transposition((1, 0))):
        kept, moved = symmetry.elements(PROCESS, phi, x, m)
        found = symmetry(PROCESS, phi, x, m)
        choice = [
            [same([t[i] for t in found], [t[i] for t in element]) for element in (kept, moved)]
            for i in range(len(phi))
        ]
        assert all(any(row) for row in choice)
        assert 8 < sum(row[1] for row in choice) < 32


def test_a_shift_rolls_each_image_by_an_offset_of_its_own():
    phi, x, m = rows(8)
    _, shifted, _ = PeriodicShift()(PROCESS, phi, x, m)
    offsets = set()
    for before, after in zip(x, shifted, strict=True):
        matches = [
            (i, j)
            for i in range(6)
            for j in range(6)
            if torch.equal(before.roll((i, j), (0, 1)), after)
        ]
        assert matches
        offsets.add(matches[0])
    assert len(offsets) > 3


def test_a_reflection_flips_either_axis_half_of_the_time():
    phi, x, m = rows(200)
    _, found, _ = Reflection()(PROCESS, phi, x, m)
    images = [x, x.flip(-1), x.flip(-2), x.flip(-1).flip(-2)]
    counts = [(found == image).all(-1).all(-1).sum().item() for image in images]
    assert sum(counts) == 200
    assert min(counts) > 25


@pytest.mark.parametrize("symmetry", ALL)
def test_the_elements_of_a_symmetry_start_with_the_identity_and_undo_themselves(symmetry):
    triads = rows()
    elements = symmetry.elements(PROCESS, *triads)
    assert same(elements[0], triads)
    for index, element in enumerate(elements):
        back = symmetry.elements(PROCESS, *element)[index]
        assert torch.allclose(back[0], triads[0], rtol=1e-14)
        assert same(back[1:], triads[1:])


@pytest.mark.parametrize(
    ("symmetries", "count"),
    [
        ((), 1),
        ((Mirror("phi1", (1, 0)),), 2),
        ((Mirror("phi1", (1, 0)), Transposition((1, 0))), 4),
        (ALL, 4),
    ],
)
def test_the_orbit_lists_two_images_for_every_symmetry_that_can_be_listed(symmetries, count):
    triads = rows()
    found = orbit(symmetries, PROCESS, *triads)
    assert len(found) == count
    assert same(found[0], triads)


def test_the_properties_of_a_bare_pair_stay_unknown():
    phi, x, m = rows()
    m[:20] = torch.nan
    _, _, moved = augment(ALL, PROCESS, phi, x, m)
    assert moved[:20].isnan().all()
    assert moved[20:].isfinite().all()


def test_the_same_generator_draws_the_same_elements_and_leaves_torchs_own_alone():
    triads = rows()
    found = [augment(ALL, PROCESS, *triads, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert same(*found)
    torch.manual_seed(2)
    expected = torch.rand(1)
    torch.manual_seed(2)
    augment(ALL, PROCESS, *triads, torch.Generator().manual_seed(4))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "symmetry", [*ALL, Transposition((0, 2, 1)), Permutation((("a", "b"), ("c", "d")))]
)
def test_a_symmetry_survives_json(symmetry):
    assert Symmetry.from_json(json.loads(json.dumps(symmetry.to_json()))) == symmetry


def test_a_process_survives_json_with_its_symmetries():
    process = dataclasses.replace(PROCESS, symmetries=tuple(ALL))
    found = ProcessSpace.from_json(json.loads(json.dumps(process.to_json())))
    assert found == process
    assert found.symmetries == process.symmetries


def test_every_symmetry_is_known_by_its_name():
    known = {type(symmetry).__name__ for symmetry in ALL}
    assert known | {"Permutation"} == set(Symmetry.kinds)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "Rotation"}, "'kind' is 'Rotation'"),
        ({"kind": "Mirror"}, "the arguments of Mirror do not fit"),
        ({"kind": "Reflection", "axis": 1}, "the arguments of Reflection do not fit"),
    ],
)
def test_a_description_that_fits_no_symmetry_is_refused(spec, words):
    with pytest.raises(DataError, match=words):
        Symmetry.from_json(spec)


def test_a_mirror_of_a_parameter_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="mirrors the parameter 'phi3', but the process has"):
        dataclasses.replace(PROCESS, symmetries=(Mirror("phi3", (1, 0)),))


def test_training_refuses_a_symmetry_that_does_not_fit_the_process():
    with pytest.raises(InputError, match="mirrors the parameter 'phi3', but the process has"):
        train(small_model(), batches(), symmetries=[Mirror("phi3", (1, 0))])


@pytest.mark.parametrize("symmetry", [Mirror("phi1", (1, 0)), Transposition((1, 0))])
def test_an_image_that_is_not_square_cannot_be_transposed(symmetry):
    phi, x, m = rows()
    with pytest.raises(InputError, match="6×4 pixels; only square"):
        symmetry(PROCESS, phi, x[:, :, :4], m)


def test_a_mirrored_setting_stays_inside_the_process_space():
    phi, x, m = rows()
    mirrored = Mirror("phi1", (1, 0)).elements(PROCESS, phi, x, m)[1][0]
    PROCESS.check(mirrored.numpy())
    assert torch.equal(mirrored[:, 1], phi[:, 1])
    assert torch.allclose(mirrored[:, 0] + phi[:, 0], torch.tensor(10.0))
