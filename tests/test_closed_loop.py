"""Claims about the closed loop, on a linear-Gaussian chain whose every probability is known."""

import copy

import numpy as np
import pytest
import torch
from exact import PROCESS, exact_model, property_law
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pspgen_pyro import Batches, Box, InputError, ProcessSpace
from pspgen_pyro.chain import ChainSample
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.design import (
    Discrepancy,
    Refinement,
    design_in_loop,
    maximise,
    probability,
)
from pspgen_pyro.errors import SimulationError

BOX = Box((-0.6, -0.4), (0.9, 1.1))
QUICK = {
    "starts": 4,
    "draws": 64,
    "refine": Refinement(steps=150, learning_rate=2e-2, batch_size=100, draws=32),
}


class ExactChain:
    """Simulates m from the exact law of a linear-Gaussian model; counts its calls."""

    process = PROCESS

    def __init__(self, failing=0.0):
        self.model, self.calls, self.seen, self.failing = exact_model(), 0, [], failing

    def law(self, phi):
        loc, covariance = property_law(self.model, torch.tensor(phi))
        return loc.detach().numpy(), covariance.detach().numpy()

    def simulate(self, phi, seeds):
        self.calls += len(seeds)
        self.seen += [(s.entropy, s.spawn_key) for s in seeds]
        loc, covariance = self.law(phi)
        factor = np.linalg.cholesky(covariance)
        rngs = [np.random.default_rng(s) for s in seeds]
        m = loc + np.array([rng.standard_normal(2) for rng in rngs]) @ factor.T
        m[[rng.random() < self.failing for rng in rngs]] = np.nan
        x = np.zeros((len(phi), 3, 3), dtype=np.uint8)
        return ChainSample(phi, x, np.exp(m), m, np.ones((len(phi), 2), bool))

    def probability(self, phi):
        (loc,), covariance = self.law(phi[None])
        law = stats.multivariate_normal(np.zeros(2), covariance)
        return law.cdf(np.array(BOX.upper) - loc, lower_limit=np.array(BOX.lower) - loc)


def triads(chain, count, seed):
    phi = PROCESS.sample(count, np.random.default_rng(seed))
    sample = chain.simulate(phi, np.random.SeedSequence(seed).spawn(count))
    chain.calls, chain.seen = 0, []
    return Batch(*(torch.tensor(a) for a in (sample.phi, sample.x, sample.m)))


def data_of(chain, count=200):
    return Batches(triads(chain, count, 1), triads(chain, 20, 2))


def biased_model():
    model = exact_model()
    with torch.no_grad():
        model.decoder_m.bias += torch.tensor([0.8, -0.6])
    return model


def run(model, chain, data=None, **options):
    data = data or data_of(chain)
    return design_in_loop(model, data, BOX, simulator=chain, **(QUICK | options))


@pytest.mark.parametrize("budget", [1, 7, 60, 301])
def test_the_loop_never_exceeds_its_budget_and_counts_every_call(budget):
    chain = ExactChain()
    loop = run(biased_model(), chain, budget=budget, precision=1e-3)
    assert chain.calls == loop.calls == budget == loop.rounds[-1].calls
    assert sum(turn.checks + turn.spread for turn in loop.rounds) == budget
    assert loop.status.startswith("budget spent")


def test_no_simulation_is_made_twice():
    chain = ExactChain()
    run(biased_model(), chain, budget=120, precision=1e-3)
    assert len(set(chain.seen)) == 120


def test_a_model_that_is_right_is_agreed_with_before_the_budget_is_spent():
    chain = ExactChain()
    loop = run(exact_model(), chain, budget=1000, precision=0.05)
    assert loop.status == "agreed"
    assert loop.rounds[-1].agrees
    assert loop.rounds[-1].simulated.standard_error <= 0.05
    assert loop.calls < 700


def test_without_exploring_a_right_model_is_only_checked():
    chain = ExactChain()
    loop = run(exact_model(), chain, budget=1000, precision=0.05, explore=0)
    assert len(loop.rounds) == 1
    assert loop.rounds[0].spread == 0
    assert loop.calls == loop.rounds[0].checks


def test_a_biased_model_is_corrected_where_it_is_asked():
    chain = ExactChain()
    loop = run(biased_model(), chain, budget=400)
    truth = chain.probability(loop.phi)
    assert abs(loop.predicted.value - truth) > 0.1
    error = abs(loop.probability.value - truth)
    assert error < min(0.08, 3 * loop.probability.standard_error)


def test_the_model_that_has_learned_all_simulations_designs_better():
    chain = ExactChain()
    before, after = biased_model(), run(biased_model(), chain, budget=400).model
    phi = [maximise(model, BOX, starts=4, draws=64).phi for model in (before, after)]
    assert chain.probability(phi[1]) > chain.probability(phi[0]) + 0.02


def test_the_same_seed_gives_the_same_rounds_and_another_seed_others():
    loops = [run(biased_model(), ExactChain(), budget=60, seed=s) for s in (5, 5, 6)]
    phis = [np.concatenate([*(turn.phi for turn in loop.rounds)]) for loop in loops]
    assert np.array_equal(phis[0], phis[1])
    assert loops[0].probability.value == loops[1].probability.value
    assert not torch.equal(loops[0].data.train.phi, loops[2].data.train.phi)


def test_the_loop_leaves_the_model_the_data_and_the_random_state_alone():
    chain, model = ExactChain(), biased_model()
    data, before = data_of(chain), copy.deepcopy(model.state_dict())
    torch.manual_seed(11)
    wanted = torch.get_rng_state()
    loop = run(model, chain, data, budget=60)
    assert torch.equal(torch.get_rng_state(), wanted)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(data.train) == 200
    assert len(loop.data.train) == 260
    assert loop.data.validation is data.validation


def test_only_the_property_decoder_changes():
    model = biased_model()
    loop = run(model, ExactChain(), budget=60)
    before = model.state_dict()
    changed = {n for n, v in loop.model.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.split(".")[0] for name in changed} == {"decoder_m"}


class Recorder:
    """A refinement that only takes down which new triads it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, model, old, new, seed):
        self.given.append(new.phi.numpy())
        return model


def test_every_simulation_counts_once_and_the_model_learns_them_last():
    recorder = Recorder()
    loop = run(biased_model(), ExactChain(), budget=400, precision=1e-3, refine=recorder)
    assert [len(phi) for phi in recorder.given] == [400]
    phi, m = (getattr(loop.data.train, name)[200:].numpy() for name in ("phi", "m"))
    there, which = np.unique(phi, axis=0, return_inverse=True)
    h, n = np.bincount(which.ravel(), BOX.contains(m)), np.bincount(which.ravel())
    p = probability(biased_model(), BOX, there, draws=64, seed=0).value
    at = int(np.abs(there - loop.phi).sum(axis=1).argmin())
    found = Discrepancy().given(PROCESS, there, p, h, n).probability(there[at], p[at])
    assert found.value == pytest.approx(loop.probability.value, abs=1e-4)
    assert found.standard_error == pytest.approx(loop.probability.standard_error, abs=1e-4)


@pytest.mark.slow
def test_stated_errors_beside_a_model_that_is_far_off_everywhere_are_short_by_twofold_at_most():
    gaps, stated, models = [], [], []
    for seed in range(4):
        chain = ExactChain()
        loop = run(biased_model(), chain, budget=200, seed=seed, refine=Recorder())
        truth = chain.probability(loop.phi)
        gaps.append(loop.probability.value - truth)
        stated.append(loop.probability.standard_error)
        models.append(loop.predicted.value - truth)
    assert np.mean(np.square(gaps)) ** 0.5 < 2.5 * np.mean(stated)
    assert np.abs(gaps).mean() < 0.6 * np.abs(models).mean()


@pytest.mark.slow
def test_the_answer_is_nearer_to_the_truth_than_the_model_or_the_checks_alone():
    errors, data = [], data_of(ExactChain())
    for seed, angle in enumerate(np.arange(0.0, 2 * np.pi, np.pi / 8)):
        chain, model = ExactChain(), exact_model()
        with torch.no_grad():
            model.decoder_m.bias += 0.25 * torch.tensor([np.cos(angle), np.sin(angle)])
        still = {"refine": Recorder(), "precision": 1e-3, "seed": seed}
        loop = run(model, chain, data, budget=150, explore=0, **still)
        counts = [(turn.simulated.value * turn.checks, turn.checks) for turn in loop.rounds]
        hits, samples = np.sum(counts, axis=0)
        values = loop.probability.value, loop.predicted.value, hits / samples
        errors.append([value - chain.probability(loop.phi) for value in values])
    ours, models, checks = np.sqrt(np.mean(np.square(errors), axis=0))
    assert ours < min(models, checks)


def test_bare_pairs_among_the_data_leave_the_refined_model_as_it_is_without_them():
    data = data_of(ExactChain())
    others = triads(ExactChain(), 50, 9)
    with_pairs = data.with_pairs(Batches(others, others))
    loops = [run(biased_model(), ExactChain(), d, budget=60) for d in (data, with_pairs)]
    assert loops[0].probability.value == loops[1].probability.value
    assert len(loops[1].data.train) == len(loops[0].data.train) + 50


def test_failed_simulations_are_paid_for_and_left_out():
    chain = ExactChain(failing=0.3)
    data = data_of(ExactChain())
    loop = run(exact_model(), chain, data, budget=100, precision=1e-3)
    assert loop.calls == chain.calls == 100
    assert 15 < loop.failed < 45
    assert len(loop.data.train) == 300 - loop.failed
    assert loop.data.train.m.isfinite().all()


def test_a_simulator_that_always_fails_ends_the_loop_with_one_sentence():
    with pytest.raises(SimulationError, match="all 5 simulations at φ = .* failed"):
        run(exact_model(), ExactChain(failing=1.0), data_of(ExactChain()), budget=100)


@pytest.mark.slow
def test_the_spread_stays_near_the_optimum_of_the_model():
    chain, model = ExactChain(), exact_model()
    loop = run(model, chain, budget=200)
    assert loop.rounds[0].spread == 80
    new = loop.data.train.phi[200:280].numpy()
    best = max(chain.probability(phi) for phi in PROCESS.sample(2000, np.random.default_rng(0)))
    p = np.array([chain.probability(phi) for phi in new])
    assert p.min() > 0.6 * best
    assert np.mean(p > 0.8 * best) > 0.9
    assert len(np.unique(new, axis=0)) > 20


def test_a_target_that_no_data_reach_is_called_unsupported_whatever_was_simulated():
    far = Box((30.0, 30.0), (31.0, 31.0))
    chain = ExactChain()
    options = QUICK | {"simulator": chain, "budget": 40}
    loop = design_in_loop(exact_model(), data_of(ExactChain()), far, **options)
    assert loop.status.startswith("unsupported")
    assert "the loop itself" in loop.status
    assert loop.probability.value < 0.05


def test_the_answer_is_readable():
    loop = run(exact_model(), ExactChain(), budget=60)
    assert str(loop).count("round ") == len(loop.rounds)
    assert "budget spent" in str(loop)


def exact_posterior(predicted, hits, samples, doubt):
    """By quadrature: at one setting what the logit lacks is Student's t of 4 degrees."""
    d = np.linspace(-60 * doubt, 60 * doubt, 40_001)
    p = 1 / (1 + (1 / predicted - 1) * np.exp(-d))
    log = stats.t.logpdf(d, 4, scale=doubt / 2**0.5) + stats.binom.logpmf(hits, samples, p)
    weights = np.exp(log - log.max())
    mean = np.average(p, weights=weights)
    return mean, np.average((p - mean) ** 2, weights=weights) ** 0.5


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 0.9), st.floats(-4, 4), st.integers(30, 400), st.floats(0.05, 0.5))
def test_model_and_simulations_at_one_setting_are_combined_by_bayes(
    predicted, shift, samples, doubt
):
    phi = [0.2, -0.3]
    hits = round(samples / (1 + (1 / predicted - 1) * np.exp(-shift * doubt)))
    correction = Discrepancy(doubt).given(PROCESS, [phi], [predicted], [hits], [samples])
    found = correction.probability(phi, predicted)
    mean, deviation = exact_posterior(predicted, hits, samples, doubt)
    assert abs(found.value - mean) < 0.125 * deviation
    assert abs(found.standard_error - deviation) < 0.1 * deviation


def test_before_any_simulation_p_is_the_models_with_the_stated_doubt():
    correction = Discrepancy(0.17).given(PROCESS, np.zeros((0, 2)), [], [], [])
    found = correction.probability([[0.0, 0.0], [0.5, 0.1]], [0.5, 0.8])
    np.testing.assert_allclose(found.value, [0.5, 0.8], atol=5e-3)
    np.testing.assert_allclose(found.standard_error, [0.17 / 4, 0.17 * 0.16], rtol=0.05)


def test_simulations_that_plainly_contradict_the_model_are_believed():
    correction = Discrepancy().given(PROCESS, [[0.0, 0.0]], [0.7], [60], [300])
    assert abs(correction.probability([0.0, 0.0], 0.7).value - 60 / 300) < 0.025


def test_draws_of_the_corrected_p_have_its_mean_its_spread_and_its_correlation():
    rng = np.random.default_rng(3)
    seen = rng.uniform(-1, 1, (30, 2))
    samples = np.full(30, 4)
    hits = rng.binomial(4, 0.6, 30)
    correction = Discrepancy(0.3).given(PROCESS, seen, np.full(30, 0.5), hits, samples)
    phi = np.array([[0.0, 0.0], [0.01, 0.0], [0.9, -0.9]])
    drawn = correction.draw(phi, np.full(3, 0.5), 20_000, rng)
    found = correction.probability(phi, np.full(3, 0.5))
    np.testing.assert_allclose(drawn.mean(axis=0), found.value, atol=3e-3)
    np.testing.assert_allclose(drawn.std(axis=0), found.standard_error, rtol=0.05)
    near, far = np.corrcoef(drawn.T)[0, 1:]
    assert near > 0.99
    assert far < 0.9


def test_simulations_elsewhere_count_the_less_the_farther_they_are():
    changes, errors = [], []
    for distance in (0.0, 0.3, 0.6, 2.0):
        correction = Discrepancy().given(PROCESS, [[-1.0 + distance, 0.0]], [0.5], [290], [500])
        found = correction.probability([-1.0, 0.0], 0.5)
        changes.append(found.value - 0.5)
        errors.append(found.standard_error)
    assert changes == sorted(changes, reverse=True)
    assert errors == sorted(errors)
    assert changes[0] > 0.05
    # half of what is wrong is wrong everywhere
    assert 0.4 < changes[-1] / changes[0] < 0.6


def test_two_halves_of_the_simulations_say_what_the_whole_says():
    phi = [0.0, 0.0]
    whole = Discrepancy().given(PROCESS, [phi], [0.4], [90], [150])
    halves = Discrepancy().given(PROCESS, [phi, phi], [0.4, 0.4], [40, 50], [75, 75])
    found = [correction.probability(phi, 0.4) for correction in (whole, halves)]
    assert found[1].value == pytest.approx(found[0].value, rel=1e-6)
    assert found[1].standard_error == pytest.approx(found[0].standard_error, rel=1e-6)


def test_more_hits_than_samples_are_refused():
    with pytest.raises(InputError, match="'hits' has more than 'samples'"):
        Discrepancy().given(PROCESS, [[0.0, 0.0]], [0.5], [5], [4])


@pytest.mark.parametrize("name", ["doubt", "reach"])
def test_a_discrepancy_without_size_is_refused(name):
    with pytest.raises(InputError, match=f"'{name}' is 0"):
        Discrepancy(**{name: 0.0})


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"budget": 0}, "'budget' is 0"),
        ({"budget": -5}, "'budget' is -5"),
        ({"precision": 0.0}, "'precision' is 0"),
        ({"explore": -0.1}, "'explore' is -0.1"),
        ({"explore": 1.0}, "'explore' is 1.0"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_simulated(option, words):
    chain = ExactChain()
    with pytest.raises(InputError, match=words):
        run(exact_model(), chain, **option)
    assert chain.calls == 0


def test_a_refinement_without_steps_is_refused():
    with pytest.raises(InputError, match="'steps' is 0"):
        Refinement(steps=0)


def test_a_simulator_of_another_process_is_refused():
    chain = ExactChain()
    data = data_of(chain)
    chain.process = ProcessSpace(("phi1", "phi2"), (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(InputError, match="'simulator' has the process"):
        run(exact_model(), chain, data)


def test_a_target_of_another_dimension_is_refused():
    chain = ExactChain()
    with pytest.raises(InputError, match=r"1 interval\(s\) but the model has 2"):
        design_in_loop(exact_model(), data_of(chain), Box((0.0,), (1.0,)), simulator=chain)
