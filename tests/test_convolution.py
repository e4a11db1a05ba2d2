"""Claims about the property code: what its encoder and its decoder cannot get wrong."""

import json

import pytest
import torch
from pyro.distributions import Normal
from test_model import PROCESS, small_model

from pspgen_pyro import InputError, PSPGen
from pspgen_pyro.model import (
    CodedProperty,
    ConnectivityEncoder,
    ConvolutionalEncoder,
    ConvolutionalImage,
    Dimensions,
    MixturePrior,
    StationaryPrior,
    part_from_json,
    part_to_json,
)
from pspgen_pyro.model.distributions import NormalMixture
from pspgen_pyro.training.objective import elbo_terms

SIZE, LATENT = 16, 18
ENCODERS = [
    ConnectivityEncoder(channels=6, head=8, image=(8,), vector=(4,), joint=(8,)),
    ConnectivityEncoder(2, 4, 2, 8, percolation=True, image=(8,), vector=(4,), joint=(8,)),
    ConvolutionalEncoder(code_channels=4, head=8, channels=4),
    ConvolutionalEncoder(code_channels=4, head=8, channels=4, percolation=True),
]


def dims(latent=LATENT + 2, phases=2):
    return Dimensions(2, (SIZE, SIZE), 2, latent, 3, phases)


def built(part, phases=2):
    latent = LATENT + (2 if getattr(part, "code", 1) == 2 else 0)
    return part.build(dims(latent, phases))


def images(n=6, phases=2):
    return torch.randint(phases, (n, SIZE, SIZE)).double()


def moments(law):
    return torch.stack([law.mean, law.stddev])


def swapped(t, size):
    """The code of the other direction first."""
    return t.unflatten(-1, (2, size)).flip(-2).flatten(-2)


@pytest.mark.parametrize("part", ENCODERS)
def test_transposing_the_image_swaps_the_codes_of_the_directions(part):
    encoder, x = built(part), images()
    with torch.no_grad():
        code, turned = moments(encoder.code_given(x)), moments(encoder.code_given(x.mT))
    assert torch.equal(turned, swapped(code, part.code))


def test_with_three_phases_too():
    encoder, x = built(ENCODERS[0], 3), images(phases=3)
    with torch.no_grad():
        code, turned = moments(encoder.code_given(x)), moments(encoder.code_given(x.mT))
    assert torch.equal(turned, swapped(code, 1))


@pytest.mark.parametrize("part", ENCODERS)
@pytest.mark.parametrize("shift", [(2, 0), (0, 4), (6, 10)])
def test_shifting_the_image_by_the_stride_leaves_its_code_alone(part, shift):
    encoder, x = built(part), images()
    with torch.no_grad():
        code = moments(encoder.code_given(x))
        moved = moments(encoder.code_given(x.roll(shift, (1, 2))))
    assert torch.allclose(code, moved, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("part", ENCODERS)
def test_an_open_channel_and_a_blocked_one_have_different_codes(part):
    """The same void fraction, and the same pixels but for two."""
    is_open, blocked = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    is_open[4:8] = 1
    blocked[4:8] = 1
    blocked[4:8, 9] = 0
    blocked[12:16, 9] = 1
    assert is_open.mean() == blocked.mean()
    encoder = built(part)
    with torch.no_grad():
        code = encoder.code_given(torch.stack([is_open, blocked])).mean
    along, across = code.unflatten(-1, (2, -1)).unbind(1)
    assert ((along[0] - along[1]).abs() > 1e-4).all()
    assert torch.isfinite(across).all()


@pytest.mark.parametrize("part", ENCODERS)
def test_the_encoder_never_looks_at_the_properties(part):
    encoder, x, phi = built(part), images(), torch.randn(6, 2)
    with torch.no_grad():
        known = moments(encoder(x, torch.randn(6, 2), phi))
        unknown = moments(encoder(x, torch.full((6, 2), torch.nan), phi))
    assert torch.equal(known, unknown)
    assert known.isfinite().all()


@pytest.mark.parametrize("part", ENCODERS)
def test_the_first_entries_of_z0_are_the_code_and_follow_from_x_alone(part):
    encoder, x, m = built(part), images(), torch.randn(6, 2)
    with torch.no_grad():
        code = moments(encoder.code_given(x))
        a, b = (moments(encoder(x, m, torch.randn(6, 2))) for _ in range(2))
    size = encoder.code_size
    assert torch.equal(a[..., :size], code)
    assert torch.equal(b[..., :size], code)
    assert not torch.allclose(a[..., size:], b[..., size:])


@pytest.mark.parametrize("part", ENCODERS)
def test_a_code_that_is_known_already_is_taken_as_it_is(part):
    encoder, x, phi, m = built(part), images(), torch.randn(6, 2), torch.randn(6, 2)
    size = encoder.code_size
    code = Normal(torch.randn(6, size), torch.rand(6, size) + 0.1).to_event(1)
    with torch.no_grad():
        given = moments(encoder(x, m, phi, code))
        found = moments(encoder(x, m, phi))
    assert torch.equal(given[..., :size], moments(code))
    assert torch.equal(given[..., size:], found[..., size:])


@pytest.mark.parametrize("code", [1, 2])
def test_coded_properties_have_the_product_of_a_mixture_each(code):
    part = CodedProperty(code, components=3, hidden=(8,))
    decoder = part.build(dims())
    z0, m = torch.randn(7, LATENT + 2), torch.randn(7, 2)
    with torch.no_grad():
        law = decoder(z0, torch.randn(7, 3))
        each = []
        for j in range(2):
            weights, loc, scale = decoder.network(z0[:, j * code : (j + 1) * code]).chunk(3, -1)
            scale = part.floor + torch.nn.functional.softplus(scale)
            each.append(NormalMixture(weights, loc[..., None], scale[..., None]))
        product = sum(one.log_prob(m[:, j : j + 1]) for j, one in enumerate(each))
        box = [one.log_box_probability(torch.tensor([-0.5]), torch.tensor([0.4])) for one in each]
    assert torch.allclose(law.log_prob(m), product)
    found = law.log_box_probability(torch.tensor([-0.5, -0.5]), torch.tensor([0.4, 0.4]))
    assert torch.allclose(found, box[0] + box[1])
    assert law.log_weights.shape == (7, 9)


def test_coded_properties_of_swapped_codes_are_the_swapped_properties():
    decoder = CodedProperty(2, 3, (8,)).build(dims())
    z0, z1, m = torch.randn(7, LATENT + 2), torch.randn(7, 3), torch.randn(7, 2)
    turned = z0.clone()
    turned[:, :4] = swapped(z0[:, :4], 2)
    assert torch.allclose(decoder(turned, z1).log_prob(m.flip(1)), decoder(z0, z1).log_prob(m))


def test_coded_properties_read_nothing_but_the_code():
    decoder = CodedProperty(1, 3, (8,)).build(dims())
    z0, m = torch.randn(7, LATENT + 2), torch.randn(7, 2)
    other = z0.clone()
    other[:, 2:] = torch.randn(7, LATENT)
    a, b = (decoder(z, torch.randn(7, 3)).log_prob(m) for z in (z0, other))
    assert torch.equal(a, b)
    shaped = decoder(z0.expand(4, 7, -1), torch.randn(4, 7, 3))
    assert torch.allclose(shaped.log_prob(m), a)


def test_the_transposed_image_has_the_swapped_law_of_properties():
    """From the image to the properties, the symmetry of physics holds without training."""
    model = PSPGen(
        PROCESS,
        (SIZE, SIZE),
        latent=LATENT,
        process_latent=3,
        encoder=ENCODERS[0],
        property_decoder=CodedProperty(components=3, hidden=(8,)),
    )
    model.standardise_by(torch.randn(50, 2) * 2 - 7)
    assert torch.equal(model.m_loc[0], model.m_loc[1])
    x, m, phi = images(), torch.randn(6, 2) - 7, torch.tensor([[3.0, 1.0]]).expand(6, -1)
    z1 = model.latent_of_process(phi)
    with torch.no_grad():
        laws = [
            model.property_given(model.latent_given(image, m, phi).mean, z1) for image in (x, x.mT)
        ]
    assert torch.allclose(laws[0].log_prob(m), laws[1].log_prob(m.flip(1)))


def test_shifting_the_latent_fields_by_a_site_shifts_the_image_by_a_tile():
    decoder = ConvolutionalImage(channels=4).build(dims(LATENT))
    z0, z1 = torch.randn(5, LATENT), torch.randn(5, 3)
    moved = z0.clone()
    moved[:, 2:] = z0[:, 2:].reshape(5, 1, 4, 4).roll((1, 3), (2, 3)).flatten(1)
    with torch.no_grad():
        logits = decoder(z0, z1).base_dist.logits
        found = decoder(moved, z1).base_dist.logits
    assert torch.allclose(found, logits.roll((4, 12), (1, 2)), atol=1e-12)


def test_shifting_the_image_by_a_tile_shifts_the_latent_fields_by_a_site():
    encoder = built(ENCODERS[2])
    x, phi = images(), torch.randn(6, 2)
    with torch.no_grad():
        here, there = (
            moments(encoder(image, phi, phi))[..., 2:].unflatten(-1, (1, 4, 4))
            for image in (x, x.roll((4, 12), (1, 2)))
        )
    assert torch.allclose(there, here.roll((1, 3), (3, 4)), atol=1e-12)


@pytest.mark.parametrize("batch", [(), (4,), (3, 4)])
def test_the_convolutional_image_takes_any_shape_of_batch(batch):
    decoder = ConvolutionalImage(channels=4).build(dims(LATENT))
    law = decoder(torch.randn(*batch, LATENT), torch.randn(*batch, 3))
    assert law.batch_shape == batch
    assert law.event_shape == (SIZE, SIZE)


def test_a_model_of_convolutional_parts_trains_all_of_its_parameters():
    model = PSPGen(
        PROCESS,
        (SIZE, SIZE),
        latent=LATENT,
        process_latent=3,
        encoder=ENCODERS[2],
        image_decoder=ConvolutionalImage(channels=4),
        property_decoder=CodedProperty(components=2, hidden=(4,)),
        prior=MixturePrior(3, 2, (4,), rest=StationaryPrior((4,))),
    )
    phi = torch.tensor([[3.0, 1.0]]).expand(6, -1)
    loss = elbo_terms(model, phi, images(), torch.randn(6, 2)).loss(1.0)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)


def test_the_convolutional_model_is_a_code_a_property_beside_its_planes():
    model = PSPGen.convolutional(PROCESS, (8, 8), planes=3)
    assert model.dims.latent == 2 + 3 * 2 * 2
    assert model.beta == 1.0
    assert PSPGen.convolutional(PROCESS, (8, 8), beta=0.5).beta == 0.5


def test_shifting_the_planes_of_the_convolutional_model_shifts_its_image():
    model = PSPGen.convolutional(PROCESS, (8, 8), planes=1).eval()
    z0, z1 = torch.randn(2, 6), torch.randn(2, model.dims.process_latent)
    planes = z0[:, 2:].unflatten(-1, (2, 2)).roll(1, -1).flatten(-2)
    x = model.decoder_x(z0, z1).mean
    shifted = model.decoder_x(torch.cat([z0[:, :2], planes], -1), z1).mean
    assert torch.allclose(shifted, x.roll(4, -1))


def test_the_convolutional_model_refuses_an_image_that_tiles_do_not_fill():
    with pytest.raises(InputError, match="choose sides that 4 divides"):
        PSPGen.convolutional(PROCESS, (10, 10))


@pytest.mark.parametrize("part", [*ENCODERS, CodedProperty(2), ConvolutionalImage(channels=4)])
def test_these_parts_survive_json(part):
    assert part_from_json(json.loads(json.dumps(part_to_json(part)))) == part


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": ConnectivityEncoder(0)}, "'code' is 0 but z0 has 6 entries"),
        ({"encoder": ConnectivityEncoder(3)}, "choose a positive number that leaves entries"),
        ({"property_decoder": CodedProperty(4)}, "'code' is 4 but z0 has 6 entries"),
        ({"property_decoder": CodedProperty(0)}, "'code' is 0"),
        ({"encoder": ConnectivityEncoder(), "properties": ("k",)}, "here are 1 and 8×8 pixels"),
        ({"encoder": ConvolutionalEncoder(), "phases": 3}, "made for two phases"),
        ({"image_decoder": ConvolutionalImage(), "phases": 3}, "take a CategoricalImage"),
        ({"image_decoder": ConvolutionalImage(), "latent": 7}, "w has 5 entries"),
        ({"encoder": ConvolutionalEncoder(), "latent": 2}, "w has 0 entries"),
    ],
)
def test_a_part_that_does_not_fit_is_refused_in_a_sentence(options, words):
    with pytest.raises(InputError, match=words):
        small_model(**options)


def test_an_image_that_is_not_square_is_refused():
    with pytest.raises(InputError, match="8×6 pixels, so take a ThreeBranchEncoder"):
        PSPGen(PROCESS, (8, 6), latent=6, encoder=ConnectivityEncoder())
