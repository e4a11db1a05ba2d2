r"""Deep ensembles: what the data leave open, by models trained apart.

Members :math:`k = 1 \dots K` differ in their first weights, the order of their data and, by the
bootstrap, in the data themselves. For the indicator :math:`1(m \in \mathcal{M}_d)` the law of
total variance splits what is unknown about one material into two parts,

.. math::
    \underbrace{\bar P (1 - \bar P)}_{\text{total}} =
    \underbrace{\mathbb{E}_k[P_k (1 - P_k)]}_{\text{aleatoric: more data do not help}} +
    \underbrace{\operatorname{Var}_k(P_k)}_{\text{epistemic: they do}}, \qquad
    P_k = P_k(m \in \mathcal{M}_d \mid \varphi),\ \bar P = \mathbb{E}_k[P_k].

An `Ensemble` is asked as one model is: `probability` and `maximise` of `design` take either.

References:
    Simple and scalable predictive uncertainty estimation using deep ensembles (Lakshminarayanan et
    al., 2017)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm.auto import tqdm

from .batches import Batches
from .checkpoint import History
from .design.probability import Estimate, log_probability, mean_of, scrambled
from .design.target import Target
from .errors import InputError
from .family import Dimensions
from .members import MemberTask, load_state, train_members
from .model import PSPGen
from .process import ProcessSpace

__all__ = ["Ensemble", "EnsembleEstimate", "fit_ensemble"]

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EnsembleEstimate(Estimate):
    r"""The probability of a target by an ensemble, and how far its members agree.

    `value` is the mean :math:`\bar P`, `standard_error` that of its integral over z0; both have
    shape `(*)`.

    Arguments:
        members: The probability by each member, with shape `(K, *)`.
        target: The region that was asked for.
        phi: The process parameters, with shape `(*, P)`.
    """

    members: _Array
    target: Target
    phi: _Array

    @property
    def aleatoric(self) -> _Array:
        r"""The spread :math:`\sqrt{\mathbb{E}_k[P_k (1 - P_k)]}` of the indicator that would be
        left if every member were right, with shape `(*)`."""
        return np.sqrt((self.members * (1 - self.members)).mean(axis=0))

    @property
    def epistemic(self) -> _Array:
        r"""The standard deviation of :math:`P_k` over the members, from the unbiased variance,
        with shape `(*)`; NaN for one member, which cannot tell."""
        if len(self.members) < 2:
            return np.full(self.members.shape[1:], np.nan)
        return self.members.std(axis=0, ddof=1)

    def __str__(self) -> str:
        if len(self.members) < 2:
            return f"{super().__str__()} (1 member: what the data leave open is unknown)"
        return (
            f"{float(self.value):.3f} ± {float(self.epistemic):.3f} over {len(self.members)} "
            f"members (aleatoric ± {float(self.aleatoric):.3f})"
        )


@dataclass(frozen=True, eq=False)
class Ensemble(Sequence[PSPGen]):
    """Models trained apart on the same question, in order.

    Arguments:
        members: The models.

    Raises:
        InputError: If there is none, or their processes, properties, pixels or sizes of z0 differ.
    """

    members: tuple[PSPGen, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise InputError("'members' is empty; give at least one model.")
        for i, member in enumerate(self.members):
            differs = _difference(member, self.members[0])
            if differs:
                raise InputError(
                    f"'members' has model {i + 1} with another {differs} than the first; give "
                    "models that were trained on the same data with the same sizes."
                )

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> PSPGen: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PSPGen, ...]: ...
    def __getitem__(self, index: int | slice) -> PSPGen | tuple[PSPGen, ...]:
        return self.members[index]

    @property
    def process(self) -> ProcessSpace:
        """The process space of all members."""
        return self.members[0].process

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties of all members."""
        return self.members[0].property_names

    @property
    def dims(self) -> Dimensions:
        """The sizes of the first member; those of φ, x, m and z0 are everyone's."""
        return self.members[0].dims

    def probability(
        self,
        target: Target,
        phi: ArrayLike,
        *,
        draws: int = 1024,
        replicates: int = 8,
        seed: int = 1,
    ) -> EnsembleEstimate:
        r"""The probability :math:`P(m \in \mathcal{M}_d \mid \varphi)` by every member, on the
        same Sobol points; arguments and errors as in `design.probability`."""
        values = self.process.check(phi)
        target.check_against(self.dims.properties)
        options: dict[str, Any] = {"draws": draws, "replicates": replicates, "seed": seed}

        def p(member: PSPGen) -> Callable[[Tensor, Tensor], Tensor]:
            return lambda phi, noise: log_probability(member, target, phi, noise).exp()

        found = np.stack([scrambled(one, p(one), values, **options) for one in self.members])
        mean = mean_of(found.mean(axis=0))
        members = found.mean(axis=1)
        return EnsembleEstimate(mean.value, mean.standard_error, members, target, values)


def fit_ensemble(
    make: Callable[[], PSPGen] | PSPGen,
    data: Batches,
    *,
    members: int = 5,
    seed: int = 0,
    bootstrap: bool = True,
    workers: int = 1,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> tuple[Ensemble, list[History]]:
    """Trains models apart on the same data, the same whatever the number of workers.

    Arguments:
        make: What builds a fresh model, or a model whose description each member shares; its
            weights are not used.
        data: Training and validation triads.

    Other arguments:
        members: How many models.
        seed: Seeds everything; each member has a child seed of its own for its first weights, its
            order and noise, and its resampling.
        bootstrap: Whether each member learns from settings φ drawn from the training ones with
            replacement (all samples of a φ together, those with labels and those without
            apart). Members that share their data share its errors too, and agree too well.
        workers: Processes side by side, one thread each.
        checkpoint: A folder in which every member keeps its own checkpoints.
        progress: Show a progress bar over the members.
        settings: The other settings of `fit`.

    Returns:
        The ensemble, its members in evaluation mode, and their histories.

    Raises:
        InputError: If a number is not positive, or as `fit`.
        TrainingError: If a member fails; the sentence names it.
        WorkerError: If a worker process dies.
    """
    if min(members, workers) < 1:
        raise InputError(
            f"'members' is {members} and 'workers' is {workers}; both must be at least 1."
        )
    models, tasks = [], []
    for k, child in enumerate(np.random.SeedSequence(seed).spawn(members)):
        first, noise, rows = (int(word) for word in child.generate_state(3))
        with torch.random.fork_rng():
            torch.manual_seed(first)
            models.append(_fresh(make))
        folder = None if checkpoint is None else Path(checkpoint) / f"member-{k + 1}"
        own = {**settings, "seed": noise, "checkpoint": folder, "progress": False}
        tasks.append(MemberTask(k, members, rows if bootstrap else None, own))
    histories = [History()] * members
    with _folder(checkpoint):
        run = train_members(tasks, models, data, workers)
        for k, state, history in tqdm(run, "members", members, disable=None if progress else True):
            load_state(models[k], state)
            models[k].to(settings.get("device")).eval()
            histories[k] = history
    return Ensemble(tuple(models)), histories


def _fresh(make: Callable[[], PSPGen] | PSPGen) -> PSPGen:
    if isinstance(make, PSPGen):
        return PSPGen.from_specification(make.specification()).to(make.m_loc)
    return make()


@contextmanager
def _folder(path: str | Path | None) -> Generator[None, None, None]:
    """A folder that stays only if something was written to it."""
    if path is None:
        yield
        return
    Path(path).mkdir(exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            Path(path).rmdir()


def _difference(member: PSPGen, first: PSPGen) -> str:
    same = {
        "process": member.process == first.process,
        "set of properties": member.property_names == first.property_names,
        "number of pixels": member.dims.image == first.dims.image,
        "size of z0": member.dims.latent == first.dims.latent,
    }
    return next((name for name, equal in same.items() if not equal), "")
