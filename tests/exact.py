r"""A linear-Gaussian member of the family, whose every density is known in closed form.

.. math::
    z_1 = A\varphi + a, \quad z_0 \sim \mathcal{N}(0, I), \quad
    x = B z + b + \varepsilon_x, \quad m = C z + c + \varepsilon_m, \quad z = (z_0, z_1)

with Gaussian noise of standard deviations `noise_x` and `noise_m`; the exact guide is the Gaussian
posterior.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from pyro.distributions import MultivariateNormal, Normal
from torch import nn

from pspgen_pyro import Microstructure, ProcessSpace, PSPGen, Schema
from pspgen_pyro.model import (
    Dimensions,
    Encoder,
    ImageDecoder,
    Part,
    PropertyDecoder,
    StandardNormalPrior,
)
from pspgen_pyro.model.distributions import NormalMixture

PROCESS = ProcessSpace(("phi1", "phi2"), (-1.0, -1.0), (1.0, 1.0))
NOISE_X, NOISE_M = 0.7, 0.4


def schema_of(process, image):
    """Grey images and two properties without a unit."""
    images = Microstructure(shape=image, phases="grey")
    return Schema(process=process, microstructure=images, properties=("horizontal", "vertical"))


class _Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(0.6 * torch.randn(outputs, inputs))
        self.bias = nn.Parameter(0.3 * torch.randn(outputs))

    def forward(self, *inputs):
        return torch.cat(inputs, dim=-1) @ self.weight.T + self.bias


@dataclass(frozen=True)
class LinearMap(Part):
    def build(self, dims: Dimensions):
        return _Linear(dims.process, dims.process_latent)


@dataclass(frozen=True)
class GaussianImage(Part):
    def build(self, dims: Dimensions):
        return _GaussianImage(dims)


class _GaussianImage(ImageDecoder):
    def __init__(self, dims):
        super().__init__()
        linear = _Linear(dims.latent + dims.process_latent, dims.pixels)
        self.weight, self.bias = linear.weight, linear.bias
        self.image = dims.image

    def forward(self, z0, z1):
        loc = torch.cat([z0, z1], dim=-1) @ self.weight.T + self.bias
        return Normal(loc.unflatten(-1, self.image), NOISE_X).to_event(2)

    def likeliest(self, z0, z1):
        return self(z0, z1).mean


@dataclass(frozen=True)
class GaussianProperty(Part):
    def build(self, dims: Dimensions):
        return _GaussianProperty(dims)


class _GaussianProperty(PropertyDecoder):
    def __init__(self, dims):
        super().__init__(reads=dims.latent)
        linear = _Linear(dims.latent + dims.process_latent, dims.properties)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, z0, z1):
        loc = (torch.cat([z0, z1], dim=-1) @ self.weight.T + self.bias).unsqueeze(-2)
        return NormalMixture(loc.new_zeros(loc.shape[:-1]), loc, torch.full_like(loc, NOISE_M))


@dataclass(frozen=True)
class ExactEncoder(Part):
    """Stands for the exact posterior; `exact_model` fills in the model it inverts."""

    def build(self, dims: Dimensions):
        return _ExactEncoder()


class _ExactEncoder(Encoder):
    def __init__(self):
        super().__init__(reader=None)
        self.model = ()

    def forward(self, x, m, phi, ends, u=None):
        (model,) = self.model
        load0, residual, noise = _observation(model, phi, x, m)
        precision = torch.eye(load0.shape[1]) + load0.T @ (load0 / noise[:, None] ** 2)
        loc = torch.linalg.solve(precision, load0.T @ (residual / noise**2).T).T
        return MultivariateNormal(loc, precision_matrix=precision)


def _observation(model, phi, x, m):
    """Observed minus its mean at z0 = 0, the loadings on z0, and the noise, x and m stacked."""
    d0, pixels = model.dims.latent, model.dims.pixels
    z1 = model.process_map(phi)
    weight = torch.cat([model.decoder_x.weight, model.decoder_m.weight])
    bias = torch.cat([model.decoder_x.bias, model.decoder_m.bias])
    observed = torch.cat([x.flatten(-2), m], dim=-1)
    noise = torch.full((len(weight),), NOISE_M)
    noise[:pixels] = NOISE_X
    return weight[:, :d0], observed - bias - z1 @ weight[:, d0:].T, noise


def log_evidence(model, phi, x, m):
    """The exact log p(x, m | φ), from the joint Gaussian of x and m."""
    load0, residual, noise = _observation(model, model.standardise(phi), x, m)
    covariance = load0 @ load0.T + torch.diag(noise**2)
    return MultivariateNormal(torch.zeros(len(noise)), covariance).log_prob(residual)


def property_law(model, phi):
    """The exact p(m | φ): mean with shape (N, K) and covariance with shape (K, K)."""
    d0 = model.dims.latent
    weight = model.decoder_m.weight
    loc = model.latent_of_process(phi) @ weight[:, d0:].T + model.decoder_m.bias
    return loc, weight[:, :d0] @ weight[:, :d0].T + NOISE_M**2 * torch.eye(len(weight))


@contextmanager
def double_precision():
    """For fixtures wider than a test, which run before the test's own precision is set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def exact_model(latent=3, process_latent=2, image=(3, 3), seed=0):
    """A linear-Gaussian PSP-GEN whose guide is its exact posterior."""
    torch.manual_seed(seed)
    model = PSPGen(
        schema_of(PROCESS, image),
        latent=latent,
        process_latent=process_latent,
        process_map=LinearMap(),
        prior=StandardNormalPrior(),
        image_decoder=GaussianImage(),
        property_decoder=GaussianProperty(),
        encoder=ExactEncoder(),
    )
    # a tuple keeps the model from becoming a submodule of its own encoder
    model.encoder.model = (model,)
    return model


def tilted(slope):
    """m1 = 1/2 + slope · φ1 with noise 0.4, where φ1 is standardised; m2 is noise."""
    model = exact_model()
    with torch.no_grad():
        model.process_map.weight.copy_(torch.eye(2))
        model.process_map.bias.zero_()
        model.decoder_m.weight.zero_()
        model.decoder_m.weight[0, 3] = slope
        model.decoder_m.bias.copy_(torch.tensor([0.5, 0.0]))
    return model
