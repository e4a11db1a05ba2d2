"""Claims about the rivals: each answers for one law of m given φ, and learns from what it says."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import torch
from exact import exact_model, property_law

from pspgen_pyro import Batches, Box, InputError, ProcessSpace, percolation, probability
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.design import Boxes
from pspgen_pyro.errors import MissingDependencyError
from pspgen_pyro.process.symmetries import Mirror, PeriodicShift, Reflection
from pspgen_pyro.rivals import (
    RIVALS,
    ForestWeights,
    HeteroscedasticGaussian,
    LogisticIndicator,
    MixtureDensityNetwork,
    PseudoLabels,
    PSPGenPredictor,
    SplineFlow,
    StructureSizes,
)
from pspgen_pyro.rivals.gaussian import box_probability
from pspgen_pyro.rivals.structure import StructureNetwork, bottleneck
from pspgen_pyro.schema import Microstructure, Schema

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
IMAGES = Microstructure(shape=(8, 8))
COMPONENTS = tuple(f"{d} log quantity=k direction={d}" for d in ("horizontal", "vertical"))
SCHEMA = Schema(process=PROCESS, microstructure=IMAGES, properties=COMPONENTS)
TABLE = SCHEMA.without_microstructure()
BOX = Box((-8.0, -7.5), (-6.5, -6.0))
TARGETS = (BOX, Boxes((BOX, Box((-7.0, -np.inf), (np.inf, -7.0)))))
PHI = np.array([[2.0, 0.5], [5.0, 1.0], [8.5, 1.9]])
QUICK = {
    "mdn": MixtureDensityNetwork(components=4, hidden=(16,), steps=250, members=1),
    "flow": SplineFlow(transforms=2, hidden=(16,), steps=150),
    "gaussian": HeteroscedasticGaussian(hidden=(16,), steps=400, learning_rate=1e-2),
    "logistic": LogisticIndicator(degree=2),
    "forest": ForestWeights(trees=60, leaf=20),
    "pseudo": PseudoLabels(
        structure=StructureSizes(channels=(4, 4), hidden=8),
        mixture=MixtureDensityNetwork(components=2, hidden=(16,), steps=200),
        images=1500,
        learning_rate=1e-2,
    ),
}
WITH_DENSITY = ("mdn", "flow", "gaussian")
WITH_DRAWS = (*WITH_DENSITY, "forest")
ON_PHI = (*WITH_DRAWS, "logistic")


def linear_law(phi):
    """Means and factors of the covariances of the data below."""
    a, b = (phi[:, 0] - 5) / 4, (phi[:, 1] - 1.1) / 0.9
    loc = torch.stack([-7 + 0.8 * a, -7 - 0.5 * a + 0.4 * b], dim=-1)
    tril = torch.tensor([[0.4, 0.0], [-0.3, 0.3]]).expand(len(phi), 2, 2)
    return loc, tril * (1.2 + 0.4 * b)[:, None, None]


def rows(n, seed=0):
    """φ, x and m; x is solid but for a fraction of its pixels that m sets."""
    torch.manual_seed(seed)
    low, high = torch.tensor(PROCESS.lower), torch.tensor(PROCESS.upper)
    phi = low + (high - low) * torch.rand(n, 2)
    loc, tril = linear_law(phi)
    m = loc + (tril @ torch.randn(n, 2, 1)).squeeze(-1)
    return phi, torch.rand(n, 8, 8).round(), m


def batches(n=1200, **options):
    return Batches(Batch(*rows(n, **options)), Batch(*rows(20, seed=9)))


def trained(name, data=None, **options):
    data = batches() if data is None else data
    return QUICK[name].fit(data, schema=SCHEMA, **options)


@pytest.fixture(scope="module")
def fitted():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    data = batches()
    yield {name: trained(name, data) for name in ON_PHI}
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", WITH_DRAWS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_probability_is_the_fraction_of_the_rivals_own_samples(fitted, name, target):
    p = fitted[name].probability(target, PHI)
    fraction = target.contains(fitted[name].sample(PHI, draws=20_000, seed=3)).mean(axis=1)
    # a flow counts Sobol draws, whose own error is below 0.004
    slack = 4 * np.sqrt(p * (1 - p) / 20_000) + (0.004 if name == "flow" else 1e-4)
    assert (abs(p - fraction) < slack).all()


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_the_density_integrates_to_one(fitted, name):
    axis = np.linspace(-13.0, -1.0, 241)
    m = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    phi = np.broadcast_to(PHI[1], m.shape)
    density = np.exp(fitted[name].log_density(phi, m)).reshape(241, 241)
    assert np.trapezoid(np.trapezoid(density, axis), axis) == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_the_density_is_that_of_the_samples(fitted, name):
    m = fitted[name].sample(PHI[1:2], draws=20_000, seed=1)[0]
    inside = m[BOX.contains(m)]
    density = np.exp(fitted[name].log_density(np.tile(PHI[1], (len(inside), 1)), inside))
    # the mean of 1 / p(m) over draws in a box is its volume over its probability
    volume = (1 / density).mean() * len(inside) / len(m)
    assert volume == pytest.approx(BOX.volume, rel=0.1)


def test_the_gaussian_recovers_a_linear_gaussian_law():
    rival = trained("gaussian", batches(6000))
    loc, tril = linear_law(torch.tensor(PHI))
    draws = torch.tensor(rival.sample(PHI, draws=20_000, seed=1))
    assert torch.allclose(draws.mean(dim=1), loc, atol=0.06)
    for found, wanted in zip(draws, tril @ tril.mT, strict=True):
        assert torch.allclose(found.T.cov(), wanted, atol=0.05)
    exact = box_probability(loc, tril, BOX.lower, BOX.upper)
    assert rival.probability(BOX, PHI) == pytest.approx(exact, abs=0.03)


def test_a_box_under_correlated_gaussians_is_counted_among_their_draws():
    tril = np.array([[[0.5, 0.0, 0.0], [-0.6, 0.4, 0.0], [0.2, 0.9, 0.7]]])
    loc, lower, upper = np.array([[0.1, -0.2, 0.5]]), [-0.5, -np.inf, 0.0], [1.0, 0.3, np.inf]
    m = loc + np.random.default_rng(0).standard_normal((200_000, 3)) @ tril[0].T
    counted = ((m >= lower) & (m <= upper)).all(axis=1).mean()
    assert box_probability(loc, tril, lower, upper) == pytest.approx(counted, abs=4e-3)


def test_with_the_mirror_one_half_of_the_process_space_teaches_the_other():
    """Only φ1 < 5 is ever simulated; at φ1 = 8 the mirrored law is learned all the same."""
    phi, x, m = rows(1500)
    phi[:, 0] = torch.minimum(phi[:, 0], 10 - phi[:, 0])
    loc, tril = linear_law(phi)
    m = loc + (tril @ torch.randn(len(phi), 2, 1)).squeeze(-1)
    data = Batches(Batch(phi, x, m), Batch(phi, x, m))
    swapped = Box(BOX.lower[::-1], BOX.upper[::-1])
    for name in ("gaussian", "logistic", "forest"):
        rival = trained(name, data, symmetries=(Mirror("phi1", (1, 0)),))
        here = rival.probability(BOX, [[2.0, 1.0]])
        assert rival.probability(swapped, [[8.0, 1.0]]) == pytest.approx(here, abs=0.04)


@pytest.mark.parametrize("name", ["mdn", "flow", "gaussian"])
def test_the_same_seed_gives_the_same_model_and_leaves_the_callers_random_numbers_alone(name):
    rival = dataclasses.replace(QUICK[name], steps=10)
    state, data = torch.get_rng_state(), batches(100)
    torch.set_rng_state(state)
    a, b, c = (rival.fit(data, schema=SCHEMA, seed=s).probability(BOX, PHI) for s in (5, 5, 6))
    assert (a == b).all()
    assert (a != c).any()
    assert torch.equal(torch.get_rng_state(), state)
    assert not hasattr(rival, "process")


@pytest.mark.parametrize("name", ON_PHI)
def test_a_rival_on_phi_needs_no_images_and_ignores_rows_that_are_not_complete(name):
    phi, x, m = rows(300)
    bare = m.clone()
    bare[100:200] = torch.nan
    bare[200:, 1] = torch.nan
    validation = Batch(phi, x, m)
    some = Batches(Batch(phi, x, bare), validation)
    none: Any = None
    fewer = Batches(Batch(phi[:100], none, m[:100]), validation)
    options = {"steps": 20} if name in WITH_DENSITY else {}
    rival = dataclasses.replace(QUICK[name], **options)
    a, b = (rival.fit(data, schema=SCHEMA).probability(BOX, PHI) for data in (some, fewer))
    assert (a == b).all()


def void_fraction_data(labels, n=800):
    """m is the logarithm of the void fraction of x, and of that of its left half plus noise."""
    torch.manual_seed(1)
    low, high = torch.tensor(PROCESS.lower), torch.tensor(PROCESS.upper)
    phi = low + (high - low) * torch.rand(n, 2)
    level = 0.15 + 0.7 * torch.sigmoid(1.2 * torch.sin(phi[:, :1] - 1) + torch.randn(n, 1) / 2)
    x = (torch.rand(n, 8, 8) < level[:, :, None]).double()
    m = x.mean(dim=(1, 2)).clamp(min=0.01).log()[:, None].expand(n, 2).clone()
    hidden = m.clone()
    hidden[labels:] = torch.nan
    return phi, m, Batches(Batch(phi, x, hidden), Batch(phi, x, m))


def test_pseudo_labels_learn_from_bare_pairs_what_forty_labels_do_not_tell():
    phi, m, data = void_fraction_data(labels=40)
    options = {"schema": SCHEMA, "symmetries": (PeriodicShift(), Reflection())}
    gain = []
    for rival in (QUICK["pseudo"], QUICK["pseudo"].mixture):
        predictor = rival.fit(data, **options)
        gain.append(predictor.log_density(phi[40:], m[40:]).mean())
    assert gain[0] > gain[1] + 0.05


def test_steps_that_few_rows_leave_over_go_into_more_networks():
    rival = MixtureDensityNetwork(components=2, hidden=(4,), steps=90, passes=30, members=8)
    sizes = {n: len(rival.fit(batches(n), schema=SCHEMA).network.networks) for n in (40, 1000)}
    assert sizes == {40: 3, 1000: 1}


def test_without_bare_pairs_pseudo_labels_are_the_mixture_network():
    data = batches(200)
    a, b = (
        rival.fit(data, schema=SCHEMA).probability(BOX, PHI)
        for rival in (QUICK["pseudo"], QUICK["pseudo"].mixture)
    )
    assert (a == b).all()


def test_with_its_flag_the_network_on_x_knows_which_directions_are_blocked():
    phi, _, m = rows(300)
    x = (torch.rand(300, 8, 8) < 0.62).double()
    is_open = torch.tensor(percolation(x.numpy().astype(int)))
    m = torch.where(is_open, -7.0, -9.5) + 0.05 * torch.randn(300, 2)
    hidden = m.clone()
    hidden[60:] = torch.nan
    data = Batches(Batch(phi, x, hidden), Batch(phi, x, m))
    assert 0.2 < is_open.double().mean() < 0.8
    rival = dataclasses.replace(
        QUICK["pseudo"],
        percolation_flags=True,
        mixture=MixtureDensityNetwork(components=2, hidden=(4,), steps=5, members=1),
        images=4000,
    ).fit(data, schema=SCHEMA)
    guessed = rival.labels(x[60:], is_open[60:]).draw().squeeze(-1)
    guessed = rival.label_scaling.m_back(guessed)
    assert ((guessed > -8.25) == is_open[60:]).double().mean() > 0.98


def network(flags=False, schema=SCHEMA):
    return StructureNetwork(schema, StructureSizes((4, 6), 8), flags)


@pytest.mark.parametrize("flags", [False, True])
def test_the_network_on_x_commutes_with_transposition(flags):
    x, percolates = torch.rand(5, 12, 12).round(), torch.rand(5, 2).round()
    net = network(flags)
    law, transposed = net(x, percolates), net(x.mT, percolates.flip(-1))
    m = torch.randn(5, 2, 1)
    assert torch.allclose(law.log_prob(m), transposed.log_prob(m.flip(1)).flip(1))


@pytest.mark.parametrize("shift", [(2, 0), (0, 6), (4, 10)])
def test_shifts_by_its_stride_leave_the_network_on_x_alone(shift):
    x, m, net = torch.rand(5, 12, 12).round(), torch.randn(5, 2, 1), network()
    shifted = net(x.roll(shift, dims=(1, 2)))
    assert torch.allclose(net(x).log_prob(m), shifted.log_prob(m))


def test_the_bottleneck_tells_an_open_channel_from_a_blocked_one_of_the_same_void_fraction():
    is_open, blocked = torch.zeros(8, 8), torch.zeros(8, 8)
    is_open[3] = 1
    blocked[3, :7] = 1
    blocked[4, 6] = 1
    assert is_open.mean() == blocked.mean()
    assert is_open.max() == blocked.max()
    assert bottleneck(is_open) > bottleneck(blocked) == 0
    assert bottleneck(is_open.T) == 0


def test_the_flag_reaches_the_prediction():
    x, net = torch.rand(3, 12, 12).round(), network(flags=True)
    laws = [net(x, torch.full((3, 2), flag)).loc for flag in (0.0, 1.0)]
    assert (laws[0] != laws[1]).all()


def test_who_has_no_density_or_no_draws_refuses_them_in_a_sentence(fitted):
    rival, forest = fitted["logistic"], fitted["forest"]
    assert (rival.has_density, rival.has_draws) == (False, False)
    assert (forest.has_density, forest.has_draws) == (False, True)
    for ask, match in (
        (lambda: rival.log_density(PHI, PHI), "no density of m; ask it for `probability`"),
        (lambda: rival.sample(PHI, 2, 0), "draws no m; ask it for `probability`"),
        (lambda: forest.log_density(PHI, PHI), "ask it for `probability` or `sample`"),
    ):
        with pytest.raises(InputError, match=match):
            ask()


def test_a_logistic_regression_averages_to_the_frequency_in_its_rows(fitted):
    phi, _, m = rows(1200)
    p = fitted["logistic"].probability(BOX, phi.numpy())
    assert p.mean() == pytest.approx(BOX.contains(m.numpy()).mean(), abs=2e-3)


def test_a_target_that_no_row_reached_gets_half_a_row(fitted):
    p = fitted["logistic"].probability(Box((5.0, 5.0), (6.0, 6.0)), PHI)
    assert p == pytest.approx(np.full(3, 0.5 / 1201))


def test_psp_gen_answers_with_its_exact_law_where_that_is_known():
    model = exact_model()
    predictor = PSPGenPredictor(model, draws=4096)
    phi = torch.rand(6, 2) * 2 - 1
    loc, covariance = (t.detach() for t in property_law(model, phi))
    exact = torch.distributions.MultivariateNormal(loc, covariance)
    m = exact.sample()
    assert predictor.log_density(phi, m) == pytest.approx(exact.log_prob(m).numpy(), abs=0.02)
    draws = torch.tensor(predictor.sample(phi, draws=20_000, seed=1))
    assert torch.allclose(draws.mean(dim=1), loc, atol=0.04)
    assert torch.allclose(draws[0].T.cov(), covariance, atol=0.06)
    box = Box((-1.0, -1.0), (0.5, 1.0))
    wanted = probability(model, box, phi, draws=4096, replicates=4).value
    assert (predictor.probability(box, phi) == wanted).all()


@pytest.mark.parametrize("name", ON_PHI)
def test_probabilities_keep_the_shape_of_phi(fitted, name):
    grid = PROCESS.grid(4).reshape(4, 4, 2)
    p = fitted[name].probability(BOX, grid)
    assert p.shape == (4, 4)
    assert p[1, 2] == pytest.approx(fitted[name].probability(BOX, grid[1, 2]).item(), abs=1e-12)


@pytest.mark.parametrize("name", WITH_DRAWS)
def test_what_cannot_be_asked_is_said_in_a_sentence(fitted, name):
    rival = fitted[name]
    for ask, match in (
        (lambda: rival.probability(BOX, [[0.0, 1.0]]), "phi1 = 0"),
        (lambda: rival.probability(Box((0.0,), (1.0,)), PHI), "1 interval"),
        (lambda: rival.sample(PHI, 0, 1), "'draws' is 0"),
    ):
        with pytest.raises(InputError, match=match):
            ask()
    if rival.has_density:
        with pytest.raises(InputError, match="'m' has shape"):
            rival.log_density(PHI, PHI[:2])


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_that_is_not_fitted_says_so(name):
    with pytest.raises(InputError, match="not fitted yet"):
        RIVALS[name]().probability(BOX, PHI)


def test_data_that_do_not_fit_are_refused_in_a_sentence():
    phi, x, m = rows(30)
    fit = Batches(*[Batch(phi, x, m)] * 2)
    bare = Batch(phi, x, torch.full_like(m, torch.nan))
    one = Batch(phi, x, m[:, :1])
    free = Schema(process=PROCESS, microstructure=IMAGES, properties=("porosity", "strength"))
    three = SCHEMA.model_copy(update={"microstructure": Microstructure(shape=(8, 8), phases=3)})
    for name, data, schema, match in (
        ("mdn", Batches(bare, bare), SCHEMA, "no training row whose properties are all known"),
        ("mdn", Batches(one, one), SCHEMA, "'schema' has 2 and 2"),
        ("pseudo", fit, free, "no direction of the property porosity"),
        ("pseudo", fit, three, "'schema' has 8×8 pixels, 3 phases"),
        ("pseudo", fit, TABLE, "'schema' has no images"),
    ):
        with pytest.raises(InputError, match=match):
            QUICK[name].fit(data, schema=schema)
    with pytest.raises(InputError, match="'channels' is"):
        StructureSizes(channels=(0, 4))
    with pytest.raises(InputError, match="'components' is 0"):
        MixtureDensityNetwork(components=0)


def test_a_rival_of_one_property_works_too():
    phi, x, m = rows(300)
    data = Batches(*[Batch(phi, x, m[:, :1])] * 2)
    schema = Schema(process=PROCESS, properties=("k [m^2] log",))
    for name in ON_PHI:
        steps = {"steps": 10} if name in WITH_DENSITY else {}
        fitted = dataclasses.replace(QUICK[name], **steps).fit(data, schema=schema)
        assert fitted.probability(Box((-np.inf,), (-7.0,)), PHI).shape == (3,)
        everything = fitted.probability(Box((-np.inf,), (np.inf,)), PHI)
        assert everything == pytest.approx(np.ones(3), abs=2e-3)
        if fitted.has_draws:
            assert fitted.sample(PHI, 5, 0).shape == (3, 5, 1)
        if fitted.has_density:
            assert fitted.log_density(PHI, [[-7.0]] * 3).shape == (3,)


@pytest.mark.parametrize("name", ON_PHI)
@pytest.mark.parametrize("a", [1e-15, 1e15])
def test_units_change_nothing(name, a):
    """m → a m + b moves the target along and leaves P alone, in single precision too."""
    phi, x, m = (t.float() for t in rows(300))
    scale, shift = torch.tensor([a, 1e-12]), torch.tensor([3 * a, 0.0])
    ends = [np.array(end) * scale.numpy() + shift.numpy() for end in (BOX.lower, BOX.upper)]
    steps = {"steps": 30} if name in WITH_DENSITY else {}
    rival, p = dataclasses.replace(QUICK[name], **steps), []
    for target, values in ((BOX, m), (Box(*ends), scale * m + shift)):
        data = Batches(*[Batch(phi, x, values)] * 2)
        p.append(rival.fit(data, schema=TABLE).probability(target, PHI))
    # a flow counts draws, of which rounding may move a few over a face
    assert p[1] == pytest.approx(p[0], abs=1e-2 if name == "flow" else 1e-3)


@pytest.mark.parametrize("name", ["mdn", "gaussian", "forest"])
def test_one_outlier_among_a_thousand_rows_changes_little(fitted, name):
    data = batches()
    data.train.m[7, 0] = 1e6
    before, after = (one.probability(BOX, PHI) for one in (fitted[name], trained(name, data)))
    assert after == pytest.approx(before, abs=0.1)


def test_forest_weights_keep_an_atom_at_a_detection_limit_as_it_is():
    phi, x, m = (t.float() for t in rows(1000))
    schema = Schema(process=PROCESS, properties=("a log below=7e-4", "b log"))
    limit = schema.ends[0, 0]
    m[:, 0] = m[:, 0].clamp(min=limit)
    data = Batches(*[Batch(phi, x, m)] * 2)
    forest = QUICK["forest"].fit(data, schema=schema)
    share = (m[:, 0] == m[:, 0].min()).double().mean().item()
    assert 0.2 < share < 0.8
    at = Box((limit - 1, -np.inf), (limit, np.inf))
    assert forest.probability(at, phi.numpy()).mean() == pytest.approx(share, abs=0.02)


def test_without_scikit_learn_the_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingDependencyError, match=r"pspgen-pyro\[rivals\]"):
        trained("forest")


def test_pseudo_labels_read_any_number_of_directed_properties_off_any_image():
    """Three properties of two quantities on a crop that is neither square nor periodic."""
    texts = (*COMPONENTS, "lambda log quantity=l direction=vertical")
    images = Microstructure(shape=(6, 10), periodic=False)
    schema = Schema(process=PROCESS, microstructure=images, properties=texts)
    law = network(schema=schema)(torch.rand(4, 6, 10).round())
    assert law.batch_shape == (4, 3)
    phi, _, m = rows(60)
    m = torch.cat([m, m[:, :1]], dim=1)
    m[20:, 0] = torch.nan
    data = Batches(*[Batch(phi, torch.rand(60, 6, 10).round(), m)] * 2)
    rival = dataclasses.replace(
        QUICK["pseudo"],
        mixture=MixtureDensityNetwork(components=2, hidden=(4,), steps=5, members=1),
        images=64,
    )
    everything = Box((-np.inf,) * 3, (np.inf,) * 3)
    fitted = rival.fit(data, schema=schema)
    assert fitted.probability(everything, PHI) == pytest.approx(np.ones(3))
