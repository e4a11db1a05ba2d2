"""Claims about three phases: pixels, encoder, generator, chain, data, and one trained model."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pspgen_pyro import (
    Batches,
    Box,
    Joint,
    Microstructure,
    ProcessSpace,
    PSPGen,
    Triads,
    fit,
    generate,
    probability,
)
from pspgen_pyro.chain import Chain, EffectiveConductivity, Permeability
from pspgen_pyro.cli import main
from pspgen_pyro.data import Store, check_store
from pspgen_pyro.errors import InputError
from pspgen_pyro.model import (
    BernoulliImage,
    CategoricalImage,
    Dimensions,
    ReadingEncoder,
    ThreeBranchEncoder,
)
from pspgen_pyro.plots import show_microstructures
from pspgen_pyro.properties import percolation
from pspgen_pyro.runs import load_run
from pspgen_pyro.schema import Schema
from pspgen_pyro.structure import (
    CALIBRATED,
    ThresholdedField,
    gaussian_random_field,
    threshold,
    threshold_phases,
    two_mode_spectrum,
)
from pspgen_pyro.study import Case, Split

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
LAYERS = ThresholdedField(12, two_mode_spectrum, (0.4, 0.3, 0.3), 1.0)
CHAIN = Chain(PROCESS, LAYERS, EffectiveConductivity((1.0, 10.0, 100.0)))
CASE = Case("layers", CHAIN, CALIBRATED, {}, {"train": Split(0, 1000, 2)})


def images(phases, shape):
    return Schema(
        process=PROCESS,
        microstructure=Microstructure(shape=shape, phases=phases),
        properties=("a", "b"),
    )


def built(part, phases, image=(3, 4)):
    torch.manual_seed(0)
    return part.build(Dimensions(images(phases, image), 4, 3))


def pixels(phases=3, image=(3, 4), batch=5):
    """p(x | z) for a batch of latents, and the logits it was made of."""
    torch.manual_seed(1)
    law = built(CategoricalImage((8,)), phases, image)(
        torch.randn(batch, 4), torch.randn(batch, 3)
    )
    return law, law.base_dist.logits


def simulate(structure, phi, count, root=0):
    return structure(np.tile(phi, (count, 1)), np.random.SeedSequence(root).spawn(count))


def all_images(phases, count):
    """Every image of one row and `count` pixels."""
    return torch.cartesian_prod(*[torch.arange(phases)] * count).reshape(-1, 1, count)


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.int64])
def test_the_log_density_is_the_sum_over_pixels_of_the_log_softmax(dtype):
    law, logits = pixels()
    x = torch.randint(3, (5, 3, 4))
    by_hand = [
        sum(logits[i, r, c].log_softmax(-1)[x[i, r, c]] for r in range(3) for c in range(4))
        for i in range(5)
    ]
    torch.testing.assert_close(law.log_prob(x.to(dtype)), torch.stack(by_hand))
    reference = torch.distributions.Categorical(logits=logits).log_prob(x).sum((-2, -1))
    torch.testing.assert_close(law.log_prob(x.to(dtype)), reference)


def test_the_probabilities_of_all_images_sum_to_one_and_the_mode_has_the_largest():
    law, _ = pixels(image=(1, 4), batch=1)
    images = all_images(3, 4)
    log_probability = law.log_prob(images)
    assert log_probability.exp().sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(images[log_probability.argmax()], law.mode[0])


def test_images_are_drawn_as_often_as_their_probability_says():
    law, _ = pixels(image=(1, 2), batch=1)
    images, draws = all_images(3, 2), law.sample((4000,))
    assert draws.shape == (4000, 1, 1, 2)
    found = (draws[:, 0, None] == images).all(-1).all(-1).double().mean(0)
    expected = law.log_prob(images).exp().double()
    assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / 4000).sqrt()).all()


def test_two_categorical_phases_are_bernoulli_pixels_with_the_difference_of_the_logits():
    law, logits = pixels(2)
    twin = torch.distributions.Bernoulli(logits=logits[..., 1] - logits[..., 0])
    x = torch.randint(2, (5, 3, 4)).double()
    torch.testing.assert_close(law.log_prob(x), twin.log_prob(x).sum((-2, -1)))
    assert torch.equal(law.mode, (twin.probs > 0.5).long())


def test_categorical_and_bernoulli_pixels_have_one_interface():
    z0, z1 = torch.randn(6, 5, 4), torch.randn(5, 3).expand(6, 5, 3)
    x = torch.randint(2, (5, 3, 4)).double()
    for part in (BernoulliImage((8,)), CategoricalImage((8,))):
        law = built(part, 2)(z0, z1)
        assert (law.batch_shape, law.event_shape) == ((6, 5), (3, 4))
        assert law.log_prob(x).shape == (6, 5)
        assert law.sample().shape == law.mode.shape == (6, 5, 3, 4)


def test_the_encoder_sees_one_indicator_a_phase_and_two_phases_as_signs():
    x = torch.randint(3, (5, 3, 4))
    for phases, labels, expected in (
        (3, x, torch.eye(3)[x].movedim(-1, -3).flatten(-3)),
        (2, x.clamp(max=1), 2 * x.clamp(max=1).flatten(-2) - 1),
    ):
        encoder, seen = built(ThreeBranchEncoder((8,), (8,), (8,)), phases), []
        encoder = encoder.double()
        encoder.triads.of_x.register_forward_hook(
            lambda _, inputs, __, seen=seen: seen.extend(inputs)
        )
        encoder(labels, torch.randn(5, 2), torch.randn(5, 2), torch.full((2, 2), torch.inf))
        assert torch.equal(seen[0], expected.to(seen[0]))


def test_a_model_that_cannot_hold_its_phases_is_refused():
    with pytest.raises(InputError, match="take BernoulliImage for 2, CategoricalImage for more"):
        PSPGen(images(3, (6, 6)), image_decoder=BernoulliImage())
    with pytest.raises(InputError, match="phases"):
        images(1, (6, 6))


fractions = st.lists(st.integers(1, 20), min_size=2, max_size=5).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


@settings(deadline=None, max_examples=40)
@given(fractions, st.integers(4, 15), st.integers(0, 2**32))
def test_every_sample_has_the_prescribed_phase_counts(fractions, n, root):
    x = simulate(ThresholdedField(n, two_mode_spectrum, fractions), (4.0, 1.0), 3, root)
    counts = np.stack([(x == phase).sum(axis=(1, 2)) for phase in range(len(fractions))], axis=1)
    assert (counts == counts[0]).all()
    assert counts[0].sum() == n * n
    assert (abs(counts[0] - np.array(fractions) * n * n) <= 1).all()


@settings(deadline=None, max_examples=20)
@given(st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_two_fractions_threshold_as_the_two_phase_generator_does(void, root):
    field = np.random.default_rng(root).standard_normal((2, 7, 7))
    assert (threshold_phases(field, (1 - void, void)) == threshold(field, void)).all()


def test_labels_rise_with_the_field_so_the_middle_phase_lies_between_the_others():
    field = gaussian_random_field(np.ones((3, 9, 9)), np.random.SeedSequence(2).spawn(3))
    for image, heights in zip(threshold_phases(field, (0.3, 0.2, 0.5)), field, strict=True):
        ends = [(heights[image == c].min(), heights[image == c].max()) for c in range(3)]
        assert ends[0][1] < ends[1][0]
        assert ends[1][1] < ends[2][0]


def test_a_sample_depends_on_its_own_seed_and_setting_only():
    phi = PROCESS.sample(6, np.random.default_rng(0))
    seeds = np.random.SeedSequence(5).spawn(6)
    together = LAYERS(phi, seeds)
    assert (together[[4]] == LAYERS(phi[[4]], [seeds[4]])).all()
    assert (together == LAYERS(phi, np.random.SeedSequence(5).spawn(6))).all()
    assert (together[0] != LAYERS(phi[[0]], [seeds[1]])[0]).any()


def test_the_smoothing_is_a_periodic_gaussian_kernel():
    """The field of a unit impulse is the kernel: variance σ² pixels² along both axes."""
    field = ThresholdedField(32, lambda _, n: np.ones((1, n, n)), (0.5, 0.5), 2.0)
    smooth = np.exp(-((2.0 * 2 * np.pi * np.fft.fftfreq(32)) ** 2) / 2)
    kernel = np.fft.ifft2(smooth[:, None] * smooth).real
    offset = np.fft.fftfreq(32, 1 / 32)
    assert (kernel.sum(axis=1) @ offset**2) == pytest.approx(4, rel=1e-6)
    noise = np.random.default_rng(np.random.SeedSequence(3)).standard_normal((32, 32))
    shifts = [np.roll(noise, (r, c), (0, 1)) * kernel[r, c] for r in range(32) for c in range(32)]
    expected = threshold(np.sum(shifts, axis=0)[None], 0.5)
    assert (field([[0.0]], [np.random.SeedSequence(3)]) == expected).mean() > 0.999


def test_mirroring_the_weight_swaps_the_two_directions_in_law():
    m = [
        np.log(CHAIN.property_(simulate(LAYERS, phi, 300, root)))
        for root, phi in enumerate([(2.5, 1.0), (7.5, 1.0)])
    ]
    error = np.hypot(*(part.std(axis=0) / 300**0.5 for part in (m[0], m[1][:, ::-1])))
    assert (abs(m[0].mean(axis=0) - m[1].mean(axis=0)[::-1]) < 4.5 * error).all()
    assert m[0].mean(axis=0)[1] - m[0].mean(axis=0)[0] > 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fractions": (0.5, 0.6)}, "'fractions' is .* whose sum is 1.1"),
        ({"fractions": (1.0,)}, "'fractions'"),
        ({"fractions": (1.2, -0.2)}, "'fractions'"),
        ({"n": 3}, "'n' is 3"),
        ({"smoothing": -1.0}, "'smoothing' is -1"),
        ({"smoothing": float("nan")}, "'smoothing' is nan"),
        ({"filter": "phase"}, "'filter' is 'phase'"),
    ],
)
def test_a_generator_that_cannot_be_is_refused_by_name(arguments, words):
    usual = {"n": 8, "spectrum": two_mode_spectrum, "fractions": (0.5, 0.5)}
    with pytest.raises(InputError, match=words):
        ThresholdedField(**(usual | arguments))


def test_the_chain_records_the_percolation_of_the_last_phase():
    sample = CHAIN.simulate([[1.5, 1.8]] * 20, np.random.SeedSequence(0).spawn(20))
    assert CHAIN.schema.microstructure.phases == 3
    assert (sample.percolates == percolation(sample.x == 2)).all()
    assert sample.percolates.any()
    assert (sample.m == np.log(sample.value)).all()


def test_an_insulating_phase_blocks_down_to_the_detection_limit_and_rectangles_are_taken():
    layers = np.repeat([0, 1], 3)[None, :, None].repeat(8, axis=2).astype(np.uint8)
    simulated = EffectiveConductivity((0.0, 5.0), unit="W/(m K)")
    assert simulated(layers) == pytest.approx(np.array([[2.5, 0]]))
    assert [p.detection_limit for p in simulated.properties] == [(5e-12, None)] * 2
    simulated.check_images(Microstructure(shape=(6, 8)))
    plain = Microstructure(shape=(6, 8), periodic=False)
    EffectiveConductivity((0.0, 5.0), edges="mirrored").check_images(plain)
    with pytest.raises(InputError, match="periodic cell; pass edges="):
        simulated.check_images(plain)


def test_a_property_for_another_number_of_phases_is_refused():
    with pytest.raises(InputError, match="is for 2 phases but 'structure' makes images of 3"):
        Chain(PROCESS, LAYERS, Permeability())
    with pytest.raises(InputError, match="'property_' is for 4 phases"):
        Chain(PROCESS, LAYERS, EffectiveConductivity((1.0, 2.0, 3.0, 4.0)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((1.0, -1.0, 2.0),), "'values' is"),
        (((0.0, 0.0),), "at least one phase has to conduct"),
        (((1.0, 2.0), "scipy", "bilinear", "1", None, "open"), "'edges' is 'open'"),
        (((1.0, 2.0), "multifrontal"), "'solver' is 'multifrontal'"),
        (((1.0, 2.0), "scipy", "study"), "'formulation' is 'study'"),
    ],
)
def test_a_conductivity_that_cannot_be_is_refused_by_name(arguments, words):
    with pytest.raises(InputError, match=words):
        EffectiveConductivity(*arguments)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("three") / "triads.zarr"
    generate(CASE, path, seed=0)
    return path, Triads.open(path)


@pytest.fixture(scope="module")
def trained(stored):
    """A small model, trained for a few seconds."""
    triads = Triads.open(stored[0])
    torch.manual_seed(0)
    model = PSPGen(
        triads.schema,
        latent=8,
        process_latent=3,
        image_decoder=CategoricalImage((64, 64)),
        encoder=ReadingEncoder(image=(64,), vector=(16,), joint=(32,)),
    ).float()
    options = {"epochs": 8, "batch_size": 50, "learning_rate": 3e-3, "beta": 1.0}
    options |= {"reader_steps": 60, "prior_steps": 150, "updates": Joint()}
    run = fit(triads, model=model, progress=False, **options)
    return model, run, Batches.from_triads(triads)


def test_a_store_says_how_many_phases_of_what_and_which_one_percolates(stored):
    triads = stored[1].data
    assert stored[1].schema.microstructure.phases == 3
    assert triads.attrs["fractions"] == [0.4, 0.3, 0.3]
    assert triads.attrs["conductivities"] == [1.0, 10.0, 100.0]
    assert triads.attrs["formulation"] == "bilinear"
    assert triads["x"].attrs["flag_values"] == [0, 1, 2]
    assert triads["x"].attrs["flag_meanings"] == "phase_0 phase_1 phase_2"
    schema = Schema.from_json(json.loads(triads.attrs["schema"]))
    assert {p.quantity for p in schema.properties} == {"conductivity"}
    assert "phase 2 percolates" in triads["percolates"].attrs["long_name"]


def test_a_damaged_three_phase_store_is_rebuilt_byte_by_byte(stored):
    path, _ = stored
    before = Store(path).digest()
    (path / "x" / "c.0.0.0").write_bytes(b"")
    assert check_store(path, repair=True, source=CASE).sound
    assert Store(path).digest() == before


@pytest.mark.slow
@torch.no_grad()
def test_the_trained_model_knows_more_of_x_than_the_marginal_law_of_each_pixel(trained):
    r"""E_q[log p(x | z) + log p(z₀) − log q(z₀)] ≤ log p(x | φ) for any q."""
    model, _, batches = trained
    fold = batches.validation
    phi, x, m = fold.phi, fold.x.float(), fold.m
    guide = model.latent_given(x, m, phi)
    z0, z1 = guide.sample((20,)), model.latent_of_process(phi).expand(20, -1, -1)
    prior = model.prior(model.standardise(phi))
    bound = model.decoder_x(z0, z1).log_prob(x) + prior.log_prob(z0) - guide.log_prob(z0)
    shares = torch.eye(3)[batches.train.x.long()].mean(0).log().expand(*x.shape, 3)
    marginal = shares.gather(-1, x.long()[..., None]).sum((1, 2, 3))
    gain = bound.mean(0) - marginal
    assert gain.mean() > 20
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("phi", [(2.0, 1.0), (5.0, 0.2), (8.0, 1.5)])
def test_its_probability_agrees_with_fresh_simulations(trained, phi):
    """Within four standard errors of 400 simulations, and 0.05 for two thousand triads."""
    m = CHAIN.simulate(np.tile(phi, (400, 1)), np.random.SeedSequence(9).spawn(400)).m
    centre = np.median(m, axis=0)
    box = Box(tuple(centre - 0.4), tuple(centre + 0.4))
    found = box.contains(m).mean()
    error = (found * (1 - found) / 400) ** 0.5
    assert 0.3 < found < 0.7
    assert abs(float(probability(trained[0], box, phi).value) - found) < 4 * error + 0.05


@pytest.mark.slow
def test_a_run_folder_gives_the_three_phase_model_back(trained, stored, tmp_path):
    model, run, batches = trained
    again = load_run(run.save(tmp_path / "run")).model
    assert again.schema == model.schema
    fold = batches.validation[:8]
    phi, x, m = fold.phi, fold.x.float(), fold.m
    z0 = model.latent_given(x, m, phi).mean
    assert torch.equal(z0, again.latent_given(x, m, phi).mean)
    laws = [one.decoder_x(z0, one.latent_of_process(phi)) for one in (model, again)]
    assert torch.equal(laws[0].log_prob(x), laws[1].log_prob(x))


def test_three_phases_are_drawn_in_three_colours_from_dark_to_light():
    drawn = show_microstructures({"all": np.arange(9).reshape(1, 3, 3) % 3}).axes[0].images[0]
    colours = drawn.cmap(drawn.norm(np.arange(3)))[:, :3].mean(axis=1)
    assert (np.diff(colours) > 0.1).all()


@pytest.mark.usefixtures("few_candidates")
def test_the_commands_simulate_fit_design_and_report_three_phases(tmp_path):
    store, run, answer, page = (
        str(tmp_path / n) for n in ("t.zarr", "run", "L.json", "report.html")
    )
    fitted = ["--epochs", "1", "--latent", "4", "--process-latent", "2", "--batch-size", "20"]
    fitted += ["--reader-steps", "20", "--prior-steps", "20"]
    asked = ["--target=0.8:1.0,3.2:3.6", "--verify", "10", "--draws", "16", "--starts", "2"]
    assert not main(["simulate", "three_phase", "--samples", "80", "--out", store])
    assert not main(["fit", store, *fitted, "--out", run])
    assert not main(["design", run, *asked, "--out", answer])
    assert not main(["report", run, "--triads", store, "--designs", answer, "--out", page])
    model = load_run(run).model
    assert (model.dims.planes, type(model.parts["decoder_x"])) == (3, CategoricalImage)
    text = (tmp_path / "report.html").read_text()
    for words in ("target L", "phase 1 fraction", "phase 2 percolates", "most probable phase"):
        assert words in text
