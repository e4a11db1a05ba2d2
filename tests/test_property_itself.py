"""Claims about a model whose first latents are the properties: closed forms against simulation,
and a posterior against rejection."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm

from pspgen_pyro import Box, InputError, ProcessSpace, PSPGen
from pspgen_pyro.data.batches import TriadTensors
from pspgen_pyro.design import (
    Boxes,
    ClosedForm,
    DesignPosterior,
    KullbackLeibler,
    SquaredDistance,
    log_probability,
    maximise,
    on_grid,
    probability,
    sample_hmc,
    sample_nuts,
    sobol_normal,
)
from pspgen_pyro.model import (
    CodedProperty,
    ConnectivityEncoder,
    FlowPrior,
    GaussianPrior,
    MixturePrior,
    PropertyItself,
    ThreeBranchEncoder,
)
from pspgen_pyro.model.distributions import truncated_normal
from pspgen_pyro.report import generate_images
from pspgen_pyro.training.stages import PriorStage, code_of, fit_prior

PROCESS = ProcessSpace(("phi1", "phi2"), (-1.0, -1.0), (1.0, 1.0))
READING = CodedProperty(components=2, hidden=(8,))
SMALL = {"channels": 4, "head": 8, "image": (8,), "vector": (4,), "joint": (4,)}
LATENT, SIZE = 5, 8


def model_with(prior=None, decoder=None, encoder=None):
    """A model of random weights whose prior moves with φ."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = PSPGen(
            PROCESS,
            (SIZE, SIZE),
            latent=LATENT,
            process_latent=2,
            prior=prior or MixturePrior(3, 2, (16,)),
            property_decoder=decoder or PropertyItself(0.1),
            encoder=encoder or ConnectivityEncoder(reading=READING, **SMALL),
        ).double()
    with torch.no_grad():
        for name, p in model.prior.named_parameters():
            if name.endswith("weight"):
                p.mul_(2.0)
    model.m_loc.fill_(-7.0)
    model.m_scale.fill_(1.5)
    return model.eval()


def simulated(model, number, seed=0):
    """Draws of φ, z0 and m from the model itself."""
    generator = torch.Generator().manual_seed(seed)
    phi = 2 * torch.rand(number, 2, generator=generator, dtype=torch.float64) - 1
    noise = torch.randn(number, LATENT, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        z0 = model.prior.transport(noise, model.standardise(phi))
        m = model.property_given(z0, model.latent_of_process(phi)).draw(generator)
    return phi.numpy(), z0.numpy(), m.numpy()


PRIORS = [MixturePrior(3, 2, (16,)), GaussianPrior(2, (16,))]


@pytest.mark.parametrize("prior", PRIORS)
def test_the_closed_form_of_m_given_phi_is_the_mean_over_z0(prior):
    model = model_with(prior)
    phi = torch.tensor([[-0.5, 0.8]], dtype=torch.float64)
    law = model.property_given_process(phi)
    noise = sobol_normal(1 << 15, LATENT, 0, torch.float64)
    with torch.no_grad():
        z0 = model.prior.transport(noise, model.standardise(phi).expand(len(noise), -1))
        sampled = model.property_given(z0, z0)
        m = law.draw(torch.Generator().manual_seed(0)) + torch.tensor([[0.0], [0.2]])
        mean = sampled.log_prob(m[:, None]).logsumexp(-1) - np.log(len(noise))
    assert law.log_prob(m).exp().detach().numpy() == pytest.approx(mean.exp().numpy(), rel=0.02)


def test_a_flow_has_no_closed_form_and_says_so():
    model = model_with(FlowPrior(bins=4, hidden=(8,)))
    assert model.property_given_process(torch.zeros(1, 2).double()) is None
    assert model_with(MixturePrior(3, 1, (8,))).property_given_process(torch.zeros(1, 2)) is None


def test_p_has_no_sampling_error_and_is_that_of_simulated_properties():
    model, box = model_with(), Box((-8.0, -8.5), (-6.5, -6.0))
    phi, _, m = simulated(model, 60_000)
    inside = (np.abs(phi - 0.3) < 0.1).all(axis=1)
    found, hits = probability(model, box, phi[inside]), box.contains(m[inside])
    assert (found.standard_error < 1e-12).all()
    assert hits.mean() == pytest.approx(found.value.mean(), abs=4 * hits.std() / len(hits) ** 0.5)
    closed = ClosedForm(16)(model, box, torch.tensor(phi[:3]), torch.Generator().manual_seed(0))
    assert closed.detach().numpy() == pytest.approx(probability(model, box, phi[:3]).value)


def test_every_objective_takes_the_closed_form():
    model, phi = model_with(), torch.tensor([[0.2, -0.4]], dtype=torch.float64)
    law, one = model.property_given_process(phi), sobol_normal(1, LATENT, 0, torch.float64)
    draws = law.expand([40_000, 1]).draw(torch.Generator().manual_seed(1))[:, 0]
    point = (-7.0, -6.0)
    distance = (draws - torch.tensor(point)).square().sum(-1)
    score = SquaredDistance(point).score(model, phi, one)
    assert -score.item() == pytest.approx(
        distance.mean().item(), abs=4 * distance.std().item() / 200
    )
    wanted = torch.distributions.Independent(
        torch.distributions.Normal(law.mean[0].detach(), law.stddev[0].detach()), 1
    )
    divergence = -KullbackLeibler(wanted, points=4096).score(model, phi, one).item()
    sample = wanted.sample((20_000,))
    terms = (wanted.log_prob(sample) - law.log_prob(sample)).detach()
    assert divergence == pytest.approx(terms.mean().item(), abs=4 * terms.std().item() / 141)


TARGETS = [
    Box((-8.0, -8.5), (-6.5, -6.0)),
    Boxes((Box((-9.0, -7.0), (-7.5, -5.0)), Box((-6.5, -9.0), (-5.0, np.inf)))),
]
DECODERS = {
    "itself": (PropertyItself(0.1), ConnectivityEncoder(reading=READING, **SMALL), 2),
    "code": (READING, ConnectivityEncoder(**SMALL), 4),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", DECODERS)
def test_the_posterior_of_phi_and_all_of_z0_is_that_of_rejection(kind, target):
    """Means and second moments, also between φ and z0, within four and a half standard errors; an
    entry that no property depends on keeps its prior."""
    decoder, encoder, size = DECODERS[kind]
    model = model_with(decoder=decoder, encoder=encoder)
    phi, z0, m = simulated(model, 120_000)
    kept = target.contains(m)
    exact = np.concatenate([phi, z0], axis=1)[kept]
    posterior = DesignPosterior(model, target)
    assert posterior.size == size
    found = sample_hmc(posterior, chains=32, draws=80, warmup=60)
    assert found.divergences == 0
    assert found.evidence.value == pytest.approx(kept.mean(), rel=0.1)
    ours = np.concatenate([found.phi, found.z0], axis=-1)
    import arviz_stats as az

    for j in range(ours.shape[-1]):
        for k in range(j + 1):
            a, b = ours[..., j] * ours[..., k], exact[:, j] * exact[:, k]
            error = np.hypot(az.mcse(a), b.std() / len(b) ** 0.5)
            assert abs(a.mean() - b.mean()) < 4.5 * error
        error = np.hypot(az.mcse(ours[..., j]), exact[:, j].std() / len(exact) ** 0.5)
        assert abs(ours[..., j].mean() - exact[:, j].mean()) < 4.5 * error


def test_nuts_and_the_grid_agree_where_only_phi_is_sampled():
    posterior = DesignPosterior(model_with(), TARGETS[0])
    found, grid = sample_nuts(posterior, chains=2, draws=80, warmup=50), on_grid(posterior)
    assert found.divergences == 0
    summary = found.convergence()
    assert np.abs((summary.mean - grid.mean) / summary.mcse).max() < 4.5


def test_a_design_is_at_the_top_of_the_exact_surface():
    model, box = model_with(), TARGETS[0]
    grid = PROCESS.grid(30)
    found = maximise(model, box)
    assert float(found.probability.value) >= probability(model, box, grid).value.max() - 1e-6


def test_known_properties_are_the_latents_and_others_have_the_moments_of_the_reading():
    model = model_with()
    x = (torch.rand(6, SIZE, SIZE) < 0.5).double()
    m = torch.randn(6, 2).double() - 7
    m[3:] = torch.nan
    loc, scale = code_of(model, TriadTensors(torch.zeros(6, 2).double(), x, m))
    assert torch.allclose(loc[:3], (m[:3] + 7) / 1.5)
    assert (scale[:3] == READING.floor).all()
    hidden = model.encoder.hidden_given(x[3:])
    with torch.no_grad():
        drawn = model.encoder.read(hidden.sample((4000,)))
    assert torch.allclose(loc[3:], drawn.mean(0), atol=0.1)
    assert torch.allclose(scale[3:], drawn.std(0), rtol=0.1)
    q = model.latent_given(x, m, torch.zeros(6, 2).double())
    assert torch.equal(q.mean[:, :2].detach(), loc)


def test_the_prior_is_fitted_to_the_measured_properties_whatever_x_is():
    model, other = model_with(), model_with()
    phi, _, m = (torch.tensor(v) for v in simulated(model, 300))
    x = (torch.rand(2, 300, SIZE, SIZE) < 0.5).double()
    losses = [
        fit_prior(a, TriadTensors(phi, b, m), PriorStage(steps=20))
        for a, b in zip((model, other), x, strict=True)
    ]
    assert losses[0] == losses[1]
    bare = m.index_fill(0, torch.arange(50), torch.nan)
    assert fit_prior(model, TriadTensors(phi, x[0], bare), PriorStage(steps=20)) != fit_prior(
        other, TriadTensors(phi, x[1], bare), PriorStage(steps=20)
    )


def test_an_image_chosen_among_many_has_the_properties_asked_for_more_nearly():
    model, phi, count = model_with(), np.array([0.2, -0.4]), 100
    noise = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(0)).double()
    inner = model.standardise(torch.tensor(np.tile(phi, (count, 1))))
    u = model.prior.transport(noise, inner)[:, :2]
    fits = []
    for candidates in (1, 8, 64):
        x = torch.tensor(generate_images(model, phi, count, 0, candidates)).double()
        fits.append(model.encoder.agreement(x, u).mean().item())
    assert fits[0] < fits[1] < fits[2]
    with pytest.raises(InputError, match="'candidates' is 0"):
        generate_images(model, phi, count, 0, 0)


def test_the_default_parts_agree_on_who_reads_the_code():
    def parts(**chosen):
        made = PSPGen(PROCESS, (SIZE, SIZE), latent=LATENT, **chosen).parts
        return made["decoder_m"], made["encoder"], made["prior"]

    reads = ConnectivityEncoder(reading=CodedProperty())
    assert parts() == (PropertyItself(), reads, MixturePrior(entries=2))
    assert parts(encoder=ConnectivityEncoder())[0] == CodedProperty()
    assert parts(encoder=ConnectivityEncoder(2))[2].entries == 4
    assert parts(property_decoder=CodedProperty())[1] == ConnectivityEncoder()
    assert parts(property_decoder=PropertyItself(0.1))[1] == reads
    assert parts(encoder=ThreeBranchEncoder())[1] == ThreeBranchEncoder()


def test_probability_reads_a_log_probability_of_its_own_whatever_the_noise():
    model, phi = model_with(), torch.zeros(1, 2).double()
    values = {
        log_probability(model, TARGETS[0], phi, sobol_normal(n, LATENT, n, torch.float64)).item()
        for n in (1, 8, 64)
    }
    assert len(values) == 1


@pytest.mark.parametrize(
    "ends", [(-1.0, 0.5), (2.0, np.inf), (-np.inf, -3.0), (6.0, 6.1), (30.0, 31.0), (-40.0, -36.0)]
)
def test_truncated_normals_have_the_law_of_scipy(ends):
    n = 4000
    loc, scale = torch.full((n,), 0.3), torch.full((n,), 1.2)
    lower, upper = (torch.full((n,), end, dtype=torch.float64) for end in ends)
    drawn = truncated_normal(
        loc.double(), scale.double(), lower, upper, torch.Generator().manual_seed(1)
    )
    a, b = ((end - 0.3) / 1.2 for end in ends)
    assert kstest(drawn.numpy(), truncnorm(a, b, 0.3, 1.2).cdf).pvalue > 1e-3
