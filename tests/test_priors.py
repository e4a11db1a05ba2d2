"""Claims about the priors of z0: densities, transports and divergences say the same thing."""

import json
import math

import numpy as np
import pytest
import torch
from exact import double_precision
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.distributions import MultivariateNormal, Normal
from pyro.infer import Predictive
from scipy.stats import kstest
from test_model import PROCESS, small_model
from torch.distributions import kl_divergence

from pspgen_pyro import InputError, PSPGen
from pspgen_pyro.model import (
    Dimensions,
    FlowPrior,
    GaussianPrior,
    MixturePrior,
    StandardNormalPrior,
    StationaryPrior,
    part_from_json,
    part_to_json,
)
from pspgen_pyro.model.distributions import NormalMixture, mixture_quantile

DIMS = Dimensions(2, (16, 16), 2, latent=18, process_latent=3)
KINDS = {
    "gaussian": GaussianPrior(2, (8,)),
    "mixture": MixturePrior(4, 2, (8,)),
    "flow": FlowPrior(hidden=(8,)),
}


def built(part, dims=DIMS):
    """A prior whose law depends on φ, as after training."""
    torch.manual_seed(3)
    prior = part.build(dims)
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.25 * torch.randn_like(p))
    return prior


@pytest.fixture(scope="module", params=KINDS)
def prior(request):
    with double_precision():
        return built(KINDS[request.param])


def settings_of(n=1):
    return torch.tensor([[0.7, -1.1]]).expand(n, -1)


def grid_density(prior, points=401, end=9.0):
    """The density of the first two entries on a grid, and the grid."""
    line = torch.linspace(-end, end, points)
    values = torch.cartesian_prod(line, line)
    with torch.no_grad():
        log_density = prior.law(settings_of(len(values))).log_prob(values)
    return log_density.exp().reshape(points, points), line


def test_the_density_integrates_to_one(prior):
    density, line = grid_density(prior)
    step = (line[1] - line[0]).item()
    assert density.sum().item() * step**2 == pytest.approx(1.0, abs=2e-3)


def test_the_transport_of_normal_noise_has_the_density(prior):
    """Each test is wrong with probability 1e-4."""
    density, line = grid_density(prior)
    step = (line[1] - line[0]).item()
    with torch.no_grad():
        draws = prior.transport(torch.randn(4000, 18), settings_of(4000))
    for entry in (0, 1):
        marginal = density.sum(1 - entry).numpy() * step**2
        cdf = np.cumsum(marginal) - 0.5 * marginal

        def at(z, cdf=cdf):
            return np.interp(z, line.numpy(), cdf)

        assert kstest(draws[:, entry].numpy(), at).pvalue > 1e-4
    product = (draws[:, 0] * draws[:, 1]).numpy()
    exact = (density * line[:, None] * line).sum().item() * step**2
    assert abs(product.mean() - exact) < 4 * product.std() / 4000**0.5 + 2e-3


def test_the_transport_and_the_law_give_the_same_expectations(prior):
    """Twenty random functions; each within four standard errors."""
    n = 6000
    law = prior.law(settings_of(n))
    with torch.no_grad():
        drawn = (law.normal if hasattr(law, "normal") else law).sample()
        carried = prior.transport(torch.randn(n, 18), settings_of(n))[:, :2]
    waves, phases = torch.randn(2, 20), 2 * math.pi * torch.rand(20)
    a, b = (torch.cos(z @ waves + phases) for z in (drawn, carried))
    error = ((a.var(0) + b.var(0)) / n).sqrt()
    assert ((a.mean(0) - b.mean(0)).abs() < 4 * error).all()


def test_the_transport_rises_with_the_noise_of_its_entry(prior):
    noise = torch.randn(1, 18).repeat(200, 1)
    for entry in range(18):
        moved = noise.clone()
        moved[:, entry] = torch.linspace(-6, 6, 200)
        with torch.no_grad():
            z = prior.transport(moved, settings_of(200))[:, entry]
        assert (z.diff() > 0).all(), entry


def test_the_slopes_of_the_transport_are_those_of_finite_differences(prior):
    noise = torch.randn(3, 18, requires_grad=True)
    phi = torch.randn(3, 2, requires_grad=True)
    assert torch.autograd.gradcheck(prior.transport, (noise, phi), eps=1e-6, atol=1e-5)


def test_extreme_noise_is_carried_to_finite_values_with_finite_slopes(prior):
    noise = torch.tensor([-8.0, 8.0])[:, None].expand(2, 18).clone().requires_grad_()
    z = prior.transport(noise, settings_of(2))
    assert z.isfinite().all()
    (slope,) = torch.autograd.grad(z.sum(), noise)
    assert slope.isfinite().all()
    assert (z[1, :2] > z[0, :2]).all()


def test_single_precision_carries_extreme_noise_too(prior):
    noise = torch.tensor([-6.0, -3.0, 3.0, 6.0])[:, None].expand(4, 18)
    with torch.no_grad():
        fine = prior.transport(noise, settings_of(4))
        coarse = prior.float().transport(noise.float(), settings_of(4).float())
        prior.double()
    assert torch.allclose(coarse.double(), fine, atol=2e-3, rtol=2e-3)


def test_the_entries_without_a_law_of_their_own_are_standard_normal(prior):
    noise = torch.randn(5, 18)
    assert torch.equal(prior.transport(noise, settings_of(5))[:, 2:], noise[:, 2:])
    z0 = torch.randn(5, 18)
    rest = Normal(0.0, 1.0).log_prob(z0[:, 2:]).sum(-1)
    total = prior(settings_of(5)).log_prob(z0)
    assert torch.allclose(total, prior.law(settings_of(5)).log_prob(z0[:, :2]) + rest)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    components=st.integers(1, 12),
    sharp=st.floats(0.01, 1.0),
    far=st.floats(0.0, 8.0),
)
def test_the_quantile_of_a_mixture_inverts_its_distribution_function(seed, components, sharp, far):
    """Also between components far apart, and in tails of 1e-15."""
    with double_precision():
        torch.manual_seed(seed)
        weights = (2 * torch.randn(50, components)).softmax(-1)
        loc = far * torch.randn(50, components)
        scale = sharp ** torch.rand(50, components)
        noise = torch.linspace(-8, 8, 50)
        z = mixture_quantile(noise, weights, loc, scale)
        side = torch.where(noise > 0, -1.0, 1.0)
        standard = side[:, None] * (z[:, None] - loc) / scale
        tail = (weights * 0.5 * torch.erfc(-standard / 2**0.5)).sum(-1)
        # the last digit of z is worth this much noise
        slope = NormalMixture(weights.log(), loc[..., None], scale[..., None])
        log_slope = slope.log_prob(z[:, None]) - Normal(0.0, 1.0).log_prob(noise)
        digit = 1e-14 * (1 + z.abs()) * log_slope.exp()
        assert ((torch.special.ndtri(tail) * side - noise).abs() < 1e-12 + digit).all()


def field_law(planes=2, side=4):
    """A stationary law with random spectra, and the dense Gaussian it stands for."""
    torch.manual_seed(5)
    prior = built(StationaryPrior((8,)), Dimensions(2, (4 * side,) * 2, 2, planes * side**2, 3))
    phi = settings_of()
    law = prior.law(phi)
    mean, log_density = prior._moments(phi)
    sites = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    row = torch.fft.ifft2(log_density[0].exp()).real
    offset = (sites[:, None] - sites[None]) % side
    blocks = [row[p][offset[..., 0], offset[..., 1]] for p in range(planes)]
    loc = mean[0, :, 0, 0].repeat_interleave(side**2)
    return prior, phi, law, MultivariateNormal(loc, torch.block_diag(*blocks))


def test_a_stationary_law_is_the_gaussian_with_the_circulant_covariance():
    _, _, law, dense = field_law()
    z = torch.randn(6, 32)
    assert torch.allclose(law.log_prob(z), dense.log_prob(z), rtol=1e-10)


def test_the_divergence_from_a_stationary_law_is_that_of_dense_gaussians():
    _, _, law, dense = field_law()
    loc, scale = torch.randn(6, 32), torch.rand(6, 32) + 0.1
    q = MultivariateNormal(loc, torch.diag_embed(scale.square()))
    assert torch.allclose(law.divergence(loc, scale), kl_divergence(q, dense), rtol=1e-10)


def test_the_transport_of_a_stationary_prior_has_the_covariance_of_its_law():
    """The transport is affine, so that its Jacobian J has J Jᵀ as covariance."""
    prior, phi, _, dense = field_law()
    jacobian = torch.autograd.functional.jacobian(
        lambda e: prior.transport(e, phi)[0], torch.zeros(32)
    )
    assert torch.allclose(jacobian @ jacobian.T, dense.covariance_matrix, atol=1e-12)
    assert torch.allclose(prior.transport(torch.zeros(32), phi)[0], dense.mean)


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (3, 2)])
def test_shifting_a_field_leaves_its_density_alone(shift):
    _, _, law, _ = field_law()
    z = torch.randn(6, 32)
    moved = z.reshape(6, 2, 4, 4).roll(shift, (2, 3)).flatten(1)
    assert torch.allclose(law.log_prob(z), law.log_prob(moved), rtol=1e-12)


def test_a_prior_beside_a_stationary_one_is_the_product_of_both():
    prior = built(MixturePrior(3, 2, (8,), rest=StationaryPrior((8,))))
    phi, z0, noise = torch.randn(5, 2), torch.randn(5, 18), torch.randn(5, 18)
    both = prior.law(phi).log_prob(z0[:, :2]) + prior.rest.law(phi).log_prob(z0[:, 2:])
    assert torch.allclose(prior(phi).log_prob(z0), both)
    moved = prior.transport(noise, phi)
    assert torch.equal(moved[:, :2], prior.carry(noise[:, :2], phi))
    assert torch.equal(moved[:, 2:], prior.rest.carry(noise[:, 2:], phi))
    own = {id(p) for p in prior.own_parameters()}
    assert own == {id(p) for p in prior.networks.parameters()}


def test_the_divergence_by_one_draw_is_unbiased():
    """A mixture of one component is a Gaussian, whose divergence is known; four standard
    errors."""
    n = 40_000
    prior = built(MixturePrior(1, 2, (8,), members=1))
    law = prior.law(settings_of())
    gaussian = Normal(law.loc[0, 0], law.scale[0, 0]).to_event(1)
    loc, scale = torch.randn(18), torch.rand(18) + 0.2
    q = Normal(loc.expand(n, -1), scale.expand(n, -1)).to_event(1)
    with torch.no_grad():
        drawn = prior(settings_of(n)).divergence(q, q.sample())
    first = kl_divergence(Normal(loc[:2], scale[:2]).to_event(1), gaussian)
    rest = kl_divergence(Normal(loc[2:], scale[2:]), Normal(0.0, 1.0)).sum()
    assert abs(drawn.mean() - first - rest) < 4 * drawn.std() / n**0.5
    assert drawn.std() > 0.1


@pytest.mark.parametrize("part", [GaussianPrior(2, (8,)), GaussianPrior(None, (8,))])
def test_the_divergence_of_a_gaussian_prior_needs_no_draw(part):
    prior, phi = built(part), torch.randn(5, 2)
    q = Normal(torch.randn(5, 18), torch.rand(5, 18) + 0.1).to_event(1)
    law = prior(phi)
    found = law.divergence(q, torch.full((5, 18), torch.nan))
    loc, scale = prior._moments(phi)
    rest = 18 - loc.shape[-1]
    p = Normal(
        torch.cat([loc, torch.zeros(5, rest)], -1), torch.cat([scale, torch.ones(5, rest)], -1)
    ).to_event(1)
    assert torch.allclose(found, kl_divergence(q, p))
    assert torch.allclose(law.entry_divergence(q).sum(-1), found)


def test_a_gaussian_prior_starts_near_the_standard_normal():
    torch.manual_seed(0)
    loc, scale = GaussianPrior().build(DIMS)._moments(torch.randn(50, 2))
    assert loc.abs().max() < 0.2
    assert (scale - 1).abs().max() < 0.2


PARTS = [
    StandardNormalPrior(),
    *KINDS.values(),
    GaussianPrior(None),
    MixturePrior(entries=None),
    StationaryPrior((8,)),
    FlowPrior(2, 4, 2, (8,), rest=StationaryPrior((8, 4))),
    MixturePrior(3, 1, rest=GaussianPrior(None)),
    FlowPrior(hidden=(8,), rest=StandardNormalPrior()),
]


@pytest.mark.parametrize("part", PARTS)
def test_a_prior_survives_json_with_the_prior_inside_it(part):
    assert part_from_json(json.loads(json.dumps(part_to_json(part)))) == part


@pytest.mark.parametrize("part", PARTS)
def test_every_prior_is_a_site_of_the_pyro_model_that_new_settings_can_be_drawn_from(part):
    latent = 16 if isinstance(part, StationaryPrior) else 18
    model = PSPGen(PROCESS, (16, 16), latent=latent, process_latent=3, prior=part, beta=1.0)
    phi = torch.tensor([[1.0, 0.5], [8.0, 1.5], [3.0, 1.0]])
    draws = Predictive(model.model, num_samples=4)(phi)
    assert draws["z0"].shape == (4, 3, latent)
    trace = poutine.trace(model.model).get_trace(phi)
    law = model.prior(model.standardise(phi))
    trace.compute_log_prob()
    z0 = trace.nodes["z0"]
    assert z0["log_prob"].shape == (3,)
    assert torch.allclose(z0["log_prob"], law.log_prob(z0["value"]))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (GaussianPrior(0), "'entries' is 0 but z0 has 6"),
        (MixturePrior(entries=7), "'entries' is 7 but z0 has 6"),
        (FlowPrior(entries=-1), "'entries' is -1"),
        (StationaryPrior(), "w has 6 entries and the image 8×8"),
        (GaussianPrior(None, rest=StationaryPrior()), "w has 0 entries"),
        (MixturePrior(rest=GaussianPrior(1)), "must cover all other entries"),
        (MixturePrior(rest=MixturePrior(2, None)), "its divergence in closed form"),
    ],
)
def test_a_prior_that_does_not_fit_z0_is_refused(part, words):
    with pytest.raises(InputError, match=words):
        small_model(prior=part)
