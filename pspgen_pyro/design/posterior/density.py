r"""The design posterior: every process setting and material that is consistent with the target.

.. math::
    p(\varphi, z_0 \mid m \in \mathcal{M}_d) \propto
        P(m \in \mathcal{M}_d \mid z_0, g(\varphi))\, p(z_0 \mid \varphi)\, p(\varphi)

Properties depend on few entries of z0 (those that the property decoder reads), and given
:math:`\varphi` the others are drawn from their prior exactly. A mixture prior says that those few
come from component c with probability :math:`p_c(\varphi)`; which one is summed over here, and
drawn exactly afterwards. Where :math:`p(m \mid \varphi)` has a closed form, all of z0 is. What is
left to sample are the coordinates :math:`(u, \epsilon)` in which the prior is standard normal
whatever the process space and whatever :math:`p(z_0 \mid \varphi)`,

.. math::
    \varphi = a + (b - a) \odot \Phi(u), \qquad z_0 = t_c(\epsilon, \varphi), \qquad
    p(u, \epsilon \mid m \in \mathcal{M}_d) \propto
        \mathcal{N}(u, \epsilon \mid 0, I)\, w(u, \epsilon),

.. math::
    \log w = \log \textstyle\sum_c p_c(\varphi)\, P(m \in \mathcal{M}_d \mid t_c(\epsilon,
        \varphi), g(\varphi)) + \log p(\varphi) + \textstyle\sum_j \log(b_j - a_j),

where :math:`[a, b]` is the support of :math:`p(\varphi)`, :math:`\Phi` the standard normal
distribution function and :math:`t_c` the transport of component c; a prior that is no mixture has
one. A uniform :math:`p(\varphi)` leaves only the first term, and the edges of :math:`U_\varphi`
lie at infinity, where no sampler can step over them. Settings that are discrete or constrained
have coordinates of their own (`coordinates`).

A decoder much sharper than the target is wide makes :math:`w` a plateau with cliffs, on which a
leapfrog step would have to be as short as the decoder is sharp. Trajectories therefore follow the
slope of the *softened* density, whose decoder has the variances :math:`\sigma_j^2 + s_j^2` with
:math:`s_j` a tenth of the width of the target, and which falls off exponentially outside it;
any force that depends on the position alone
keeps volume and reversibility, so that accepting by the exact density leaves it exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro.distributions import Normal
from torch import Tensor
from torch.distributions import Distribution

from ...errors import InputError
from ...model import PSPGen
from ...model.distributions import NormalMixture
from ..estimates import Estimate
from ..support import NOT_CHECKED, UNRESOLVED, Support
from ..target import Target
from .coordinates import BoxCoordinates, ProcessCoordinates, SliceCoordinates
from .process_prior import Tilt, ends_inside

if TYPE_CHECKING:
    from .draws import Draws
    from .sampling import Method

__all__ = ["DesignPosterior", "Scouts"]

_SCOUTS = 4096
_UNSUPPORTED = 1e-4
_SOFT, _DEEP = 0.1, 10.0


@dataclass(frozen=True)
class Scouts:
    r"""Draws from the prior, weighed by the target: where chains start.

    Arguments:
        position: The draws, with shape `(N, D)`.
        log_weight: The values :math:`\log w`, with shape `(N)`.
    """

    position: Tensor
    log_weight: Tensor

    @property
    def evidence(self) -> Estimate:
        r"""The probability :math:`P(m \in \mathcal{M}_d)` under :math:`p(\varphi)`, with its
        standard error."""
        weight = self.log_weight.double().exp().cpu().numpy()
        return Estimate(np.asarray(weight.mean()), np.asarray(weight.std() / len(weight) ** 0.5))

    @property
    def supported(self) -> bool:
        """Whether the model gives the target a noticeable probability anywhere in the prior."""
        return bool(self.log_weight.exp().max() > _UNSUPPORTED)

    def resample(self, chains: int, generator: torch.Generator) -> Tensor:
        """Positions drawn in proportion to their weights, with shape `(chains, D)`."""
        weight = torch.softmax(self.log_weight.double(), dim=0).cpu()
        index = torch.multinomial(weight, chains, replacement=True, generator=generator)
        return self.position[index.to(self.position.device)]


@dataclass(frozen=True, eq=False)
class DesignPosterior:
    r"""The density :math:`p(\varphi, z_0 \mid m \in \mathcal{M}_d)` of one design question.

    Arguments:
        model: The trained model.
        target: The region :math:`\mathcal{M}_d`.
        prior: The prior :math:`p(\varphi)`: a distribution with event shape `(P)` whose support is
            a box inside :math:`U_\varphi`; or, of settings of any kind, a function from φ with
            shape `(N, P)` to its log-density relative to the prior of the process space, with
            shape `(N)` and up to a constant; that prior itself if None.
        support: The properties that the model learned from, as `Run.support` holds them.

    Raises:
        InputError: If the target has another dimension than m, the prior does not have shape
            `(P)`, leaves the process space or is a function with other values, or the model was
            never trained.

    Example:
        >>> from pspgen_pyro import Box, ProcessSpace, PSPGen, Schema
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> model = PSPGen(Schema(process=process, properties=("a", "b")))
        >>> model.standardise_by(torch.randn(100, 2) - 7)
        >>> posterior = DesignPosterior(model, Box((-9, -9), (-6, -6)))
        >>> posterior.log_density(torch.zeros(5, posterior.size)).shape
        torch.Size([5])
    """

    model: PSPGen
    target: Target
    prior: Distribution | Callable[[Tensor], Tensor] | None = None
    support: Support | None = None
    coordinates: ProcessCoordinates = field(init=False, repr=False)
    _low: Tensor = field(init=False, repr=False)
    _span: Tensor = field(init=False, repr=False)
    _exact: bool = field(init=False, repr=False)
    _tilt: Tilt | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", self.target.resolve(self.model.schema))
        _check_trained(self.model)
        process = self.model.process
        low, high = np.array(process.lower), np.array(process.upper)
        if isinstance(self.prior, Distribution):
            if not process.plain:
                raise InputError(
                    "'prior' is a distribution, but this process has levels, names, logarithms or "
                    "constraints; pass a function of φ, its log-density relative to the prior "
                    "that these settings have."
                )
            low, high = ends_inside(self.prior, low, high, process.names)
        elif self.prior is not None:
            object.__setattr__(self, "_tilt", Tilt.of(self.prior, self.model))
        self.model.eval()
        object.__setattr__(self, "_low", self.model.tensor(low))
        object.__setattr__(self, "_span", self.model.tensor(high - low))
        box = BoxCoordinates(self._low, self._span)
        made = box if process.plain else SliceCoordinates(process, self._low)
        object.__setattr__(self, "coordinates", made)
        exact = self.model.property_given_process(self._low) is not None
        object.__setattr__(self, "_exact", exact)

    def sample(self, method: Method = "hmc", **options: Any) -> Draws:
        """Draws of settings and latents.

        Arguments:
            method: "hmc", many chains in one batch; "nuts", Pyro's; "svi", a fitted guide.

        Other arguments:
            options: `chains`, `draws`, `warmup` (of svi, the steps of the fit), `seed`,
                `progress`; of nuts `workers`; of svi `guide`, "mean-field", "full-rank", "flow" or
                one of `variational`; and what else `sample_hmc`, `sample_nuts` and `fit_svi` take.

        Raises:
            InputError: If the method is unknown or a count is not positive.
        """
        from .sampling import sample

        return sample(self, method, **options)

    @property
    def entries(self) -> int:
        """How many entries of z0, counted from the first, are sampled: those that the properties
        depend on, with those that their prior ties to them."""
        if self._exact:
            return 0
        return self.model.prior.tied(self.model.decoder_m.reads)

    @property
    def size(self) -> int:
        """The number D of coordinates: those of the settings, and `entries`."""
        return self.coordinates.size + self.entries

    def _settings(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The settings in every slice and the log-weights of the slices, with shapes `(*, S, P)`
        and `(*, S)`."""
        return self.coordinates.settings(position[..., : self.coordinates.size])

    def log_weight(self, position: Tensor) -> Tensor:
        r"""The value of :math:`\log w(u, \epsilon)`, with shape `(*)`; differentiable.

        Arguments:
            position: The coordinates :math:`(u, \epsilon)`, with shape `(*, D)`.
        """
        phi, odds = self._settings(position)
        hits = self.target.log_probability(self._law(phi, position))
        return self._with_prior(phi, hits, odds)

    def log_density(self, position: Tensor) -> Tensor:
        r"""The value of :math:`\log \mathcal{N}(u, \epsilon \mid 0, I) + \log w(u, \epsilon)`
        without its constant, with shape `(*)`; arguments as in `log_weight`."""
        return self.log_weight(position) - 0.5 * position.square().sum(dim=-1)

    def softened(self, position: Tensor, share: float = _SOFT) -> Tensor:
        """The softened log-density, with shape `(*)`, its s_j that share of the target's width."""
        phi, odds = self._settings(position)
        return self._softly(position, phi, odds, self._law(phi, position), share)

    def softened_value(self, position: Tensor, share: float = _SOFT) -> tuple[Tensor, Tensor]:
        """The same and, without a slope, the log-density itself."""
        phi, odds = self._settings(position)
        law = self._law(phi, position)
        with torch.no_grad():
            hits = self.target.log_probability(law)
            exact = self._with_prior(phi, hits, odds) - 0.5 * position.square().sum(dim=-1)
        return self._softly(position, phi, odds, law, share), exact

    def _softly(
        self, position: Tensor, phi: Tensor, odds: Tensor, law: NormalMixture, share: float
    ) -> Tensor:
        widths = torch.stack([b - a for a, b in (box.ends(law.loc) for box in self.target.boxes)])
        wide = law.widened(share * torch.minimum(widths.amin(dim=0), self.model.m_scale))
        value = self._with_prior(phi, _bent(self.target.log_probability(wide)), odds)
        return value - 0.5 * position.square().sum(dim=-1)

    def gradient(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, rows apart, with shapes `(*)` and `(*, D)`."""
        return _with_slope(self.log_density, position)

    def softened_gradient(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the softened log-density."""
        return _with_slope(self.softened, position)

    def _law(self, phi: Tensor, position: Tensor) -> NormalMixture:
        """The law of m in every slice: p(m | φ), or p(m | z0, g(φ)) where z0 is sampled."""
        if (exact := self.model.property_given_process(phi)) is not None:
            return exact
        z1 = self.model.latent_of_process(phi)
        return self.model.property_given(self._first(phi, position), z1)

    def _first(self, phi: Tensor, position: Tensor) -> Tensor:
        """The entries of z0 that are sampled, with shape `(*, S, entries)`."""
        noise = position[..., None, self.coordinates.size :].expand(*phi.shape[:-1], -1)
        return self.model.prior.transport(noise, self.model.standardise(phi))

    def _with_prior(self, phi: Tensor, value: Tensor, odds: Tensor) -> Tensor:
        """A log-density in every slice, with shape `(*, S)`, summed over them, with that of φ
        relative to its own prior added."""
        value = (value + odds + self._tilted(phi)).logsumexp(dim=-1)
        if not isinstance(self.prior, Distribution):
            return value
        phi = phi.squeeze(-2)
        tiny = torch.finfo(phi.dtype).eps
        inner = self._low + self._span * ((phi - self._low) / self._span).clamp(tiny, 1 - tiny)
        return value + (self.prior.log_prob(inner) + self._span.log().sum()).to(value.dtype)

    def _tilted(self, phi: Tensor) -> Tensor:
        """The log-density of a prior by a function, in every slice, with shape `(*, S)`."""
        return phi.new_zeros(()) if self._tilt is None else self._tilt(phi)

    def verdict(self, scouts: Scouts) -> str:
        """Why the target is unsupported, or that nobody checked; empty if it is supported."""
        if self.support is not None and (doubt := self.support.verdict(self.target)):
            return doubt
        if not scouts.supported:
            return UNRESOLVED
        return "" if self.support is not None else NOT_CHECKED

    def program(self) -> None:
        """The posterior as a Pyro program: one standard normal site `position`, one factor."""
        zero = self._low.new_zeros(self.size)
        position = pyro.sample("position", Normal(zero, zero.new_ones(())).to_event(1))
        pyro.factor("target", self.log_weight(position))

    @torch.no_grad()
    def scout(self, generator: torch.Generator, draws: int = _SCOUTS) -> Scouts:
        """Draws from the prior and weighs them."""
        position = torch.randn(draws, self.size, generator=generator, dtype=self._low.dtype).to(
            self._low.device
        )
        weight = self.log_weight(position)
        return Scouts(position, weight.nan_to_num(nan=-torch.inf))

    @torch.no_grad()
    def constrain(
        self, position: Tensor, generator: torch.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The settings φ and latents z0 at coordinates with shape `(C, N, D)`, with shapes `(C, N,
        P)` and `(C, N, D0)`: the component and the entries that no property depends on are drawn.
        φ lies in the process space to the last digit."""
        found = [self._complete(part, generator) for part in position]
        phi, z0 = (
            torch.stack(column).double().cpu().numpy() for column in zip(*found, strict=True)
        )
        return self.model.process.feasible.placed(phi), z0

    def drawn(
        self,
        method: str,
        position: Tensor,
        generator: torch.Generator,
        scouts: Scouts,
        **told: Any,
    ) -> Draws:
        """Draws at coordinates with shape `(C, N, D)`; `told` are the other fields of `Draws`."""
        from .draws import Draws

        phi, z0 = self.constrain(position, generator)
        return Draws(
            method=method,
            target=self.target,
            names=self.model.process.names,
            model=self.model,
            phi=phi,
            z0=z0,
            evidence=scouts.evidence,
            verdict=self.verdict(scouts),
            **told,
        )

    def _complete(self, position: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The settings, of a slice that is drawn, and all of z0 at coordinates with shape `(N,
        D)`."""
        phi, odds = self._settings(position)
        if phi.shape[-2] > 1:
            odds = odds + self._tilted(phi)
            odds = odds + self.target.log_probability(self._law(phi, position))
            chosen = _picked(odds, generator).to(phi.device)
            phi = phi.take_along_dim(chosen[..., None], dim=-2)
        if self._exact:
            first = self._from_target(phi.squeeze(-2), generator)
        else:
            first = self._first(phi, position).squeeze(-2)
        free = self.model.dims.latent - first.shape[-1]
        noise = torch.randn(len(position), free, generator=generator, dtype=position.dtype)
        return phi.squeeze(-2), torch.cat([first, noise.to(position.device)], dim=-1)

    def _from_target(self, phi: Tensor, generator: torch.Generator) -> Tensor:
        """The entries that properties depend on, where these have a closed form given φ: first the
        component, then m in the target, then the entries given m."""
        law: Any = self.model.property_given_process(phi)
        odds = self.target.log_probability(law.separated()) + law.log_weights
        chosen = _picked(odds, generator).to(phi.device)
        loc, scale = (
            t.take_along_dim(chosen[..., None], dim=-2).squeeze(-2) for t in (law.loc, law.scale)
        )
        m = self.target.draw_inside(loc, scale, generator, law.ends)
        low, unit = self.model.m_loc, self.model.m_scale
        mean, sd = self.model.decoder_m.given_m((m - low) / unit, (loc - low) / unit, scale / unit)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + sd * noise.to(mean.device)


def _picked(log_odds: Tensor, generator: torch.Generator) -> Tensor:
    """One index a row in proportion to its odds, with shape `(N, 1)`."""
    return torch.multinomial(log_odds.double().softmax(dim=-1).cpu(), 1, generator=generator)


def _bent(log_weight: Tensor) -> Tensor:
    """Itself down to -10, and from there along a root, so that a cliff falls no faster with the
    distance than a straight line."""
    far = log_weight < -_DEEP
    root = 2 * (_DEEP * -torch.where(far, log_weight, -_DEEP)).sqrt()
    return torch.where(far, _DEEP - root, log_weight)


def _with_slope(
    log_density: Callable[[Tensor], Tensor], position: Tensor
) -> tuple[Tensor, Tensor]:
    inputs = position.detach().requires_grad_(True)
    with torch.enable_grad():
        value = log_density(inputs)
        (gradient,) = torch.autograd.grad(value.sum(), inputs)
    return value.detach(), gradient


def _check_trained(model: PSPGen) -> None:
    if bool((model.m_loc == 0).all() and (model.m_scale == 1).all()):
        raise InputError(
            "'model' was never trained: its properties still have location 0 and scale 1 exactly; "
            "fit it to triads first, or call its `standardise_by` if you set its weights yourself."
        )
