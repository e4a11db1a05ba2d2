"""Diffusion in pores: known paths, an enclosure by two schemes, what is blocked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import conductivity, diffusivity, tortuosity
from pspgen_pyro.properties.edges import mirrored


def by_finite_volumes(pores, values=(0.0, 1.0)):
    """Relative diffusivity by differences between pixel centres, harmonic means between them."""
    kappa = np.array(values)[pores]
    number = np.arange(kappa.size).reshape(kappa.shape)
    links, weights, steps = [], [], []
    for direction in range(kappa.ndim):
        axis = kappa.ndim - 1 - direction
        ahead = np.roll(kappa, -1, axis)
        links.append(np.stack([number, np.roll(number, -1, axis)]).reshape(2, -1))
        both = (kappa > 0) & (ahead > 0)
        weights.append(2 / (1 / np.where(both, kappa, 1) + 1 / np.where(both, ahead, 1)) * both)
        step = np.zeros((*kappa.shape, kappa.ndim))
        np.moveaxis(step, axis, 0)[-1, ..., direction] = kappa.shape[axis]
        steps.append(step.reshape(-1, kappa.ndim))
    (here, there), step = np.concatenate(links, axis=1), np.concatenate(steps)
    root = np.sqrt(np.concatenate([weight.ravel() for weight in weights]))[:, None]
    difference = (np.eye(kappa.size)[there] - np.eye(kappa.size)[here]) * root
    potential = np.linalg.lstsq(difference, -step * root, rcond=1e-10)[0]
    return ((difference @ potential + step * root) ** 2).sum(axis=0) / kappa.size


def refined(x, times):
    for axis in range(x.ndim):
        x = np.repeat(x, times, axis)
    return x


@pytest.mark.parametrize("edges", ["periodic", "mirrored", "walls"])
def test_a_straight_pore_has_tortuosity_one_and_is_blocked_across(edges):
    x = np.full((1, 7, 10), 2)
    x[0, 1:3] = 5
    assert diffusivity(x, 5, edges=edges)[0] == pytest.approx([2 / 7, 0])
    assert tortuosity(x, 5, edges=edges)[0] == pytest.approx([1, np.inf])


def test_a_meander_is_as_long_as_its_path_with_four_short_cuts():
    """A strip's resistance in squares, where the square of a right-angled bend counts 0.559."""
    x = np.zeros((1, 24, 24), dtype=int)
    x[0, 0, :13], x[0, :13, 12], x[0, 12, 12:], x[0, :13, 23] = 1, 1, 1, 1
    squares = x.sum() - 4 + 4 * 0.559
    coarse, fine = (tortuosity(x, refinement=r)[0] for r in (1, 8))
    assert coarse[0] < fine[0] == pytest.approx(x.mean() * squares, rel=3e-3)
    assert coarse[1] == fine[1] == np.inf


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint8, (5, 4), elements=st.integers(0, 1)))
def test_elements_and_finite_volumes_enclose_the_diffusivity(pores):
    """Refining narrows the enclosure from both sides, also of what turns corners."""
    upper = [diffusivity(pores[None], refinement=r)[0] for r in (1, 2)]
    lower = [by_finite_volumes(refined(pores, r)) for r in (1, 2)]
    for small, large in [(lower[0], lower[1]), (lower[1], upper[1]), (upper[1], upper[0])]:
        assert (small <= large + 1e-9).all()
    assert ((lower[0] > 1e-9) == (upper[0] > 0)).all()


def test_elements_and_finite_volumes_meet():
    pores = (np.random.default_rng(5).random((5, 5)) < 0.75).astype(np.uint8)
    gaps = []
    for r in (1, 2, 4):
        upper, lower = (
            diffusivity(pores[None], refinement=r)[0],
            by_finite_volumes(refined(pores, r)),
        )
        assert (upper >= lower).all()
        gaps.append((upper / lower - 1).max())
    assert gaps[2] < 0.6 * gaps[1] < 0.36 * gaps[0]


def test_the_enclosure_holds_in_three_dimensions_and_between_conducting_phases():
    x = np.random.default_rng(6).integers(0, 2, (4, 5, 4))
    for values in [(0.0, 1.0), (0.2, 3.0)]:
        assert (by_finite_volumes(x, values) <= conductivity(x[None], values)[0] + 1e-9).all()


def test_mirrored_edges_are_two_plates_and_sealed_sides():
    x = (np.random.default_rng(7).random((1, 6, 5)) < 0.7).astype(np.uint8)
    assert diffusivity(x, edges="mirrored") == pytest.approx(diffusivity(mirrored(x)))


def test_no_pore_and_all_pore():
    assert diffusivity(np.zeros((1, 4, 5))).tolist() == [[0, 0]]
    assert tortuosity(np.zeros((1, 4, 4, 5))).tolist() == [[np.inf] * 3]
    assert tortuosity(np.ones((1, 4, 5)))[0] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("x", "phase", "words"),
    [
        (np.zeros((1, 4, 4)), 256, "'phase' is 256"),
        (np.zeros((1, 4, 4)), True, "'phase' is True"),
        (np.zeros((1, 4, 4)), 1.0, "'phase' is 1.0"),
        (np.full((1, 4, 4), -1), 0, "'x' holds -1"),
        (np.full((1, 4, 4), np.nan), 0, "'x' holds nan"),
        (np.zeros((4, 4)), 0, "'x' has shape"),
        ([[[0, 1], [0]]], 0, "'x' is ragged"),
    ],
)
def test_what_has_no_diffusivity_is_refused_by_name(x, phase, words):
    with pytest.raises(InputError, match=words):
        diffusivity(x, phase)
