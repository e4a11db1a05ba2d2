r"""PSP-GEN: the process–structure–property chain as a Pyro model and guide (Eq. 2–9, 11, 18).

.. math::
    p(x, m \mid \varphi) = \int p(x \mid z_0, z_1)\, p(m \mid z_0, z_1)\,
        p(z_0 \mid \varphi)\, dz_0, \qquad z_1 = g(\varphi)

`PSPGen.model` samples that, `PSPGen.guide` samples :math:`q(z_0 \mid x, m, \varphi)`, or
:math:`q(z_0 \mid x, \varphi)` where m is not known. Both are ordinary Pyro programs, so every tool
of Pyro works with them. This file holds the two programs and the standardisation of φ and m; the
parts are in the other modules of this folder.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated, Any

import numpy as np
import pyro
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from pyro.nn import PyroModule, pyro_method
from torch import Tensor, nn

from ..data.scales import location_and_scale
from ..errors import DataError, InputError
from ..io.validation import Record, check_whole, read
from ..process import ProcessSpace
from ..schema import Schema
from .base import Dimensions, ImageDecoder, Part, Prior, PropertyDecoder
from .distributions import NormalMixture
from .encoders import Encoder, ReadingEncoder, ThreeBranchEncoder
from .images import BernoulliImage, CategoricalImage, GreyImage
from .maps import ResidualMap
from .priors import MixturePrior, StandardNormalPrior
from .properties import MixtureProperty, PropertyItself

__all__ = ["PSPGen"]

_instances = count()
_LEAST = 0.02
_KINDS: dict[str, type[nn.Module]] = {
    "process_map": nn.Module,
    "prior": Prior,
    "decoder_m": PropertyDecoder,
    "decoder_x": ImageDecoder,
    "encoder": Encoder,
}


# z0 and z1 are wider than this in no use of theirs, and weights grow with them
_WIDEST = 10_000
# of which the default prior learns a trend
_SETTINGS = 1000


class PSPGen(PyroModule):
    r"""The generative model of the chain, and its guide.

    By default :math:`z_0 = (u, w)`: the standardised properties u themselves (`PropertyItself`)
    with a `MixturePrior` given φ, read off the image by a `ReadingEncoder` where they are not
    known, beside the image's w. Without images :math:`z_0 = u`, and the model is
    :math:`p(m \mid \varphi)` alone.

    The sites are `z0`, `z1` (deterministic), `x` (if there are images) and `m`, all inside the
    plate `sample`. The guide adds the factor `reader`, the discriminative term
    :math:`\log q(m \mid x)` over the known properties, which teaches the reader in the same
    objective.

    Arguments:
        schema: What a triad is.

    Other arguments:
        latent: The size :math:`D_0` of :math:`z_0`; without images it is the number of properties.
        process_latent: The size :math:`D_1` of :math:`z_1`.
        process_map: The part :math:`z_1 = g(\varphi)`.
        prior: The part :math:`p(z_0 \mid \varphi)`.
        image_decoder: The part :math:`p(x \mid z_0, z_1)`.
        property_decoder: The part :math:`p(m \mid z_0, z_1)`.
        encoder: The part :math:`q(z_0 \mid x, m, \varphi)`.
        measured: Whether m is what was measured, or the property without its declared error of
            measurement.

    Raises:
        InputError: If a size is not positive, or parts do not fit the schema or each other.

    Example:
        >>> from pspgen_pyro.schema import Microstructure
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> images = Microstructure(shape=(12, 8), periodic=False)
        >>> schema = Schema(process=process, microstructure=images, properties=("a", "b", "c"))
        >>> trace = pyro.poutine.trace(PSPGen(schema).model).get_trace(torch.ones(5, 2))
        >>> trace.nodes["x"]["value"].shape, trace.nodes["m"]["value"].shape
        (torch.Size([5, 12, 8]), torch.Size([5, 3]))
    """

    phi_loc: Tensor
    phi_scale: Tensor
    phi_source: Tensor
    phi_level: Tensor
    phi_log: Tensor
    m_loc: Tensor
    m_scale: Tensor
    ends: Tensor
    errors: Tensor
    prior: Prior
    decoder_m: PropertyDecoder
    encoder: Encoder

    def __init__(
        self,
        schema: Schema,
        *,
        latent: int = 64,
        process_latent: int = 21,
        process_map: Part | None = None,
        prior: Part | None = None,
        image_decoder: Part | None = None,
        property_decoder: Part | None = None,
        encoder: Part | None = None,
        measured: bool = True,
    ) -> None:
        # parameters are stored globally by name: a name of its own keeps two models apart
        super().__init__(f"pspgen{next(_instances)}")
        check_whole(most=_WIDEST, latent=latent, process_latent=process_latent)
        self.schema, self.measured = schema, measured
        tabular = schema.microstructure is None
        self.dims = Dimensions(
            schema, len(schema.properties) if tabular else latent, process_latent
        )
        self.parts: dict[str, Part] = {
            "process_map": process_map or ResidualMap(),
            "prior": prior or MixturePrior(trend=_SETTINGS),
        }
        if image_decoder is not None or not tabular:
            self.parts["decoder_x"] = image_decoder or _image_decoder(schema)
        self.parts["decoder_m"] = property_decoder or PropertyItself()
        self.parts["encoder"] = encoder or ReadingEncoder()
        for name, part in self.parts.items():
            module = part.build(self.dims)
            if not isinstance(module, _KINDS[name]):
                raise InputError(
                    f"'{name}' is {part}, which is no {_KINDS[name].__name__}; choose another."
                )
            setattr(self, name, module)
        self._check_parts()
        features = schema.process.features
        self.register_buffer("phi_loc", torch.tensor(features.loc).float())
        self.register_buffer("phi_scale", torch.tensor(features.scale).float())
        for name in ("source", "level", "log"):
            given = torch.tensor(getattr(features, name))
            self.register_buffer(f"phi_{name}", given, persistent=False)
        self.register_buffer("m_loc", torch.zeros(self.dims.properties))
        self.register_buffer("m_scale", torch.ones(self.dims.properties))
        self.register_buffer("ends", torch.tensor(schema.ends.tolist()))
        errors = [p.measurement_error or 0.0 for p in schema.properties]
        self.register_buffer("errors", torch.tensor(errors), persistent=False)
        self.to(torch.get_default_dtype())

    @classmethod
    def paper(cls, schema: Schema, **sizes: Any) -> PSPGen:
        """The published model: one Gaussian for m that reads all of z0, the standard normal prior
        and the three-branch encoder; `sizes` as for the constructor."""
        parts = {
            "prior": StandardNormalPrior(),
            "property_decoder": MixtureProperty(1, reads=None),
            "encoder": ThreeBranchEncoder(),
        }
        return cls(schema, **{**parts, **sizes})

    @property
    def process(self) -> ProcessSpace:
        """The process space."""
        return self.schema.process

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties."""
        return self.schema.property_names

    @property
    def members(self) -> tuple[PSPGen, ...]:
        """The model itself: an ensemble of one."""
        return (self,)

    def tensor(self, values: ArrayLike) -> Tensor:
        """Numbers on the model's device and in its precision."""
        return torch.tensor(np.ascontiguousarray(values)).to(self.m_loc)

    def _check_parts(self) -> None:
        same = self.decoder_m.noise == self.encoder.noise
        if not same or (self.encoder.noise and self.prior.entries != self.dims.properties):
            raise InputError(
                "PropertyItself, ReadingEncoder (of the same noise) and a MixturePrior of one "
                f"entry a property belong together, but the parts are {self.parts['decoder_m']}, "
                f"{type(self.parts['encoder']).__name__} and {self.parts['prior']}; take all "
                "three, or none."
            )

    def specification(self) -> dict[str, Any]:
        """What the model is made of, without its weights, ready for JSON."""
        return {
            "schema": self.schema.to_json(),
            "latent": self.dims.latent,
            "process_latent": self.dims.process_latent,
            "measured": self.measured,
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }

    @classmethod
    def from_specification(cls, specification: Any, where: str = "model") -> PSPGen:
        """A model with fresh weights from what `specification` returned.

        Raises:
            DataError: If an entry is missing or unusable.
        """
        spec = read(_Stored, specification, where)
        parts = {name: Part.from_json(part) for name, part in spec.parts.items()}
        names = {"decoder_x": "image_decoder", "decoder_m": "property_decoder"}
        try:
            return cls(
                Schema.from_json(spec.schema_, f"{where}.schema"),
                latent=spec.latent,
                process_latent=spec.process_latent,
                measured=spec.measured,
                **{names.get(name, name): part for name, part in parts.items()},  # type: ignore[arg-type]
            )
        except (TypeError, InputError) as error:
            raise DataError(f"'{where}' does not fit together: {error}") from error

    def __deepcopy__(self, memo: dict[int, Any]) -> PSPGen:
        """A copy under a Pyro name of its own, so that training it leaves this model alone."""
        copy = PSPGen.from_specification(self.specification()).to(self.m_loc)
        copy.load_state_dict(self.state_dict())
        copy.train(self.training)
        memo[id(self)] = copy
        return copy

    def standardise_by(self, m: Tensor) -> None:
        """Takes the location and scale of the properties from training data `m` with shape `(N,
        K)`: the median, and the range from the 5 % to the 95 % quantile over that of the standard
        normal, which one outlier does not move. Components of one quantity share theirs.

        Raises:
            InputError: If a property is known in fewer than two rows, or never varies.
        """
        for members in self.schema.groups:
            values = m[:, list(members)].double().cpu().numpy()
            loc, scale = location_and_scale(
                values, self.schema.properties[members[0]].name, self.schema.ends[:, members[0]]
            )
            for j in members:
                self.m_loc[j], self.m_scale[j] = loc, scale

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        r"""The parameters :math:`\theta` of the model and :math:`\eta` of the guide, by those two
        names."""
        eta = list(self.encoder.parameters())
        theirs = {id(p) for p in eta}
        return {"theta": [p for p in self.parameters() if id(p) not in theirs], "eta": eta}

    def standardise(self, phi: Tensor) -> Tensor:
        r"""The process parameters as the networks see them, with mean 0 and variance 1 under
        their priors: values, logarithms, and an indicator for each name; with shape `(*, Q)`."""
        if not self.process.features.plain:
            phi = phi[..., self.phi_source]
            phi = torch.where(self.phi_log, phi.where(self.phi_log, 1.0).log(), phi)
            named = self.phi_level.isfinite()
            phi = torch.where(named, ((phi - self.phi_level).abs() < 0.5).to(phi), phi)
        return (phi - self.phi_loc) / self.phi_scale

    def standardise_properties(self, m: Tensor) -> Tensor:
        """The properties as the networks see them."""
        return (m - self.m_loc) / self.m_scale

    @property
    def standard_ends(self) -> Tensor:
        """The detection limits as the networks see them, with shape `(2, K)`."""
        return self.standardise_properties(self.ends)

    def latent_of_process(self, phi: Tensor) -> Tensor:
        r"""The latent :math:`z_1 = g(\varphi)`, with shape `(*, D1)`."""
        return self.process_map(self.standardise(phi))

    def property_given(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        """The distribution p(m | z0, z1) on the scales of m."""
        return self._in_units(self.decoder_m(z0, z1))

    def property_given_process(self, phi: Tensor) -> NormalMixture | None:
        r"""The distribution :math:`p(m \mid \varphi) = \int p(m \mid z_0)\, p(z_0 \mid \varphi)\,
        dz_0` on the scales of m, where it has a closed form; None where it has none.

        Arguments:
            phi: Process parameters, with shape `(*, P)`.
        """
        law = self.prior.law(self.standardise(phi))
        marginal = None if law is None else self.decoder_m.marginal(law)
        return None if marginal is None else self._in_units(marginal)

    def property_laws(self, phi: Tensor) -> NormalMixture | None:
        r"""The laws :math:`p_k(m \mid \varphi)` by the prior's members, whose even mixture is that
        of `property_given_process`, with batch shape `(members, *)`; None where there are none."""
        laws = self.prior.laws(self.standardise(phi))
        marginal = None if laws is None else self.decoder_m.marginal(laws)
        return None if marginal is None else self._in_units(marginal)

    def _in_units(self, standard: NormalMixture) -> NormalMixture:
        loc = self.m_loc + self.m_scale * standard.loc
        scale = self.m_scale * standard.scale
        law = NormalMixture.normalised(standard.log_weights, loc, scale, self.ends)
        return law if self.measured else law.narrowed(self.errors, _LEAST * self.m_scale)

    def without_errors(self) -> PSPGen:
        """The same model of the properties themselves: from its laws of a measured m the declared
        measurement errors are taken out, as independent Gaussian noise.

        Raises:
            InputError: If no property declares one.
        """
        if not bool((self.errors > 0).any()):
            raise InputError(
                "no property declares an error of measurement; declare it, as in 'strength [MPa] "
                "error=2', and fit again."
            )
        copy = PSPGen.from_specification({**self.specification(), "measured": False})
        copy.to(self.m_loc).load_state_dict(self.state_dict())
        return copy.eval()

    def latent_given(self, x: Tensor | None, m: Tensor | None, phi: Tensor, u: Any = None) -> Any:
        """The guide's distribution q(z0 | x, m, φ); an entry of m that is NaN is not known.

        Arguments:
            x: Microstructures, with shape `(N, H, W)`; None if there are none.
            m: Properties, with shape `(N, K)`; None if none is known.
            phi: Process parameters, with shape `(N, P)`.
            u: The law of the properties given x and m, if it is known already.
        """
        if m is None:
            m = phi.new_full((*phi.shape[:-1], self.dims.properties), torch.nan)
        standard = self.standardise_properties(m)
        return self.encoder(x, standard, self.standardise(phi), self.standard_ends, u)

    def model_sites(self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None) -> Tensor:
        """The body of `model`, without the registration of parameters that Pyro starts with.

        The training loop holds the parameters itself and traces this; so does anything else that
        needs the sites only and calls them often.
        """
        with pyro.plate("sample", phi.shape[-2], dim=-1):
            z0 = pyro.sample("z0", self.prior(self.standardise(phi)))
            z1 = self.latent_of_process(phi)
            z1 = pyro.deterministic("z1", z1.expand(*z0.shape[:-1], -1), event_dim=1)
            if "decoder_x" in self.parts:
                pyro.sample("x", self.decoder_x(z0, z1), obs=x)
            return pyro.sample("m", self.property_given(z0, z1), obs=m)

    def guide_sites(
        self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None, u: Any = None
    ) -> Tensor:
        """The body of `guide`, as `model_sites` is that of `model`; `u` as in `latent_given`. With
        `u` known the reader has nothing to learn."""
        with pyro.plate("sample", phi.shape[-2], dim=-1):
            if u is None and x is not None and m is not None and self.encoder.reader is not None:
                standard = self.standardise_properties(m)
                read = self.encoder.reader.log_prob(x, standard, self.standard_ends)
                pyro.factor("reader", -read.sum(-1), has_rsample=True)
            return pyro.sample("z0", self.latent_given(x, m, phi, u))

    @pyro_method
    def model(self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None) -> Tensor:
        """Samples z0, x and m given the process parameters; x and m may be observed.

        Arguments:
            phi: Process parameters, with shape `(N, P)`.
            x: Microstructures, with shape `(N, H, W)`.
            m: Properties on their scales, with shape `(N, K)`; NaN where they are not known.

        Returns:
            The properties, with shape `(N, K)`.
        """
        return self.model_sites(phi, x, m)

    @pyro_method
    def guide(self, phi: Tensor, x: Tensor | None = None, m: Tensor | None = None) -> Tensor:
        """Samples z0 from q(z0 | x, m, φ), with shape `(N, D0)`, and teaches the reader what is
        known of m; arguments as in `model`."""
        return self.guide_sites(phi, x, m)


class _Stored(Record):
    """A model without its weights, as JSON holds it."""

    schema_: dict[str, Any] = Field(alias="schema")
    latent: Annotated[int, Field(ge=1)]
    process_latent: Annotated[int, Field(ge=1)]
    measured: bool = True
    parts: dict[str, dict[str, Any]]


def _image_decoder(schema: Schema) -> Part:
    phases = schema.microstructure.phases  # type: ignore[union-attr]
    if phases == "grey":
        return GreyImage()
    return BernoulliImage() if phases == 2 else CategoricalImage()
