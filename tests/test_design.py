"""Claims about design: exact probabilities, exact gradients, known optima, honest errors."""

import numpy as np
import pytest
import torch
from exact import PROCESS, double_precision, exact_model, property_law
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pspgen_pyro import Box, InputError, maximise, probability, verify
from pspgen_pyro.chain import ChainSample
from pspgen_pyro.design import (
    Boxes,
    Cautious,
    DesignPosterior,
    Estimate,
    SquaredDistance,
    Support,
    frequency,
    log_probability,
    sample_hmc,
    sobol_normal,
)
from pspgen_pyro.errors import SimulationError
from pspgen_pyro.model.ensemble import Ensemble

BOX = Box((-0.6, -0.4), (0.7, 0.9))


def exact_probability(model, phi, box):
    """P(m ∈ box | φ) from the bivariate normal law of m: no latent, no decoder."""
    loc, covariance = property_law(model, torch.tensor(phi))
    law = stats.multivariate_normal(
        np.zeros(2), covariance.detach().numpy(), abseps=1e-12, releps=1e-12
    )
    centred = [
        [np.array(end) - row for end in (box.lower, box.upper)] for row in loc.detach().numpy()
    ]
    return np.array([law.cdf(b, lower_limit=a) for a, b in centred])


def test_the_closed_form_equals_the_exact_law_of_m_in_a_linear_gaussian_chain():
    model = exact_model()
    phi = np.array([[0.2, -0.3], [0.9, 0.1], [-0.5, 0.8]])
    ours = probability(model, BOX, phi, draws=1 << 14, replicates=4)
    assert ours.value == pytest.approx(exact_probability(model, phi, BOX), abs=2e-5)


def test_the_standard_error_covers_the_exact_probability_as_often_as_it_says():
    model, phi = exact_model(), PROCESS.sample(200, np.random.default_rng(0))
    ours = probability(model, BOX, phi, draws=32, replicates=8)
    z = (ours.value - exact_probability(model, phi, BOX)) / ours.standard_error
    covered = np.abs(z) <= stats.t.ppf(0.975, 7)
    assert 0.88 <= covered.mean() <= 1.0


def test_the_gradient_of_log_p_agrees_with_finite_differences():
    model = exact_model()
    noise = sobol_normal(64, 3, 0, torch.float64)
    phi = torch.tensor([[0.2, -0.3], [0.9, 0.1]], requires_grad=True)
    f = lambda p: log_probability(model, BOX, p, noise)  # noqa: E731
    assert torch.autograd.gradcheck(f, (phi,), eps=1e-6, atol=1e-7)


def test_ascent_finds_the_maximum_that_a_fine_grid_finds():
    model = exact_model()
    design = maximise(model, BOX, draws=256)
    grid = PROCESS.grid(61)
    noise = sobol_normal(256, 3, 0, torch.float64)
    with torch.no_grad():
        on_grid = log_probability(model, BOX, torch.tensor(grid), noise).max().item()
    assert design.scores.max() >= on_grid - 1e-9
    assert design.agreed.any()
    assert design.status.startswith("converged")


def test_an_optimum_on_the_bounds_is_found_exactly_and_reported():
    model = exact_model()
    far = Box((2.0, -50.0), (60.0, 50.0))
    design = maximise(model, far)
    corners = PROCESS.grid(2)
    best = corners[np.argmax(exact_probability(model, corners, far))]
    assert design.phi == pytest.approx(best, abs=1e-9)
    assert len(design.active_bounds) == 2


def test_a_target_that_the_model_cannot_reach_is_unsupported_and_not_an_answer():
    design = maximise(exact_model(), Box((40.0, 40.0), (41.0, 41.0)))
    assert design.status.startswith("unsupported")


@pytest.fixture(scope="module")
def training():
    """20,000 training properties of the linear-Gaussian chain."""
    with torch.random.fork_rng(), double_precision():
        model = exact_model()
        phi = torch.tensor(PROCESS.sample(20_000, np.random.default_rng(2)))
        loc, covariance = property_law(model, phi)
        noise = torch.randn(len(loc), 2, generator=torch.Generator().manual_seed(3))
        return (loc + noise @ torch.linalg.cholesky(covariance).T).detach().numpy()


def test_a_target_amid_the_training_data_converges_without_reserve(training):
    assert maximise(exact_model(), BOX, support=Support(training)).status == "converged"


def test_without_the_training_data_the_status_says_that_nobody_checked():
    status = maximise(exact_model(), BOX).status
    assert status.startswith("converged; whether training data support the target was not checked")


def test_a_target_left_out_of_the_training_data_is_unsupported_however_sure_the_model_is(training):
    """Case 2 in the small: no training m within 0.5 of the box."""
    model = exact_model()
    model.m_scale.fill_(1 + 1e-9)  # a model of unit scale counts as untrained
    margin = Box(np.subtract(BOX.lower, 0.5), np.add(BOX.upper, 0.5))
    support = Support(training[~margin.contains(training)])
    assert len(support.m) > 5000
    design = maximise(model, BOX, support=support)
    words = f"unsupported: 0 of {len(support.m)} training materials lie in or near this target"
    assert design.value.value > 0.3
    assert design.status.startswith(words)
    assert "simulate there and train again" in design.status
    posterior = DesignPosterior(model, BOX, support=support)
    assert sample_hmc(posterior, chains=2, draws=4, warmup=4).status == design.status
    twice = Ensemble((model, model))
    assert maximise(twice, Cautious(BOX), support=support).status.startswith(words)


def test_a_rare_target_with_a_resolved_but_low_p_is_unsupported(training):
    model, rare = exact_model(), Box((1.8, 1.8), (2.0, 2.0))
    design = maximise(model, rare, support=Support(training[:2000]))
    p = design.value
    assert 1e-4 < p.value < 1e-3
    assert p.value > 10 * p.standard_error
    assert design.status.startswith("unsupported")


def test_a_narrow_target_is_judged_by_its_neighbourhood(training):
    support = Support(training)
    point = Box.around(training.mean(axis=0), 1e-4)
    assert not point.contains(training).any()
    assert support.count(point) > 20
    assert support.verdict(point) == ""
    assert support.count(Boxes((BOX, point))) == BOX.contains(training).sum()
    assert support.count(Box((-np.inf, -np.inf), (np.inf, 0.0))) == (training[:, 1] <= 0).sum()


def test_a_point_objective_asks_for_no_support(training):
    objective = SquaredDistance((90.0, 90.0))
    assert maximise(exact_model(), objective, support=Support(training)).status == "converged"


@pytest.mark.parametrize("m", [np.zeros(3), np.zeros((0, 2)), np.array([[np.inf, 0.0]])])
def test_support_is_made_of_finite_properties(m):
    with pytest.raises(InputError, match="training properties with shape"):
        Support(m)


def test_support_of_another_dimension_is_refused(training):
    with pytest.raises(InputError, match="has 2 interval"):
        maximise(exact_model(), BOX, support=Support(training[:, :1]))


@settings(deadline=None, max_examples=30)
@given(
    cut=st.floats(-1.0, 1.0),
    phi=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_two_boxes_that_share_a_face_have_the_sum_of_their_probabilities(cut, phi):
    model = exact_model()
    left, right = Box((-2.0, -1.0), (cut, 1.0)), Box((cut, -1.0), (2.0, 1.0))
    both = Box((-2.0, -1.0), (2.0, 1.0))
    p = [probability(model, box, phi, draws=64, replicates=2).value for box in (left, right, both)]
    assert p[0] + p[1] == pytest.approx(p[2], abs=1e-12)


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        ((-9.0, -7.0), (-10.0, -5.0), "is inverted: interval 1 runs from -9 to -10"),
        ((-9.0, -7.0), (-9.0, -5.0), "has zero volume"),
        ((), (), "give one interval for every property"),
        ((float("nan"), -7.0), (-9.0, -5.0), "NaN in interval 1"),
        ((-9.0,), (-8.0, -5.0), "1 lower and 2 upper"),
    ],
)
def test_a_box_without_volume_or_sense_is_refused(lower, upper, words):
    with pytest.raises(InputError, match=words):
        Box(lower, upper)


@pytest.mark.parametrize("text", ["", "-10", "-10:-9:-8,1:2", "a:b", "-10:-9,", ":"])
def test_a_target_that_is_not_intervals_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="for example --target=-10:-9,-7:-5"):
        Box.parse(text)


def test_a_target_of_another_dimension_is_refused():
    with pytest.raises(InputError, match=r"1 interval\(s\) but the model has 2"):
        maximise(exact_model(), Box((0.0,), (1.0,)))


@pytest.mark.parametrize("option", [{"starts": 0}, {"draws": 0}, {"iterations": 0}])
def test_a_number_of_starts_draws_or_iterations_below_one_is_refused(option):
    with pytest.raises(InputError, match="whole number.* at least 1"):
        maximise(exact_model(), BOX, **option)


class CoinChain:
    """A chain whose materials meet BOX with a known probability."""

    process = PROCESS

    def __init__(self, p, failing=False):
        self.p, self.failing = p, failing

    def simulate(self, phi, seeds):
        hit = np.array([np.random.default_rng(s).random() < self.p for s in seeds])
        m = np.where(hit[:, None], 0.0, 10.0) * np.ones(2)
        x = np.zeros((len(phi), 2, 2), dtype=np.uint8)
        failures = {3: "the solver says no"} if self.failing else {}
        return ChainSample(
            np.asarray(phi), x, np.exp(m), m, np.ones((len(phi), 2), bool), failures
        )


def test_verification_estimates_the_frequency_within_its_standard_error():
    z = []
    for seed in range(40):
        check = verify(CoinChain(0.8), BOX, [0.0, 0.0], samples=400, seed=seed)
        z.append((check.probability.value - 0.8) / check.probability.standard_error)
    assert np.abs(z).max() < 4
    assert 0.7 < np.std(z) < 1.35


def test_a_frequency_of_zero_or_one_still_has_a_standard_error():
    for hits in (0, 400):
        assert 0 < frequency(hits, 400).standard_error < 0.01


def test_a_failed_simulation_ends_the_verification_with_its_reason():
    with pytest.raises(SimulationError, match="simulation 3 .* the solver says no"):
        verify(CoinChain(0.5, failing=True), BOX, [0.0, 0.0])


@pytest.mark.parametrize(
    ("phi", "samples"), [([3.0, 0.0], 10), ([0.0, 0.0], 0), ([[0.0, 0.0]], 10)]
)
def test_verification_refuses_settings_that_are_not_one_admissible_point(phi, samples):
    with pytest.raises(InputError):
        verify(CoinChain(0.5), BOX, phi, samples=samples)


@pytest.mark.parametrize(
    ("error", "words"),
    [(0.018, "0.837 ± 0.018"), (2.3e-5, "0.837 ± 2e-05"), (0.0, "0.837")],
)
def test_a_small_standard_error_is_not_printed_as_none(error, words):
    assert str(Estimate(np.array(0.837), np.array(error))) == words
