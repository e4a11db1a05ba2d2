r"""What any model of the properties given the process can be asked, whoever made it.

A `Predictor` knows :math:`p(m \mid \varphi)` well enough for three answers: the probability of a
target :math:`P(m \in \mathcal{M}_d \mid \varphi)`, the density of a property, and draws. PSP-GEN
gives them by integrating its latent out,

.. math::
    p(m \mid \varphi) = \mathbb{E}_{p(z_0 \mid \varphi)}\left[p(m \mid z_0, g(\varphi))\right]
    \approx \frac{1}{S} \sum_{s=1}^{S} p(m \mid z_0^{(s)}, g(\varphi)),

a `Rival` in its own way. Comparisons are written against this interface alone.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..design import Target, property_law, sobol_normal
from ..design import probability as model_probability
from ..design.probability import weighted_law
from ..errors import InputError
from ..io.validation import check_positive, check_seed
from ..model import PSPGen
from ..process import ProcessSpace, Symmetry
from ..schema import Schema
from ._learning import Scaling, check_sizes

if TYPE_CHECKING:
    from ..data.batches import Batch, Batches

__all__ = ["PSPGenPredictor", "Predictor", "Rival"]

# rows (φ times draws of z0) a pass through a network
_CHUNK = 1 << 15


class Predictor(ABC):
    r"""A model of :math:`p(m \mid \varphi)` in the units of the data.

    Arguments:
        name: What tables and figures call it.
        process: The process space.
        property_names: The names of the properties, in the order of the last axis of m.
        has_density: Whether `log_density` can be asked.
        has_draws: Whether `sample` can be asked.
    """

    name: str
    process: ProcessSpace
    property_names: tuple[str, ...]
    has_density: ClassVar[bool] = True
    has_draws: ClassVar[bool] = True

    @abstractmethod
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        r"""The value of :math:`P(m \in \mathcal{M}_d \mid \varphi)` for φ with shape `(*, P)`,
        with shape `(*)`.

        Raises:
            InputError: If φ lies outside the process space, or the target has another dimension
                than m.
        """

    def probabilities(self, targets: Sequence[Target], phi: ArrayLike) -> NDArray[np.float64]:
        """P of every target, with shape `(T, *)`; see `probability`."""
        return np.stack([self.probability(target, phi) for target in targets])

    @abstractmethod
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        r"""The value of :math:`\log p(m \mid \varphi)`, with shape `(N,)`, for φ with shape
        `(N, P)` and m with shape `(N, K)`.

        Raises:
            InputError: If φ lies outside the process space, the shapes differ, or the model has
                no density.
        """

    @abstractmethod
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        r"""Draws from :math:`p(m \mid \varphi)`, with shape `(N, draws, K)`, for φ with shape
        `(N, P)`; the same for the same seed.

        Raises:
            InputError: If φ lies outside the process space, there are no draws, or the model can
                draw none.
        """

    @property
    @abstractmethod
    def _like(self) -> Tensor:
        """A tensor on the device and in the precision of the model."""

    def _inputs(self, phi: ArrayLike) -> Tensor:
        """The φ with shape `(*, P)` as a checked tensor with shape `(N, P)`."""
        like = self._like
        return torch.tensor(self.process.check(phi)).reshape(-1, len(self.process)).to(like)

    def _pairs(self, phi: ArrayLike, m: ArrayLike) -> tuple[Tensor, Tensor]:
        """The pairs (φ, m) as tensors of the same length."""
        inputs, values = self._inputs(phi), torch.tensor(np.asarray(m, dtype=float))
        wanted = (len(inputs), len(self.property_names))
        if tuple(values.shape) != wanted:
            raise InputError(
                f"'m' has shape {tuple(values.shape)} but {wanted} is needed: one row for each "
                "φ, one column for each property."
            )
        return inputs, values.to(inputs)


class PSPGenPredictor(Predictor):
    """A trained PSP-GEN, its latent integrated out at scrambled Sobol points.

    Arguments:
        model: The trained model.
        name: What tables and figures call it.

    Other arguments:
        draws: Sobol points a scrambling.
        replicates: Independent scramblings for `probability`; the density uses one.
        seed: Seeds the scramblings.

    Example:
        >>> from pspgen_pyro.process import ProcessSpace
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> model = PSPGen(Schema(process=process, properties=("a", "b")))
        >>> predictor = PSPGenPredictor(model, draws=64)
        >>> predictor.sample([[5.0, 1.0]], draws=3, seed=0).shape
        (1, 3, 2)
    """

    def __init__(
        self,
        model: PSPGen,
        name: str = "PSP-GEN",
        *,
        draws: int = 256,
        replicates: int = 4,
        seed: int = 1,
    ) -> None:
        self.model = model
        self.name = name
        self.process = model.process
        self.property_names = model.property_names
        self.draws, self.replicates, self.seed = draws, replicates, seed

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        found = model_probability(
            self.model,
            target,
            phi,
            draws=self.draws,
            replicates=self.replicates,
            seed=self.seed,
        )
        return found.value

    @torch.no_grad()
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        model = self.model
        inputs, values = self._pairs(phi, m)
        noise = sobol_normal(self.draws, model.dims.latent, self.seed, model.m_loc.dtype)
        noise, size = noise.to(inputs.device), max(1, _CHUNK // self.draws)
        parts = []
        for a, b in zip(inputs.split(size), values.split(size), strict=True):
            law, log_weights = weighted_law(model, a, noise)
            parts.append((law.log_prob(b.unsqueeze(-2)) + log_weights).logsumexp(dim=-1))
        return to_numpy(torch.cat(parts))

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        model, dtype = self.model, self.model.m_loc.dtype
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        parts = []
        for part in inputs.split(max(1, _CHUNK // draws)):
            shape = (len(part), draws, model.dims.latent)
            if (law := model.property_given_process(part)) is not None:
                law = law.unsqueezed().expand(shape[:-1])
            else:
                noise = torch.randn(shape, generator=generator, dtype=dtype).to(part.device)
                law = property_law(model, part, noise)
            parts.append(law.draw(generator))
        return to_numpy(torch.cat(parts))

    @property
    def _like(self) -> Tensor:
        return self.model.m_loc


class Rival(Predictor):
    """A model an engineer would reach for instead: hyper-parameters now, `fit` on the same data.

    Subclasses are dataclasses of hyper-parameters; `fit` leaves them as they are and returns a
    fitted copy.

    Raises:
        InputError: If a hyper-parameter is not positive.
    """

    schema: Schema
    scaling: Scaling
    is_fitted: bool = False

    def __post_init__(self) -> None:
        check_sizes(self)

    def fit(
        self, data: Batches, *, schema: Schema, symmetries: Iterable[Symmetry] = (), seed: int = 0
    ) -> Self:
        """A fitted copy.

        Arguments:
            data: The triads, of which a rival learns from the training fold. Rows of which some
                property is unknown (NaN) teach rivals on φ alone nothing.

        Other arguments:
            schema: What a triad is.
            symmetries: What the process, the structure and the property have in common, such as
                `schema.symmetries`; the training rows are transformed accordingly.
            seed: Seeds the weights, the order of the data and the transformations. The state of
                the caller's random numbers is left alone.

        Raises:
            InputError: If the data do not fit the schema, no row has all properties, or the seed
                is none.
        """
        came = data.train.phi.shape[1], data.train.m.shape[1]
        if came != (len(schema.process), len(schema.properties)):
            raise InputError(
                f"'data' has {came[0]} process parameter(s) and {came[1]} propertie(s) but "
                f"'schema' has {len(schema.process)} and {len(schema.properties)}; pass the "
                "schema of this data set."
            )
        if not data.train.m.isfinite().all(dim=-1).any():
            raise InputError(
                "'data' has no training row whose properties are all known; measure or compute "
                "them for some of the materials."
            )
        check_seed(seed)
        fitted = self._for(schema)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            fitted._learn(data.train, tuple(symmetries))
        return fitted

    def _for(self, schema: Schema) -> Self:
        """A copy that knows its schema, for `_learn`."""
        fitted = copy.copy(self)
        fitted.schema, fitted.is_fitted = schema, True
        fitted.process, fitted.property_names = schema.process, schema.property_names
        return fitted

    @abstractmethod
    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        """Fits the copy to the training rows and sets its `scaling`; random numbers come from
        torch's generator."""

    @property
    def _like(self) -> Tensor:
        if not self.is_fitted:
            raise InputError(
                f"the rival {self.name!r} is not fitted yet; use what `rival.fit(data, "
                "schema=...)` returns."
            )
        return self.scaling.m_loc

    def _exact(self, m: Tensor) -> NDArray[np.float64]:
        """m in double precision, where a value at a detection limit, which single precision
        rounds, is exactly there again."""
        values = to_numpy(m)
        for ends in self.schema.ends:
            values = np.where(values == to_numpy(torch.tensor(ends).to(m)), ends, values)
        return values

    def _refusal(self, what: str, instead: str) -> InputError:
        """The error of a question that the rival has no answer to."""
        return InputError(
            f"'{self.name}' knows {what}; ask it for {instead}, or use another rival."
        )


def generator_of(draws: int, seed: int) -> torch.Generator:
    """A generator for so many draws.

    Raises:
        InputError: If `draws` is not positive, or the seed is none.
    """
    check_positive(draws=draws)
    check_seed(seed)
    return torch.Generator().manual_seed(seed)


def to_numpy(values: Tensor) -> NDArray[np.float64]:
    """A detached copy in double precision."""
    return values.detach().double().cpu().numpy()
