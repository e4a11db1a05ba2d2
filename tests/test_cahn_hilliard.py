"""Phase separation: conservation, decay of energy, agreement with finer and foreign solvers."""

import numpy as np
import pytest
from pde import CahnHilliardPDE, CartesianGrid, ScalarField

from pspgen_pyro.errors import InputError
from pspgen_pyro.structure import (
    GRADED_STEPS,
    PhaseSeparatedField,
    cahn_hilliard,
    free_energy,
    two_mode_spectrum,
)


def initial(n, count, gamma=2.0, root=0):
    structure = PhaseSeparatedField(n, two_mode_spectrum, gamma=gamma)
    phi = np.random.default_rng(root).uniform([1.0, 0.2], [9.0, 2.0], (count, 2))
    labels = structure.initial(phi, np.random.SeedSequence(root).spawn(count))
    return 2.0 * labels - 1.0


def test_the_graded_steps_are_49_and_last_5_time_units():
    assert len(GRADED_STEPS) == 49
    assert sum(GRADED_STEPS) == pytest.approx(5.0)


@pytest.mark.parametrize(("n", "gamma"), [(36, 2.0), (64, 10.0)])
def test_the_mean_concentration_is_conserved_to_1e_12(n, gamma):
    c = initial(n, 6, gamma)
    drift = cahn_hilliard(c, gamma).mean(axis=(1, 2)) - c.mean(axis=(1, 2))
    assert np.abs(drift).max() < 1e-12


@pytest.mark.parametrize(("n", "gamma"), [(36, 2.0), (48, 10.0)])
def test_the_free_energy_never_rises_from_step_to_step(n, gamma):
    c = initial(n, 6, gamma)
    energy = free_energy(c, gamma)
    for step in GRADED_STEPS:
        c = cahn_hilliard(c, gamma, steps=[step])
        now = free_energy(c, gamma)
        assert (now <= energy * (1 + 1e-12)).all()
        energy = now


@pytest.mark.parametrize(("n", "gamma", "count"), [(36, 2.0, 24), (128, 10.0, 2)])
def test_at_least_999_of_1000_final_pixels_are_those_of_vanishing_steps(n, gamma, count):
    """Steps 8 and 16 times smaller agree with each other in every pixel."""
    c = initial(n, count, gamma, root=1)
    graded, fine = (
        cahn_hilliard(c, gamma, steps=np.repeat(np.divide(GRADED_STEPS, parts), parts)) > 0
        for parts in (1, 8)
    )
    assert (graded == fine).mean() >= 0.999


def test_halving_the_steps_divides_the_error_by_at_least_7():
    """The reaction holds a Laplacian, which costs ETDRK4 up to one of its four orders."""
    n, steps = 24, (0.02,) * 50
    wave = 2 * np.pi * np.arange(n) / n
    c = (0.4 * np.cos(wave)[:, None] * np.sin(2 * wave) + 0.1 * np.sin(wave))[None]
    solution = [
        cahn_hilliard(c, 2.0, steps=np.repeat(np.divide(steps, parts), parts))
        for parts in (1, 2, 64)
    ]
    coarse, half = (np.abs(s - solution[2]).max() for s in solution[:2])
    assert coarse / half > 7


@pytest.mark.parametrize("n", [36, 37, 128])
def test_a_batch_is_bit_for_bit_its_samples_one_by_one(n):
    c = initial(n, 5)
    steps = GRADED_STEPS[:12]
    batch = cahn_hilliard(c, 2.0, steps=steps)
    assert all(
        (cahn_hilliard(c[i : i + 1], 2.0, steps=steps)[0] == batch[i]).all() for i in range(5)
    )
    assert (cahn_hilliard(np.tile(c, (9, 1, 1)), 2.0, steps=steps)[-5:] == batch).all()


def test_the_flat_tanh_interface_of_width_sqrt_2_gamma_stands_still():
    """c = tanh(y / √(2γ)) solves c³ − c = γ c''; two of them, 64 pixels apart, fit the period."""
    n, gamma = 128, 10.0
    y = np.arange(n)
    profile = np.tanh((y - 32) / np.sqrt(2 * gamma)) * np.tanh((96 - y) / np.sqrt(2 * gamma))
    c = np.tile(profile[:, None], (1, n))[None]
    assert np.abs(cahn_hilliard(c, gamma) - c).max() < 1e-3


def test_an_independent_finite_difference_solver_converges_to_the_same_concentration():
    """py-pde's second-order stencils on a smooth field: half the spacing, a quarter of the gap.

    Its time runs D times slower; a finer grid of the same cell has γ and D in its own pixels.
    """
    differences = []
    for n in (12, 24):
        scale, gamma = n / 12, 0.6
        wave = 2 * np.pi * (np.arange(n) + 0.5) / n
        c = 0.5 * np.cos(wave)[:, None] * np.sin(wave) + 0.1 * np.sin(wave)
        field = ScalarField(CartesianGrid([[0, 12], [0, 12]], n, periodic=True), c)
        theirs = CahnHilliardPDE(interface_width=gamma).solve(
            field, 1.0, dt=1e-3, solver="runge-kutta", backend="numpy", tracker=None
        )
        ours = cahn_hilliard(
            c[None], gamma * scale**2, diffusivity=10 * scale**2, steps=(0.005,) * 20
        )[0]
        differences.append(np.abs(theirs.data - ours).max())
    assert differences[1] < 5e-3
    assert 3 < differences[0] / differences[1] < 5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"c": np.ones((4, 4))}, "c"),
        ({"c": np.full((1, 4, 4), np.nan)}, "c"),
        ({"gamma": 0.0}, "gamma"),
        ({"diffusivity": -1.0}, "diffusivity"),
        ({"steps": [0.1, 0.0]}, "steps"),
    ],
)
def test_bad_arguments_are_named(change, name):
    arguments = {"c": np.ones((1, 4, 4)), "gamma": 2.0} | change
    with pytest.raises(InputError, match=f"'{name}'"):
        cahn_hilliard(**arguments)


def test_steps_beyond_stability_are_refused_rather_than_returned_as_an_image():
    """In units of γ/D: 3 keeps 97 % of the pixels in the phase that short steps give, 8 does not
    end in numbers."""
    c, gamma = initial(36, 1), 0.5
    fine = cahn_hilliard(c, gamma, steps=(0.0025,) * 800) > 0
    coarse = cahn_hilliard(c, gamma, steps=(3 * gamma / 10,) * 13 + (0.05,)) > 0
    assert (fine != coarse).mean() < 0.03
    for step in (3.1 * gamma / 10, 1e6, 1e300):
        with pytest.raises(InputError, match="'steps' has .* shorter steps"):
            cahn_hilliard(c, gamma, steps=[step])


def test_a_free_energy_that_rises_is_reported():
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(FloatingPointError, match="'steps' are too long for sample 0"),
    ):
        cahn_hilliard(1e3 * initial(36, 1), 0.2, steps=[0.05] * 4)
