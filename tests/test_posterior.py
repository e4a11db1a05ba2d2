"""Claims about the design posterior: three samplers against exact draws, honest statistics and
errors."""

import inspect

import numpy as np
import pytest
import torch
from exact import NOISE_M, PROCESS, double_precision, exact_model
from pyro.distributions import AffineBeta, Beta, Normal, TransformedDistribution, Uniform
from pyro.infer import NUTS
from small import small_model
from torch.distributions import AffineTransform

from pspgen_pyro import Box, InputError
from pspgen_pyro.cli import main
from pspgen_pyro.design import (
    DesignPosterior,
    Flow,
    FullRank,
    MeanField,
    RecordedNUTS,
    fit_svi,
    on_grid,
    sample_hmc,
    sample_nuts,
)
from pspgen_pyro.design.posterior.hmc import Leapfrog
from pspgen_pyro.design.posterior.nuts import STATISTICS

BOX = Box((-0.6, -0.4), (0.7, 0.9))


@pytest.fixture(scope="module")
def posterior():
    """The linear-Gaussian chain, its properties in units that are twice those of the decoder."""
    with torch.random.fork_rng(), double_precision():
        model = exact_model()
    model.m_scale.fill_(2.0)
    return DesignPosterior(model, Box((-1.2, -0.8), (1.4, 1.8)))


@pytest.fixture(scope="module")
def exact(posterior):
    """Exact draws of φ and z0 by rejection: simulate the chain, keep what lands in the box."""
    model, rng = posterior.model, np.random.default_rng(5)
    phi = PROCESS.sample(400_000, rng)
    z0 = rng.standard_normal((len(phi), 3))
    with torch.no_grad():
        z1 = model.latent_of_process(torch.tensor(phi))
        loc = model.decoder_m(torch.tensor(z0), z1).loc[:, 0].numpy()
    kept = BOX.contains(loc + NOISE_M * rng.standard_normal(loc.shape))
    return phi[kept], z0[kept], kept.mean()


SAMPLERS = {
    "HMC": lambda p: sample_hmc(p, draws=80, warmup=50),
    "NUTS": lambda p: sample_nuts(p, chains=2, draws=60, warmup=30),
    "SVI": lambda p: fit_svi(p, steps=300, draws=1000),
}


@pytest.fixture(scope="module")
def answers(posterior):
    return {name: sample(posterior) for name, sample in SAMPLERS.items()}


@pytest.mark.parametrize("method", SAMPLERS)
def test_means_and_spreads_of_phi_and_z0_are_those_of_exact_draws(answers, exact, method):
    import arviz_stats as az

    for ours, theirs in ((answers[method].phi, exact[0]), (answers[method].z0, exact[1])):
        for power in (1, 2):
            a, b = ours**power, theirs**power
            for j in range(a.shape[-1]):
                error = np.hypot(az.mcse(a[..., j]), b[:, j].std() / len(b) ** 0.5)
                assert abs(a[..., j].mean() - b[:, j].mean()) < 4.5 * error


@pytest.mark.parametrize("method", SAMPLERS)
def test_the_reported_share_of_the_prior_is_the_fraction_that_rejection_keeps(
    answers, exact, method
):
    evidence = answers[method].evidence
    assert abs(evidence.value - exact[2]) < 4 * np.hypot(evidence.standard_error, 1e-3)


def test_the_grid_has_the_moments_of_exact_draws(posterior, exact):
    grid = on_grid(posterior, points=30, draws=2048)
    phi = exact[0]
    assert grid.weight.sum() == pytest.approx(1)
    assert grid.mean == pytest.approx(phi.mean(axis=0), abs=4 * phi.std() / len(phi) ** 0.5)
    assert grid.sd == pytest.approx(phi.std(axis=0), rel=0.01)


def test_the_samplers_converge_and_none_of_their_transitions_diverges(answers):
    found = answers["HMC"].convergence()
    for name in ("HMC", "SVI"):
        assert answers[name].status.startswith("converged; whether training data support")
    assert found.r_hat.max() < 1.01
    assert min(found.ess_bulk.min(), found.ess_tail.min()) > 2000
    assert answers["HMC"].divergences == answers["NUTS"].divergences == 0
    assert answers["NUTS"].convergence().r_hat.max() < 1.04


def test_every_draw_has_its_statistics_and_its_log_density(answers, posterior):
    nuts, hmc = answers["NUTS"], answers["HMC"]
    assert tuple(nuts.statistics) == STATISTICS
    assert {"tree_depth", "reached_max_treedepth"} == set(STATISTICS) - set(hmc.statistics)
    for draws in (nuts, hmc):
        u = torch.special.ndtri((torch.tensor(draws.phi) + 1) / 2)
        position = torch.cat([u, torch.tensor(draws.z0)], dim=-1)
        with torch.no_grad():
            lp = posterior.log_density(position).numpy()
        assert draws.statistics["lp"] == pytest.approx(lp, abs=1e-6)
        assert (draws.statistics["energy"] >= -lp).all()
        assert 0.6 < draws.statistics["acceptance_rate"].mean() < 0.98
    depth, steps = nuts.statistics["tree_depth"], nuts.statistics["n_steps"]
    assert ((2**depth - 1 <= steps) & (steps < 2 ** (depth + 1))).all()


def test_the_kinetic_part_of_the_energy_is_chi_squared(answers):
    """K = ½ |r|² with r ~ N(0, I) of 5 dimensions has mean 5/2 and variance 5/2."""
    for draws in (answers["NUTS"], answers["HMC"]):
        kinetic = draws.statistics["energy"] + draws.statistics["lp"]
        assert kinetic.mean() == pytest.approx(2.5, abs=6 * (2.5 / kinetic.size) ** 0.5)


def test_the_names_in_pyro_that_the_recording_rests_on_are_still_there():
    kernel = NUTS(potential_fn=lambda site: site["q"].square().sum())
    for name in (
        "_reset",
        "_build_tree",
        "_build_basetree",
        "_t",
        "_warmup_steps",
        "_max_tree_depth",
        "_potential_energy_last",
    ):
        assert hasattr(kernel, name), f"Pyro no longer has NUTS.{name}: adapt RecordedNUTS"
    for name in ("_build_tree", "_build_basetree"):
        ours, theirs = (inspect.signature(getattr(c, name)) for c in (RecordedNUTS, NUTS))
        assert list(ours.parameters) == list(theirs.parameters)
    tree = inspect.getsource(NUTS.sample) + inspect.getsource(NUTS._build_basetree)
    for words in ("new_tree.z_proposal_pe", "tree_weight = -sliced_energy", "self._cache("):
        assert words in tree, f"Pyro's NUTS no longer has {words!r}: adapt RecordedNUTS"


def test_nuts_records_a_divergence_where_pyro_counts_one():
    """A wall of height 1e6 diverges whenever a trajectory meets it."""

    def potential(site):
        q = site["q"]
        return 0.5 * q.square().sum() + 1e6 * (q[0] > 1.5).to(q)

    from pyro.infer import MCMC

    kernel = RecordedNUTS(potential_fn=potential, step_size=0.3, adapt_step_size=False)
    chain = MCMC(kernel, 150, 20, {"q": torch.zeros(2)}, disable_progbar=True)
    chain.run()
    found = chain.diagnostics()
    recorded = np.flatnonzero(found["diverging"]["chain 0"])
    assert len(recorded) > 5
    assert recorded.tolist() == found["divergences"]["chain 0"]


def test_the_leapfrog_keeps_the_energy_to_second_order():
    def gradient(q):
        return -(q**4).sum(dim=-1), -4 * q**3

    errors = []
    for step in (0.02, 0.01):
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(200, 2, generator=generator)
        record = Leapfrog(gradient, start, generator, step_size=step).transition(1.0)
        errors.append(float((1 - record["acceptance_rate"]).mean()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize(
    "guide",
    [MeanField(), pytest.param(Flow(transforms=2, bins=4, hidden=(16,)), marks=pytest.mark.slow)],
)
def test_other_guides_find_the_same_mean(posterior, exact, guide):
    found = fit_svi(posterior, guide=guide, steps=150, draws=1000)
    assert found.pareto_k < 0.7
    assert found.convergence().mean == pytest.approx(exact[0].mean(axis=0), abs=0.05)
    assert found.settings["elbo"] < np.log(exact[2]) + 0.02


def test_a_guide_that_misses_part_of_the_posterior_says_so():
    model = exact_model()
    model.m_scale.fill_(2.0)
    with torch.no_grad():
        model.decoder_m.weight.mul_(8)
    found = fit_svi(
        DesignPosterior(model, Box((-0.1, -0.1), (0.1, 0.1))), guide=MeanField(), steps=60
    )
    assert found.status.startswith("approximate: the guide misses part")


def test_a_fit_leaves_the_model_its_parameters_and_gradients(posterior):
    before = {name: value.clone() for name, value in posterior.model.state_dict().items()}
    fit_svi(posterior, guide=FullRank(), steps=3, draws=10)
    assert all(parameter.grad is None for parameter in posterior.model.parameters())
    after = posterior.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.slow
def test_sampling_is_stable_with_a_sharp_decoder_and_a_target_beyond_a_corner():
    """m = 40 φ + noise of 0.4, in single precision, and a box that only a corner reaches."""
    with torch.random.fork_rng():
        model = exact_model(latent=2)
    with torch.no_grad():
        model.process_map.weight.copy_(torch.eye(2) / model.phi_scale[0] ** -1)
        model.process_map.bias.zero_()
        model.decoder_m.weight.zero_()
        model.decoder_m.weight[:, 2:] = 40 * torch.eye(2)
        model.decoder_m.weight[:, :2] = 0.1
        model.decoder_m.bias.zero_()
    model.m_scale.fill_(1 + 1e-12)
    model = model.float()
    model.m_scale.fill_(1.0001)
    corner = (1.0, -1.0)
    centre = 40 * np.array(corner)
    posterior = DesignPosterior(model, Box(centre - 1.5, centre + 1.5))
    found = sample_hmc(posterior, chains=16, draws=60, warmup=100)
    assert np.isfinite(found.phi).all()
    PROCESS.check(found.phi)
    assert found.divergences == 0
    assert found.convergence().r_hat.max() < 1.05
    assert np.abs(found.phi - corner).mean() < 0.05


def exact_draws(model, box, scale, number=600_000):
    """Draws of (φ, z0) by rejection from a linear-Gaussian chain of this noise in m."""
    rng = np.random.default_rng(5)
    phi, z0 = PROCESS.sample(number, rng), rng.standard_normal((number, model.dims.latent))
    with torch.no_grad():
        z1 = model.latent_of_process(torch.tensor(phi))
        loc = model.decoder_m(torch.tensor(z0), z1).loc[:, 0].numpy()
    kept = box.contains(loc + scale * rng.standard_normal(loc.shape))
    return np.concatenate([phi, z0], axis=1)[kept]


def assert_same_means(draws, exact):
    """Means of φ and z0 within four standard errors, and R-hat of every one at most 1.01."""
    import arviz_stats as az

    ours = np.concatenate([draws.phi, draws.z0], axis=-1)
    assert np.isfinite(ours).all()
    for a, b in zip(np.moveaxis(ours, -1, 0), exact.T, strict=True):
        assert az.rhat(a) <= 1.01
        assert abs(a.mean() - b.mean()) < 4 * np.hypot(az.mcse(a), b.std() / len(b) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-2, 1e-3])
def test_hmc_is_exact_with_a_decoder_that_makes_the_target_a_plateau_with_cliffs(
    monkeypatch, scale
):
    monkeypatch.setattr("exact.NOISE_M", scale)
    model = exact_model()
    model.m_scale.fill_(1 + 1e-9)
    found = sample_hmc(DesignPosterior(model, BOX), chains=32, draws=250, warmup=80)
    assert found.divergences == 0
    assert_same_means(found, exact_draws(model, BOX, scale))


@pytest.mark.slow
def test_nuts_takes_no_cliff_for_a_divergence(monkeypatch):
    monkeypatch.setattr("exact.NOISE_M", 1e-3)
    model = exact_model()
    model.m_scale.fill_(1 + 1e-9)
    options = {"chains": 1, "draws": 10, "warmup": 30, "max_tree_depth": 6}
    found = sample_nuts(DesignPosterior(model, BOX), **options)
    assert found.divergences == 0
    assert found.statistics["step_size"].min() > 0.03
    assert np.isfinite(found.phi).all()


def test_the_softened_density_is_only_followed_and_never_sampled(posterior):
    position = torch.randn(2000, posterior.size)
    soft = posterior.softened(position)
    assert (posterior.log_density(position) - soft).abs().max() > 0.01
    assert torch.autograd.gradcheck(
        posterior.softened, (position[:4].requires_grad_(),), eps=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (sample_hmc, {"chains": 64, "draws": 150, "warmup": 60}),
        (sample_nuts, {"chains": 2, "draws": 40, "warmup": 30}),
    ],
)
def test_mass_that_piles_up_at_a_corner_of_the_process_space_is_sampled_exactly(sampler, options):
    model = exact_model()
    with torch.no_grad():
        model.decoder_m.weight[:, 3:] *= 3
    model.m_scale.fill_(1 + 1e-9)
    far = Box((2.0, -50.0), (60.0, 50.0))
    exact = exact_draws(model, far, NOISE_M)
    edge = (np.abs(exact[:, :2]) > 0.9).any(axis=1)
    assert edge.mean() > 0.25
    found = sampler(DesignPosterior(model, far), **options)
    assert found.divergences == 0
    PROCESS.check(found.phi)
    ours = (np.abs(found.phi) > 0.9).any(axis=-1)
    assert ours.mean() == pytest.approx(edge.mean(), abs=0.15)
    assert_same_means(found, exact) if sampler is sample_hmc else None


def test_the_gradient_agrees_with_finite_differences(posterior):
    position = torch.randn(4, posterior.size, requires_grad=True)
    assert torch.autograd.gradcheck(posterior.log_density, (position,), eps=1e-6, atol=1e-7)


def test_a_prior_of_its_own_moves_the_posterior_as_bayes_says(posterior):
    prior = AffineBeta(
        torch.tensor([2.0, 0.7]), torch.tensor([5.0, 0.7]), torch.tensor(-1.0), torch.tensor(2.0)
    ).to_event(1)
    ours = DesignPosterior(posterior.model, posterior.target, prior)
    grid, found = on_grid(ours), sample_hmc(ours, draws=80, warmup=60)
    assert found.divergences == 0
    difference = found.convergence().mean - grid.mean
    assert np.abs(difference / found.convergence().mcse).max() < 4.5
    assert np.abs(grid.mean - on_grid(posterior).mean).max() > 0.2


def test_a_narrower_prior_keeps_every_draw_inside_it(posterior):
    prior = Uniform(torch.tensor([0.2, -1.0]), torch.tensor([0.3, 0.0])).to_event(1)
    phi = sample_hmc(DesignPosterior(posterior.model, posterior.target, prior), draws=20).phi
    assert ((phi >= [0.2 - 1e-9, -1]) & (phi <= [0.3 + 1e-9, 1e-9])).all()


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (Uniform(torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.5])).to_event(1), "phi2 .*1.5"),
        (Normal(torch.zeros(2), 1e-3).to_event(1), "not known to be bounded"),
        (
            TransformedDistribution(
                Beta(torch.ones(2), torch.ones(2)), AffineTransform(-1.0, 3.0)
            ).to_event(1),
            "leaves the process space",
        ),
        (Uniform(-torch.ones(2), torch.ones(2)), r"batch shape \(2,\)"),
        (Uniform(torch.tensor(-1.0), torch.tensor(1.0)), r"event shape \(\)"),
    ],
)
def test_a_prior_that_leaves_the_process_space_is_refused(posterior, prior, words):
    with pytest.raises(InputError, match=words):
        DesignPosterior(posterior.model, posterior.target, prior)


def test_the_same_seed_gives_the_same_draws_and_leaves_torch_alone(posterior):
    for sample in (
        lambda seed: sample_hmc(posterior, chains=4, draws=5, warmup=10, seed=seed),
        lambda seed: sample_nuts(posterior, chains=2, draws=4, warmup=5, seed=seed),
        lambda seed: fit_svi(posterior, steps=3, draws=5, seed=seed),
    ):
        state = torch.random.get_rng_state()
        first, again, other = sample(1), sample(1), sample(2)
        assert torch.equal(state, torch.random.get_rng_state())
        assert np.array_equal(first.phi, again.phi)
        assert not np.array_equal(first.phi, other.phi)


def test_chains_in_processes_are_the_chains_of_one_process(toy_run):
    from pspgen_pyro import load_run

    model = load_run(toy_run).model
    posterior = DesignPosterior(model, Box((-10, -7), (-9, -5)))
    alone, shared = (
        sample_nuts(posterior, chains=2, draws=4, warmup=3, max_tree_depth=3, workers=workers)
        for workers in (1, 2)
    )
    assert np.array_equal(alone.phi, shared.phi)


def test_one_chain_says_that_it_has_nothing_to_be_compared_with(posterior):
    status = sample_hmc(posterior, chains=1, draws=20, warmup=10).status
    assert status == "not checked: R-hat compares chains; run two or more"


def test_an_unreachable_target_is_unsupported_and_not_an_answer(posterior):
    far = DesignPosterior(posterior.model, Box((90.0, 90.0), (91.0, 91.0)))
    assert sample_hmc(far, draws=10, warmup=20).status.startswith("unsupported")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target=-10:-9"], "has 1 interval"),
        (["--target=depth>-7"], "no property here"),
        (["--target=-9:-10,-7:-5"], "is inverted"),
        (["--target=-10:-9,-7:-5", "--draws=0"], "'draws' is 0"),
        (["--target=-10:-9,-7:-5", "--chains=64", "--draws=3"], "need at least 4"),
        (["--target=-10:-9,-7:-5", "--chains=0"], "'chains' is 0"),
    ],
)
def test_a_bad_question_ends_with_one_sentence_code_2_and_no_file(
    toy_run, tmp_path, capsys, options, words
):
    assert main(["posterior", str(toy_run), *options, "--out", str(tmp_path / "p.zarr")]) == 2
    captured = capsys.readouterr()
    (line,) = [li for li in captured.err.splitlines() if li.startswith("pspgen: error: ")]
    assert words in line
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_was_never_trained_is_refused():
    with pytest.raises(InputError, match="never trained"):
        DesignPosterior(small_model(), BOX)


@pytest.mark.parametrize(
    ("sample", "options", "words"),
    [
        (sample_hmc, {"draws": 0}, "'draws' is 0"),
        (sample_hmc, {"chains": 0}, "'chains' is 0"),
        (sample_hmc, {"chains": 64, "draws": 3}, "'draws' is 3 a chain, but R-hat"),
        (sample_nuts, {"draws": 3}, "need at least 4"),
        (fit_svi, {"draws": 3}, "need at least 4"),
        (sample_hmc, {"target_accept": 1.0}, "between 0 and 1"),
        (sample_hmc, {"trajectory": 0.0}, "be positive"),
        (sample_hmc, {"trajectory": np.inf}, "be positive, finite"),
        (sample_hmc, {"trajectory": "0.5"}, "be positive, finite"),
        (sample_nuts, {"target_accept": "0.5"}, "between 0 and 1"),
        (sample_hmc, {"seed": -1}, "'seed' is -1"),
        (sample_nuts, {"seed": 1.5}, "'seed' is 1.5"),
        (fit_svi, {"seed": 2**63}, "'seed' is 9223372036854775808"),
        (sample_nuts, {"warmup": 0}, "'warmup' is 0"),
        (sample_nuts, {"target_accept": 0.0}, "between 0 and 1"),
        (sample_nuts, {"workers": 0}, "'workers' is 0"),
        (fit_svi, {"steps": 0}, "'steps' is 0"),
        (fit_svi, {"learning_rate": -1.0}, "must be positive"),
        (on_grid, {"points": 2000}, "2000\\^2 cells"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(posterior, sample, options, words):
    with pytest.raises(InputError, match=words):
        sample(posterior, **options)


def test_a_target_of_another_dimension_is_refused(posterior):
    with pytest.raises(InputError, match="has 1 interval"):
        DesignPosterior(posterior.model, Box((0.0,), (1.0,)))
