"""Claims about the estimators of P and its gradient: no bias, and which one is worth its time."""

import numpy as np
import pytest
import torch
from exact import exact_model, property_law
from scipy import stats

from pspgen_pyro import Box, InputError
from pspgen_pyro.design import (
    Boxes,
    ClosedForm,
    ScoreFunction,
    UniformInTarget,
    antithetic,
    plain,
    sobol,
)

BOX = Box((-0.6, -0.4), (0.7, 0.9))
PHI = np.array([0.2, -0.3])
DRAWS, CHUNKS = 10_000, 100
EVERY = {
    "closed form, plain": ClosedForm(DRAWS, plain),
    "closed form, antithetic": ClosedForm(DRAWS, antithetic),
    "closed form, sobol": ClosedForm(DRAWS, sobol),
    "equation 20": ScoreFunction(DRAWS),
    "equation 21": UniformInTarget(DRAWS),
}


def exact_value_and_gradient(model, box):
    """P and ∂P/∂φ at PHI from the bivariate normal law of m, by its faces."""
    phi = torch.tensor(PHI[None], requires_grad=True)
    loc, covariance = property_law(model, phi)
    jacobian = torch.stack([torch.autograd.grad(c, phi, retain_graph=True)[0][0] for c in loc[0]])
    mean, s = loc[0].detach().numpy(), covariance.detach().numpy()
    law = stats.multivariate_normal(mean, s, abseps=1e-12, releps=1e-12)
    slope = []
    for j, i in ((0, 1), (1, 0)):
        # what leaves through the face m_j = b, less what enters through m_j = a
        sd = np.sqrt(s[i, i] - s[0, 1] ** 2 / s[j, j])
        faces = []
        for end in (box.lower[j], box.upper[j]):
            centre = mean[i] + s[0, 1] / s[j, j] * (end - mean[j])
            inside = stats.norm.cdf(box.upper[i], centre, sd) - stats.norm.cdf(
                box.lower[i], centre, sd
            )
            faces.append(inside * stats.norm.pdf(end, mean[j], np.sqrt(s[j, j])))
        slope.append(faces[0] - faces[1])
    p = law.cdf(box.upper, lower_limit=np.array(box.lower))
    return np.array([p, *(np.array(slope) @ jacobian.numpy())])


def replicate(estimator, model, target, chunks=CHUNKS):
    """Estimates of P and its gradient from independent calls, with shape (chunks, 1 + P)."""
    generator, rows = torch.Generator().manual_seed(1), []
    for _ in range(chunks):
        phi = torch.tensor(PHI[None], requires_grad=True)
        p = estimator(model, target, phi, generator).sum()
        rows.append([p.item(), *torch.autograd.grad(p, phi)[0][0].tolist()])
    return np.array(rows)


@pytest.mark.parametrize("name", EVERY)
def test_p_and_its_gradient_are_unbiased_at_a_million_draws(name):
    model = exact_model()
    rows = replicate(EVERY[name], model, BOX)
    error = rows.mean(axis=0) - exact_value_and_gradient(model, BOX)
    standard_error = rows.std(axis=0, ddof=1) / len(rows) ** 0.5
    assert np.abs(error / standard_error).max() <= 4
    # sharp enough to tell a wrong constant: a part in a hundred would show
    assert standard_error.max() < 4e-3


def test_overlapping_boxes_are_estimated_without_counting_anything_twice():
    model, union = exact_model(), Boxes((BOX, Box((0.0, 0.0), (1.5, 1.2))))
    exact = sum(exact_value_and_gradient(model, box) for box in union.boxes)
    for estimator in EVERY.values():
        rows = replicate(estimator, model, union, chunks=30)
        standard_error = rows.std(axis=0, ddof=1) / len(rows) ** 0.5
        assert np.abs((rows.mean(axis=0) - exact) / standard_error).max() <= 4


def test_the_closed_form_varies_less_than_either_estimator_of_the_paper_and_sobol_least():
    model = exact_model()
    names = ("closed form, sobol", "closed form, plain", "equation 20")
    spread = [replicate(EVERY[name], model, BOX, 40).var(axis=0) for name in names]
    assert (spread[0] < 0.1 * spread[1]).all()
    assert (spread[1] < spread[2]).all()
    assert (spread[1] < replicate(EVERY["equation 21"], model, BOX, 40).var(axis=0)).all()


def test_no_point_can_be_uniform_in_an_infinite_target():
    half = Box((0.0, -np.inf), (np.inf, np.inf))
    with pytest.raises(InputError, match="infinite volume"):
        UniformInTarget(10)(exact_model(), half, torch.zeros(1, 2), torch.Generator())


@pytest.mark.parametrize("source", [plain, sobol, antithetic])
def test_every_source_of_noise_is_standard_normal_and_follows_its_seed(source):
    draws = source(20_001, 3, torch.Generator().manual_seed(0))
    assert draws.shape == (20_001, 3)
    assert torch.equal(draws, source(20_001, 3, torch.Generator().manual_seed(0)))
    assert draws.mean(dim=0).abs().max() < 0.03
    assert (draws.std(dim=0) - 1).abs().max() < 0.03
