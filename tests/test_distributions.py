"""Claims about the mixture: its box probability against independent routes, and its tails."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.distributions import Categorical, MixtureSameFamily, Normal
from scipy import integrate, stats

from pspgen_pyro.model.distributions import NormalMixture, log_interval_probability


def mixture(c=3, k=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return NormalMixture(
        torch.randn(c, generator=generator),
        torch.randn(c, k, generator=generator),
        0.3 + torch.rand(c, k, generator=generator),
    )


def test_the_box_probability_is_the_integral_of_the_density():
    law = mixture()
    density = lambda b, a: law.log_prob(torch.tensor([a, b])).exp().item()  # noqa: E731
    integral, _ = integrate.dblquad(density, -0.5, 1.0, -1.0, 0.7, epsabs=1e-10)
    ours = law.log_box_probability(torch.tensor([-0.5, -1.0]), torch.tensor([1.0, 0.7])).exp()
    assert ours.item() == pytest.approx(integral, abs=1e-9)


def test_the_box_probability_is_the_weighted_sum_of_products_of_intervals():
    law = mixture(4, 3)
    a, b = np.array([-1.0, -np.inf, 0.0]), np.array([0.5, 0.3, np.inf])
    loc, scale = law.loc.numpy(), law.scale.numpy()
    products = (stats.norm.cdf(b, loc, scale) - stats.norm.cdf(a, loc, scale)).prod(-1)
    expected = (torch.softmax(law.log_weights, -1).numpy() * products).sum()
    ours = law.log_box_probability(torch.tensor(a), torch.tensor(b)).exp().item()
    assert ours == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=200)
@given(a=st.floats(-1e3, 1e3), width=st.floats(1e-6, 1e3))
def test_the_log_probability_of_an_interval_is_finite_and_right_however_far_out(a, width):
    lower, upper = torch.tensor(a, requires_grad=True), torch.tensor(a + width)
    value = log_interval_probability(lower, upper)
    (slope,) = torch.autograd.grad(value, lower)
    assert value.isfinite()
    assert slope.isfinite()
    # scipy's own difference in logarithms, on the side where it is exact
    low, high = (a, a + width) if a + (a + width) <= 0 else (-a - width, -a)
    log_b, log_a = stats.norm.logcdf(high), stats.norm.logcdf(low)
    expected = log_b + np.log(-np.expm1(min(log_a - log_b, -1e-300)))
    if log_a - log_b < -1e-8:
        assert value.item() == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_slopes_and_curvatures_of_an_interval_agree_with_finite_differences():
    """On either side of the mean and around it, a whole line and half of one."""
    torch.manual_seed(0)
    lower = torch.cat([5 * torch.randn(20), torch.tensor([-torch.inf, -torch.inf])]).double()
    upper = lower + 0.1 + torch.rand(22)
    upper[20:] = torch.tensor([0.3, torch.inf])
    inside = [t.requires_grad_() for t in (lower[:20].clone(), upper[:20].clone())]
    assert torch.autograd.gradcheck(log_interval_probability, inside)
    assert torch.autograd.gradgradcheck(log_interval_probability, inside)
    ends = lower.requires_grad_(), upper.requires_grad_()
    down, up = torch.autograd.grad(log_interval_probability(*ends).sum(), ends)
    hazard = stats.norm.pdf(0.3) / stats.norm.cdf(0.3)
    assert down[20:].tolist() == [0, 0]
    assert up[20:].tolist() == pytest.approx([hazard, 0])


def test_the_mixture_draws_what_it_says():
    law = mixture()
    torch.manual_seed(0)
    draws = law.sample((200_000,))
    weights = torch.softmax(law.log_weights, -1)
    mean = (weights[:, None] * law.loc).sum(0)
    assert torch.allclose(draws.mean(0), mean, atol=0.01)
    lower, upper = torch.tensor([-0.5, -1.0]), torch.tensor([1.0, 0.7])
    inside = ((draws >= lower) & (draws <= upper)).all(-1).double().mean()
    assert inside.item() == pytest.approx(
        law.log_box_probability(lower, upper).exp().item(), abs=0.005
    )


def test_a_mixture_has_the_moments_of_pyros_and_its_draws_have_them_too():
    torch.manual_seed(0)
    logits, loc, scale = torch.randn(4, 3), torch.randn(4, 3, 2), torch.rand(4, 3, 2) + 0.1
    ours = NormalMixture(logits, loc, scale)
    theirs = MixtureSameFamily(Categorical(logits=logits), Normal(loc, scale).to_event(1))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)
    m = ours.sample((20_000,))
    assert m.shape == (20_000, 4, 2)
    torch.testing.assert_close(ours.log_prob(m), theirs.log_prob(m))
    error = (ours.variance / len(m)).sqrt()
    assert ((m.mean(0) - ours.mean).abs() < 5 * error).all()
    torch.testing.assert_close(m.var(0), ours.variance, rtol=0.1, atol=0.0)
