"""Claims about the default model: any number of properties, any image or none, whatever the units;
detection limits, unknown entries, unlabelled samples, and a law that is right."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from small import HORIZONTAL, PROCESS, VERTICAL, batches, quick, rows, schema, small_model, triads

from pspgen_pyro import Box, InputError, Microstructure, ProcessSpace, PSPGen, Schema
from pspgen_pyro.data.batches import Batch, Batches
from pspgen_pyro.design import probability
from pspgen_pyro.model import BottleneckReader
from pspgen_pyro.training import Descent, PriorStage, ReaderStage, train

UNIT = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
NOISE = 0.1
# one training instead of the best of several
ONCE = (150,)


@pytest.fixture(autouse=True)
def _single_precision():
    """As users have it."""
    torch.set_default_dtype(torch.float32)


def table(m, phi, properties):
    """Rows without images, nine in ten for training."""
    of = Schema(process=UNIT, properties=properties)
    values = np.reshape(m, (len(phi), -1))
    phi, m = torch.tensor(phi).float(), torch.tensor(of.scaled(values)).float()
    cut = len(phi) * 9 // 10
    return of, Batches(Batch(phi[:cut], None, m[:cut]), Batch(phi[cut:], None, m[cut:]))


def learned(of, data, steps=350, seed=0, passes=ONCE):
    torch.manual_seed(seed)
    model = PSPGen(of)
    train(model, data, [PriorStage(steps=steps, passes=passes)], seed=seed)
    return model


def toy(n=3000, seed=0):
    """Two properties y = 2 b + 0.1 ε of settings (a, b)."""
    rng = np.random.default_rng(seed)
    phi = rng.uniform(size=(n, 2))
    return phi, 2 * phi[:, 1:] + NOISE * rng.normal(size=(n, 2))


def at(model, lower, upper, phi=(0.5, 0.5)):
    return float(probability(model, Box(lower, upper), phi).value)


@pytest.mark.parametrize(
    "scales", [(1e9, 0.01), pytest.param((1e-12, -1e-12), marks=pytest.mark.slow)]
)
def test_two_properties_of_any_units_have_the_probability_that_they_have(scales):
    phi, y = toy()
    model = learned(*table(y * scales, phi, ("u", "v")))
    ends = np.sort([[0.8 * s for s in scales], [1.2 * s for s in scales]], axis=0)
    assert at(model, *ends) == pytest.approx(0.911, abs=0.02)


@settings(max_examples=2, deadline=None)
@given(power=st.floats(-15, 15), sign=st.sampled_from([1, -1]), shift=st.floats(-3, 3))
def test_probability_does_not_depend_on_the_unit(power, sign, shift):
    found = of_unit(sign * 10.0**power, shift * 10.0**power)
    # a shift by 1e-9 moves it by 0.005 too: rounding decides which length of training is best
    assert found == pytest.approx(of_unit(1.0, 0.0), abs=0.02 if sign < 0 else 0.01)


@cache
def of_unit(a, b):
    """P of one interval, learned in the unit in which y is a y + b."""
    phi, y = toy(400)
    # the choice among lengths must not depend on the unit either
    passes = PriorStage().passes
    model = learned(*table(a * y[:, 0] + b, phi, "y"), steps=120, passes=passes)
    lower, upper = sorted((0.8 * a + b, 1.2 * a + b))
    return at(model, (lower,), (upper,))


def test_one_value_far_off_moves_nothing():
    phi, y = toy()
    y[7] = 1e6
    assert at(learned(*table(y[:, 0], phi, "y")), (0.8,), (1.2,)) == pytest.approx(0.954, abs=0.02)


def test_a_detection_limit_has_its_own_mass():
    phi, y = toy(5000)
    limit = np.quantile(y[:, 0], 0.3)
    y = np.maximum(y[:, :1], limit)
    model = learned(*table(y, phi, f"y below={limit}"), steps=450)
    b = 0.28
    truth = norm.cdf((limit - 2 * b) / NOISE)
    for reach in (1e-3, 0.1):
        box = (limit - reach,), (limit + reach,)
        exact = norm.cdf((limit + reach - 2 * b) / NOISE)
        assert at(model, *box, phi=(0.5, b)) == pytest.approx(exact, abs=0.04)
    assert at(model, (limit + 1e-6,), (9.0,), phi=(0.5, b)) == pytest.approx(1 - truth, abs=0.04)
    assert at(model, (limit - 2,), (limit - 1,), phi=(0.5, b)) == 0.0
    drawn = model.property_given_process(torch.tensor([[0.5, b]])).expand((4000,)).draw()
    assert float((drawn == model.ends[0]).float().mean()) == pytest.approx(truth, abs=0.05)


def test_a_row_with_some_properties_unknown_teaches_those_it_has():
    phi, y = toy(4000)
    y[::2, 0] = np.nan
    y[1::2, 1] = np.nan
    # no row is whole, and given the settings the two are independent
    model = learned(*table(y, phi, ("u", "v")), steps=600)
    assert at(model, (0.8, -9.0), (1.2, 9.0)) == pytest.approx(0.954, abs=0.02)
    assert at(model, (0.8, 0.8), (1.2, 1.2)) == pytest.approx(0.911, abs=0.03)


def test_an_unknown_entry_is_integrated_out():
    torch.set_default_dtype(torch.float64)
    model = small_model()
    law = model.property_given_process(triads(5).phi)
    m = triads(5).m
    m[:, 1] = torch.nan
    first = torch.distributions.Normal(law.loc[..., 0], law.scale[..., 0]).log_prob(m[:, :1])
    assert torch.allclose(law.log_prob(m), (law.log_weights + first).logsumexp(-1))


def test_the_law_learned_is_the_exact_one():
    """P(m in box | φ) of a bimodal chain, over the whole process space."""
    rng = np.random.default_rng(1)
    phi = rng.uniform(size=(6000, 2))
    side = rng.uniform(size=6000) < phi[:, 0]
    y = np.where(side, 1.0, -1.0) * (1 + phi[:, 1]) + 0.2 * rng.normal(size=6000)
    model = learned(*table(y, phi, "y"), steps=700)
    grid = UNIT.grid(9)
    mean = 1 + grid[:, 1]
    for a, b in ((0.5, 1.4), (-1.8, -1.2), (-0.5, 0.5)):
        up, down = (
            norm.cdf((b - s * mean) / 0.2) - norm.cdf((a - s * mean) / 0.2) for s in (1, -1)
        )
        truth = grid[:, 0] * up + (1 - grid[:, 0]) * down
        p = probability(model, Box((a,), (b,)), grid).value
        assert np.sqrt(np.mean((p - truth) ** 2)) < 0.03


IMAGES = {
    "two phases": Microstructure(shape=(8, 8)),
    "rectangle": Microstructure(shape=(9, 6), periodic=False),
    "three phases": Microstructure(shape=(8, 8), phases=3),
    "grey": Microstructure(shape=(6, 9), phases="grey", periodic=False),
    "none": None,
}


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("properties", [("y",), (HORIZONTAL, VERTICAL), ("a", "b", HORIZONTAL)])
def test_any_properties_and_any_images_train_and_answer(images, properties):
    of = schema(properties, IMAGES[images])
    model, data = small_model(of), batches(32, of)
    if images != "none":
        data.train.m[::2] = torch.nan
    history = train(model, data, quick(epochs=1))
    k = len(properties)
    assert 0 <= at(model, (-9.0,) * k, (-5.0,) * k, phi=(5.0, 1.0)) <= 1
    assert ("reader" in history.stages) == (images != "none")
    assert len(history) == (images != "none")
    x, m = (model.model(data.train.phi[:3]) for _ in range(2))
    assert m.shape == (3, k)


def test_bare_pairs_teach_the_law_of_a_property_that_the_image_shows():
    """The share of void follows φ; of 400 rows 40 have their property."""
    of = schema(("share",), Microstructure(shape=(12, 8), periodic=False))
    grid = torch.linspace(2, 8, 7)
    torch.manual_seed(0)
    phi = torch.stack([1 + 8 * torch.rand(400), 0.2 + 1.8 * torch.rand(400)], 1)
    rate = 0.2 + 0.6 * (phi[:, 0] - 1) / 8
    x = (torch.rand(400, 12, 8) < rate[:, None, None]).to(torch.uint8)
    m = x.float().mean((1, 2))[:, None]
    m[40:] = torch.nan
    rows_, error = Batch(phi, x, m), {}
    for pairs in (True, False):
        data = Batches(rows_[8:] if pairs else rows_[8:40], rows_[:8])
        torch.manual_seed(1)
        model = PSPGen(of)
        history = train(model, data, [ReaderStage(steps=200), PriorStage(steps=300, passes=ONCE)])
        assert history.read == (["share"] if pairs else None)
        with torch.no_grad():
            law = model.property_given_process(torch.stack([grid, torch.ones(7)], 1))
        error[pairs] = float((law.mean[:, 0] - (0.2 + 0.6 * (grid - 1) / 8)).abs().mean())
    assert error[True] < 0.015
    assert error[True] < error[False]


def test_the_reader_of_declared_directions_turns_with_the_image():
    torch.set_default_dtype(torch.float64)
    reader = small_model().encoder.reader
    x = triads(5).x
    plain, turned = reader(x), reader(x.mT)
    assert torch.allclose(plain.loc.flip(1), turned.loc)
    assert torch.allclose(plain.log_weights.flip(1), turned.log_weights)


def test_the_reader_of_a_periodic_image_knows_no_origin():
    torch.set_default_dtype(torch.float64)
    reader = small_model().encoder.reader
    x = triads(5).x
    # the first convolution has stride 2
    assert torch.allclose(reader(x).loc, reader(x.roll((4, 2), (1, 2))).loc)


def test_the_reader_tells_a_channel_from_a_blocked_one():
    """Two images of one volume fraction: only the pools that keep connectivity tell them apart."""
    torch.manual_seed(0)
    of = schema(("open",), Microstructure(shape=(12, 12)))
    open_, blocked = torch.zeros(12, 12), torch.zeros(12, 12)
    open_[4:6] = 1
    blocked[4:6] = 1
    blocked[4:6, 5:7], blocked[8:10, 5:7] = 0, 1
    x = torch.stack(
        [torch.stack([i.roll((r, r), (0, 1)) for r in range(12)]) for i in (open_, blocked)]
    )
    x, m = x.flatten(0, 1), torch.tensor([1.0, 0.0]).repeat_interleave(12)[:, None]
    phi = torch.tensor([[5.0, 1.0]]).expand(24, 2) + torch.rand(24, 2) * 0.1
    data = Batches(Batch(phi, x, m), Batch(phi, x, m))
    model = PSPGen(of)
    train(model, data, [ReaderStage(steps=150, batch_size=24)])
    read = model.encoder.reader(x).mean * model.m_scale + model.m_loc
    assert (read - m).abs().max() < 0.3


def test_noise_of_the_decoder_is_counted_once():
    """Two spikes as wide as that noise: counted twice, 26 % would lie within one width of one."""
    rng = np.random.default_rng(0)
    phi = rng.uniform(size=(3000, 2))
    width = 0.02 * 2 / 3.29
    y = rng.choice([-1.0, 1.0], 3000) + width * rng.normal(size=3000)
    model = learned(*table(y, phi, "y"))
    assert at(model, (1 - width,), (1 + width,)) == pytest.approx(0.341, abs=0.03)


def test_an_image_that_shows_nothing_teaches_nothing():
    """Half of the rows have no property and an image of noise; the law is that of the others."""
    torch.manual_seed(0)
    phi, y = toy(800)
    of = schema("y", Microstructure(shape=(8, 8)), process=UNIT)
    x = torch.randint(0, 2, (800, 8, 8), dtype=torch.uint8)
    m = torch.tensor(y[:, :1]).float()
    m[::2] = torch.nan
    rows_ = Batch(torch.tensor(phi).float(), x, m)
    model = PSPGen(of)
    # long enough to learn the images by heart
    train(
        model,
        Batches(rows_[80:], rows_[:80]),
        [ReaderStage(steps=300), PriorStage(steps=300, passes=ONCE)],
    )
    assert at(model, (0.8,), (1.2,)) == pytest.approx(0.954, abs=0.04)
    assert model.encoder.reader.blind.all()


@pytest.mark.slow
def test_an_image_that_shows_less_than_the_settings_tell_is_not_read():
    """Every tenth row has a property; the images show it, to within a standard deviation of 1."""
    torch.manual_seed(0)
    phi, y = toy(2000)
    of = schema("y", Microstructure(shape=(8, 8)), process=UNIT)
    m = torch.tensor(y[:, :1]).float()
    rate = 0.3 + 0.2 * (m[:, 0] + torch.randn(2000))
    x = (torch.rand(2000, 8, 8) < rate[:, None, None]).to(torch.uint8)
    m[torch.arange(2000) % 10 > 0] = torch.nan
    rows_ = Batch(torch.tensor(phi).float(), x, m)
    model, data = PSPGen(of), Batches(rows_[200:], rows_[:200])
    history = train(model, data, [ReaderStage(steps=300), PriorStage(steps=500, passes=ONCE)])
    assert history.read == []
    assert at(model, (0.8,), (1.2,)) == pytest.approx(0.954, abs=0.06)


def test_a_property_that_neither_image_nor_setting_tells_is_not_read():
    """The law of the settings, learned from few labels, is worse than none; so is the image's."""
    torch.manual_seed(0)
    of = schema("y", Microstructure(shape=(8, 8)), process=UNIT)
    m = torch.randn(400, 1)
    m[:200] = torch.nan
    x = torch.randint(0, 2, (400, 8, 8), dtype=torch.uint8)
    rows_ = Batch(torch.rand(400, 2), x, m)
    model, data = PSPGen(of), Batches(rows_[:300], rows_[300:])
    history = train(model, data, [ReaderStage(steps=300), PriorStage(steps=500, passes=ONCE)])
    assert model.encoder.reader.blind.all()
    assert history.read == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b.m.__setitem__((0, 0), torch.inf), "infinite m"),
        (lambda b: b.x.__setitem__(0, 255.0), "labels from 0 to 1"),
        (lambda b: b.x.__setitem__(0, torch.nan), "labels from 0 to 1"),
        (lambda b: b.x.__setitem__(0, 0.5), "labels from 0 to 1"),
        (lambda b: b.phi.__setitem__((0, 0), 900.0), "phi1 = 900, outside"),
        (lambda b: b.phi.__setitem__((0, 1), torch.nan), "NaN or infinite"),
    ],
)
def test_rows_that_are_not_of_the_schema_are_refused(change, words):
    data = batches(32)
    change(data.train)
    with pytest.raises(InputError, match=words):
        train(small_model(), data, quick())


def test_a_property_that_never_varies_is_refused():
    data = batches(32)
    data.train.m[:, :] = 2.0
    with pytest.raises(InputError, match="in every row"):
        train(small_model(), data, quick())


def test_a_reader_without_images_is_refused():
    with pytest.raises(InputError, match="no microstructure"):
        BottleneckReader().build(small_model(schema(images=None)).dims)


def test_guide_and_model_agree_on_what_is_known():
    torch.set_default_dtype(torch.float64)
    model, batch = small_model(), triads(6)
    model.standardise_by(batch.m)
    u = model.latent_given(batch.x, batch.m, batch.phi).laws[0]
    assert torch.allclose(u.mean, model.standardise_properties(batch.m))
    assert torch.allclose(u.variance.sqrt(), torch.full_like(u.mean, model.decoder_m.noise))
    assert rows(batch)[2] is batch.m
    assert PROCESS.names == model.process.names
    assert Descent(1e-3, 0.0).clip == 5.0
