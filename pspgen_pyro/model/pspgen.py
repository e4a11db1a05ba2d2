r"""PSP-GEN: the process–structure–property chain as a Pyro model and guide.

.. math::
    p(x, m \mid \varphi) = \int p(x \mid z_0, z_1)\, p(m \mid z_0, z_1)\, p(z_0 \mid \varphi)\,
    dz_0, \qquad z_1 = g(\varphi)

with the guide :math:`q(z_0 \mid x, m, \varphi)` (Eq. 2, 5, 6, 11). The training objective weighs
the Kullback–Leibler term by :math:`\beta` (Eq. 17),

.. math::
    \mathcal{L} = \mathbb{E}_q[\log p(x \mid z)] + \mathbb{E}_q[\log p(m \mid z)]
        - \beta\, \mathrm{KL}(q(z_0) \,\|\, p(z_0 \mid \varphi)).

References:
    PSP-GEN: Stochastic inversion of the process–structure–property chain in materials design
    through deep, generative probabilistic modeling (Zang & Koutsourelakis, 2024)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import Independent, Normal
from pyro.nn import PyroModule, pyro_method
from torch import Tensor, nn

from ..errors import DataError, InputError
from ..process import ProcessSpace
from ..schema import Microstructure, Property, Schema
from .base import Dimensions, Part, part_from_json, part_to_json
from .defaults import default_parts
from .distributions import NormalMixture
from .encoders import ThreeBranchEncoder
from .priors import MixturePrior, StandardNormalPrior
from .properties import CodedProperty, MixtureProperty, PropertyItself
from .stationary import ConvolutionalEncoder, ConvolutionalImage, StationaryPrior

__all__ = ["PSPGen"]

_instances = count()


class PSPGen(PyroModule):
    r"""The generative model of the chain, and its guide.

    If m has two entries, one along each direction of a square image, :math:`z_0 = (u, w)` by
    default: the properties u themselves (`PropertyItself`), read off the image by a
    `ConnectivityEncoder` where they are not known and with a `MixturePrior`, beside the image's w.
    Otherwise, and beside an encoder or property decoder without a code, the parts are App. A's,
    with a mixture for m.

    The sites are `z1` (deterministic), `z0`, `x` and `m`, all inside the plate `sample`. In
    training mode the site `z0` is scaled by :math:`\beta`; in evaluation mode (`model.eval()`) the
    density is the plain joint one.

    Arguments:
        process: The process space; it fixes the meaning of `phi`.
        image: The pixels `(H, W)` of a microstructure.

    Other arguments:
        properties: The names of the properties.
        phases: The number of phases; with more than two the pixels are categorical.
        latent: The size :math:`D_0` of :math:`z_0`.
        process_latent: The size :math:`D_1` of :math:`z_1`.
        process_map: The part :math:`z_1 = g(\varphi)`.
        prior: The part :math:`p(z_0 \mid \varphi)`.
        image_decoder: The part :math:`p(x \mid z_0, z_1)`.
        property_decoder: The part :math:`p(m \mid z_0, z_1)`.
        encoder: The part :math:`q(z_0 \mid x, m, \varphi)`.
        pair_encoder: The part :math:`q_\zeta(z_0 \mid x, \varphi)` for pairs without m (Eq. 18);
            needed for such pairs if `encoder` reads m.
        beta: The weight :math:`\beta` of the Kullback–Leibler term in training.

    Raises:
        InputError: If a size or β is not positive, or there are fewer than two phases.

    Example:
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> model = PSPGen(process, (36, 36))
        >>> phi = torch.tensor([[1.0, 2.0]])
        >>> trace = poutine.trace(model.model).get_trace(phi)
        >>> trace.nodes["x"]["value"].shape, trace.nodes["m"]["value"].shape
        (torch.Size([1, 36, 36]), torch.Size([1, 2]))
    """

    phi_loc: Tensor
    phi_scale: Tensor
    m_loc: Tensor
    m_scale: Tensor

    def __init__(
        self,
        process: ProcessSpace | Schema,
        image: tuple[int, int] = (2, 2),
        *,
        properties: Sequence[str] = ("horizontal", "vertical"),
        phases: int = 2,
        latent: int = 64,
        process_latent: int = 21,
        process_map: Part | None = None,
        prior: Part | None = None,
        image_decoder: Part | None = None,
        property_decoder: Part | None = None,
        encoder: Part | None = None,
        pair_encoder: Part | None = None,
        beta: float = 2.0,
    ) -> None:
        if isinstance(process, Schema):
            schema, process, properties = process, process.process, process.property_names
            image, phases = _image(schema)
        else:
            schema = _schema_of(process, image, properties, phases)
        # parameters are stored globally by name: a name of its own keeps two models apart
        super().__init__(f"pspgen{next(_instances)}")
        self.schema = schema
        self.process = process
        self.property_names = tuple(properties)
        sizes = len(process), (int(image[0]), int(image[1])), len(properties)
        self.dims = Dimensions(*sizes, latent, process_latent, phases)
        if min(*self.dims.image, latent, process_latent, len(properties)) < 1 or not beta > 0:
            raise InputError(
                f"'image' {image}, 'latent' {latent}, 'process_latent' {process_latent}, the "
                "number of "
                f"'properties' {len(properties)} and 'beta' {beta} must all be positive."
            )
        if phases < 2:
            raise InputError(f"'phases' is {phases}; a microstructure has at least two.")
        self.beta = float(beta)
        defaults = default_parts(self.dims, encoder, property_decoder)
        chosen = {
            "process_map": process_map,
            "prior": prior,
            "decoder_x": image_decoder,
            "decoder_m": property_decoder,
            "encoder": encoder,
        }
        self.parts: dict[str, Part] = {
            name: defaults[name] if part is None else part for name, part in chosen.items()
        }
        if pair_encoder is not None:
            self.parts["pair_encoder"] = pair_encoder
        for name, part in self.parts.items():
            setattr(self, name, part.build(self.dims))
        low, high = torch.tensor(process.lower), torch.tensor(process.upper)
        self.register_buffer("phi_loc", (low + high) / 2)
        self.register_buffer("phi_scale", (high - low) / 12**0.5)
        self.register_buffer("m_loc", torch.zeros(len(properties)))
        self.register_buffer("m_scale", torch.ones(len(properties)))

    @classmethod
    def paper(cls, process: Any, image: tuple[int, int] = (2, 2), **sizes: Any) -> PSPGen:
        """The published model: one Gaussian for m that reads all of z0, the standard normal prior,
        the three-branch encoder, β = 2; `sizes` as for the constructor."""
        parts = {
            "prior": StandardNormalPrior(),
            "property_decoder": MixtureProperty(1, reads=None),
            "encoder": ThreeBranchEncoder(),
        }
        return cls(process, image, **{**parts, **sizes})

    @classmethod
    def convolutional(
        cls, process: Any, image: tuple[int, int] = (2, 2), *, planes: int = 2, **sizes: Any
    ) -> PSPGen:
        """The default's properties and prior beside a periodic convolutional image: slower to
        train, and its generated microstructures are worth looking at.

        Arguments:
            process: The process space.
            image: The pixels of a microstructure, multiples of 4.
            planes: The latent fields, each of one value a tile of 4 × 4 pixels.

        Other arguments:
            sizes: As for the constructor; β is 1 unless given.
        """
        properties = len(sizes.get("properties", ("horizontal", "vertical")))
        if isinstance(process, Schema):
            properties, image = len(process.properties), _image(process)[0]
        return cls(
            process,
            image,
            latent=properties + planes * (image[0] // 4) * (image[1] // 4),
            prior=MixturePrior(entries=properties, rest=StationaryPrior()),
            image_decoder=ConvolutionalImage(),
            encoder=ConvolutionalEncoder(reading=CodedProperty()),
            property_decoder=PropertyItself(),
            **{"beta": 1.0, **sizes},
        )

    @property
    def members(self) -> tuple[PSPGen, ...]:
        return (self,)

    def specification(self) -> dict[str, Any]:
        """What the model is made of, without its weights, ready for JSON."""
        return {
            "schema": self.schema.to_json(),
            "image": self.dims.image,
            "properties": self.property_names,
            "phases": self.dims.phases,
            "latent": self.dims.latent,
            "process_latent": self.dims.process_latent,
            "beta": self.beta,
            "parts": {name: part_to_json(part) for name, part in self.parts.items()},
        }

    @classmethod
    def from_specification(cls, specification: dict[str, Any]) -> PSPGen:
        """A model with fresh weights from what `specification` returned.

        Raises:
            DataError: If an entry is missing or unusable.
        """
        spec = specification
        try:
            schema = Schema.from_json(spec["schema"])
            parts = {name: part_from_json(part) for name, part in spec["parts"].items()}
            return cls(
                schema,
                latent=spec["latent"],
                process_latent=spec["process_latent"],
                process_map=parts["process_map"],
                prior=parts["prior"],
                image_decoder=parts["decoder_x"],
                property_decoder=parts["decoder_m"],
                encoder=parts["encoder"],
                pair_encoder=parts.get("pair_encoder"),
                beta=spec["beta"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"the description of the model is incomplete or damaged: {error!r}."
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> PSPGen:
        """A copy under a Pyro name of its own, so that training it leaves this model alone."""
        copy = PSPGen.from_specification(self.specification()).to(self.m_loc)
        copy.load_state_dict(self.state_dict())
        copy.train(self.training)
        memo[id(self)] = copy
        return copy

    def standardise_by(self, m: Tensor) -> None:
        """Takes the location and scale of the properties from training data `m` with shape `(N,
        K)`; one of each for all properties if they share a decoder.

        Raises:
            InputError: If there are fewer than two rows.
        """
        if len(m) < 2:
            raise InputError(f"'m' has {len(m)} row(s) with properties; a scale needs at least 2.")
        if getattr(self.decoder_m, "shared", False):
            m = m.reshape(-1, 1)
        self.m_loc.copy_(m.mean(dim=0).expand_as(self.m_loc))
        self.m_scale.copy_(m.std(dim=0).clamp(min=1e-6).expand_as(self.m_scale))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        r"""The parameters :math:`\theta` of the model and :math:`\eta` of the guide, by those two
        names."""
        eta = list(self.encoder.parameters())
        if "pair_encoder" in self.parts:
            eta += self.pair_encoder.parameters()
        theirs = {id(p) for p in eta}
        return {"theta": [p for p in self.parameters() if id(p) not in theirs], "eta": eta}

    def standardise(self, phi: Tensor) -> Tensor:
        r"""The process parameters as the networks see them, with mean 0 and variance 1 under
        :math:`p(\varphi)`."""
        return (phi - self.phi_loc) / self.phi_scale

    def latent_of_process(self, phi: Tensor) -> Tensor:
        r"""The latent :math:`z_1 = g(\varphi)`, with shape `(*, D1)`."""
        return self.process_map(self.standardise(phi))

    def property_given(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        """The distribution p(m | z0, z1) in the units of the data."""
        return self._in_units(self.decoder_m(z0, z1))

    def property_given_process(self, phi: Tensor) -> NormalMixture | None:
        r"""The distribution :math:`p(m \mid \varphi) = \int p(m \mid z_0)\, p(z_0 \mid \varphi)\,
        dz_0` in the units of the data, where it has a closed form; None where it has none.

        Arguments:
            phi: Process parameters, with shape `(*, P)`.
        """
        marginal = getattr(self.decoder_m, "marginal", None)
        if marginal is None or getattr(self.prior, "entries", None) != self.decoder_m.reads:
            return None
        law = marginal(self.prior.law(self.standardise(phi)))
        return None if law is None else self._in_units(law)

    def _in_units(self, standard: NormalMixture) -> NormalMixture:
        loc = self.m_loc + self.m_scale * standard.loc
        return NormalMixture(standard.log_weights, loc, self.m_scale * standard.scale)

    def latent_given(
        self, x: Tensor, m: Tensor, phi: Tensor, code: tuple[Tensor, Tensor] | None = None
    ) -> Independent:
        """The guide's distribution q(z0 | x, m, φ), or q(z0 | x, φ) in the rows where m is NaN.

        Arguments:
            x: Microstructures, with shape `(N, H, W)`.
            m: Properties, with shape `(N, K)`.
            phi: Process parameters, with shape `(N, P)`.
            code: The mean and standard deviation of the property code q(u | x), if the encoder has
                one and they are known already.

        Raises:
            InputError: If m is NaN somewhere and no part of the model can do without it.
        """
        inner = self.standardise(phi)
        if code is not None:
            known_code = Normal(*code, validate_args=False).to_event(1)
            return self.encoder(x, m, inner, known_code)
        standard = (m - self.m_loc) / self.m_scale
        known = standard.isfinite().all(-1, keepdim=True)
        if known.all() or not getattr(self.encoder, "reads_m", True):
            return self.encoder(x, standard, inner)
        if "pair_encoder" not in self.parts:
            raise InputError(
                f"'m' is NaN in {int((~known).sum())} row(s), but the encoder of this model needs "
                "it; build the model with `pair_encoder=TwoBranchEncoder()` or leave those rows "
                "out."
            )
        triads = self.encoder(x, standard.nan_to_num(), inner)
        pairs = self.pair_encoder(x, standard, inner)
        return Normal(
            torch.where(known, triads.mean, pairs.mean),
            torch.where(known, triads.stddev, pairs.stddev),
            validate_args=False,
        ).to_event(1)

    def _tempered(self) -> AbstractContextManager[Any]:
        return poutine.scale(scale=self.beta) if self.training else nullcontext()

    def model_sites(self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None) -> Tensor:
        """The body of `model`, without the registration of parameters that Pyro starts with.

        The training loop holds the parameters itself and traces this; so does anything else that
        needs the sites only and calls them often.
        """
        with pyro.plate("sample", phi.shape[-2], dim=-1):
            z1 = pyro.deterministic("z1", self.latent_of_process(phi), event_dim=1)
            with self._tempered():
                z0 = pyro.sample("z0", self.prior(self.standardise(phi)))
            pyro.sample("x", self.decoder_x(z0, z1), obs=x)
            law = self.property_given(z0, z1)
            if m is not None and m.isnan().any():
                known = m.isfinite().all(-1)
                return pyro.sample("m", law.mask(known), obs=m.where(known.unsqueeze(-1), 0.0))
            return pyro.sample("m", law, obs=m)

    def guide_sites(
        self, phi: Tensor, x: Tensor, m: Tensor, code: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The body of `guide`, as `model_sites` is that of `model`; `code` as in
        `latent_given`."""
        with pyro.plate("sample", phi.shape[-2], dim=-1), self._tempered():
            return pyro.sample("z0", self.latent_given(x, m, phi, code))

    @pyro_method
    def model(self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None) -> Tensor:
        """Samples z0, x and m given the process parameters; x and m may be observed.

        Arguments:
            phi: Process parameters, with shape `(N, P)`.
            x: Microstructures of phase labels, with shape `(N, H, W)`.
            m: Properties, with shape `(N, K)`; NaN in the rows of bare pairs.

        Returns:
            The properties, with shape `(N, K)`.
        """
        return self.model_sites(phi, x, m)

    @pyro_method
    def guide(self, phi: Tensor, x: Tensor, m: Tensor) -> Tensor:
        """Samples z0 from q(z0 | x, m, φ), with shape `(N, D0)`; arguments as in `model`."""
        return self.guide_sites(phi, x, m)


def _image(schema: Schema) -> tuple[tuple[int, int], int]:
    known = schema.microstructure
    if known is None:
        return (2, 2), 2
    return known.shape, 2 if known.grey else int(known.phases)


def _schema_of(
    process: ProcessSpace, image: tuple[int, int], properties: Sequence[str], phases: int
) -> Schema:
    both = tuple(properties) == ("horizontal", "vertical")
    given = [
        Property(name=n, scale="log", quantity="k", direction=n) if both else Property(name=n)
        for n in properties
    ]
    known = Microstructure(shape=image, phases=phases)
    return Schema(process=process, microstructure=known, properties=tuple(given))
