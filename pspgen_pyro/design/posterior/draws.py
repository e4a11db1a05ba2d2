r"""Draws from a design posterior, with what tells whether to trust them.

For every process parameter: the mean with its Monte-Carlo standard error, the effective sample
size of the bulk and of the tails, and the rank-normalised split :math:`\hat R`.

References:
    Rank-normalization, folding, and localization: an improved R-hat for assessing convergence of
    MCMC (Vehtari et al., 2021)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.validation import check_memory, check_whole, is_number
from ..estimates import Estimate
from ..target import Target

if TYPE_CHECKING:
    import xarray as xr

    from ...model import PSPGen

__all__ = ["RELIABLE_PARETO_K", "Convergence", "Draws", "check_acceptance", "check_counts"]

RELIABLE_PARETO_K = 0.7
_R_HAT, _ESS, _SHORTEST = 1.01, 400, 4


@dataclass(frozen=True)
class Convergence:
    r"""How well the draws pin down each process parameter; every field has shape `(P)`.

    Arguments:
        mean: The posterior means.
        sd: The posterior standard deviations.
        mcse: The Monte-Carlo standard errors of the means.
        ess_bulk: The effective sample sizes for the centre.
        ess_tail: The effective sample sizes for the 5 % and 95 % quantiles.
        r_hat: The values of :math:`\hat R`.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    mcse: NDArray[np.float64]
    ess_bulk: NDArray[np.float64]
    ess_tail: NDArray[np.float64]
    r_hat: NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    r"""Draws of :math:`(\varphi, z_0)` given :math:`m \in \mathcal{M}_d`.

    Arguments:
        method: What made them: "NUTS", "HMC" or "SVI".
        target: The region.
        names: The names of the process parameters.
        phi: The settings, with shape `(chains, draws, P)`.
        z0: The latents, with shape `(chains, draws, D0)`.
        statistics: What the sampler recorded of each draw, with shape `(chains, draws)` each.
        evidence: The probability :math:`P(m \in \mathcal{M}_d)` under the prior.
        verdict: Why the target is unsupported, or that nobody checked; empty if it is supported.
        seconds: CPU time, warm-up or fit included.
        settings: The arguments that made them.
        pareto_k: For SVI, the shape of the tail of the importance weights.
        model: The model that was asked.
    """

    method: str
    target: Target
    names: tuple[str, ...]
    phi: NDArray[np.float64]
    z0: NDArray[np.float64]
    statistics: Mapping[str, NDArray[Any]]
    evidence: Estimate
    verdict: str
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    pareto_k: float | None = None
    model: PSPGen | None = field(default=None, repr=False, compare=False)

    @property
    def divergences(self) -> int:
        """How many transitions diverged."""
        return int(np.sum(self.statistics.get("diverging", 0)))

    def convergence(self) -> Convergence:
        """The summary of every process parameter."""
        import arviz as az

        columns = np.moveaxis(self.phi, -1, 0)

        def each(statistic: Any, **options: Any) -> NDArray[np.float64]:
            # chains that never moved divide by a spread of zero: their R-hat is infinite
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.array([float(statistic(column, **options)) for column in columns])

        return Convergence(
            mean=self.phi.mean(axis=(0, 1)),
            sd=self.phi.std(axis=(0, 1)),
            mcse=each(az.mcse, method="mean"),
            ess_bulk=each(az.ess, method="bulk"),
            ess_tail=each(az.ess, method="tail", prob=(0.05, 0.95)),
            r_hat=each(az.rhat),
        )

    def to_arviz(self, **options: Any) -> xr.DataTree:
        """Everything about these draws, ready for ArviZ; see `diagnosis.to_datatree`.

        Raises:
            InputError: If the draws do not know their model, or as `to_datatree` does.
        """
        from ...diagnosis.datatree import to_datatree

        if self.model is None:
            raise InputError("these draws do not know their model; use `diagnosis.to_datatree`.")
        return to_datatree(self, self.model, **options)

    @property
    def status(self) -> str:
        """ "converged", or what is wrong and what to try."""
        if not self.supported:
            return self.verdict
        return self._trouble() or "; ".join(filter(None, ("converged", self.verdict)))

    @property
    def supported(self) -> bool:
        """Whether nothing speaks against the target's support."""
        return not self.verdict.startswith("unsupported")

    def _trouble(self) -> str:
        """What is wrong with the draws and what to try; empty if nothing is."""
        if self.pareto_k is not None:
            if self.pareto_k <= RELIABLE_PARETO_K:
                return ""
            return (
                f"approximate: the guide misses part of the posterior (Pareto k = "
                f"{self.pareto_k:.2f} > {RELIABLE_PARETO_K}); use a richer guide, NUTS or HMC"
            )
        if self.divergences:
            return f"{self.divergences} transition(s) diverged; raise 'target_accept' towards 0.95"
        if len(self.phi) == 1:
            return "not checked: R-hat compares chains; run two or more"
        found = self.convergence()
        ess = min(found.ess_bulk.min(), found.ess_tail.min())
        if not (found.r_hat.max() <= _R_HAT and ess >= _ESS):
            return (
                f"not converged (R-hat {found.r_hat.max():.3f}, smallest effective sample size "
                f"{ess:.0f}); draw more"
            )
        return ""

    def __str__(self) -> str:
        found = self.convergence()
        rows = [
            f"{self.method}: {self.phi.shape[0]} × {self.phi.shape[1]} draws in "
            f"{self.seconds:.1f} s CPU; {self.status}",
            f"P({self.target.event}) over the prior = {self.evidence}",
            f"{'':12s}{'mean':>9s}{'± mcse':>9s}{'sd':>9s}{'bulk':>8s}{'tail':>8s}{'R-hat':>8s}",
        ]
        for j, name in enumerate(self.names):
            rows.append(
                f"{name:12s}{found.mean[j]:9.4g}{found.mcse[j]:9.2g}{found.sd[j]:9.3g}"
                f"{found.ess_bulk[j]:8.0f}{found.ess_tail[j]:8.0f}{found.r_hat[j]:8.3f}"
            )
        return "\n".join(rows)


def check_acceptance(target_accept: Any) -> None:
    """Raises an InputError unless an acceptance rate to aim at lies between 0 and 1."""
    if not (is_number(target_accept) and 0 < target_accept < 1):
        raise InputError(f"'target_accept' is {target_accept!r:.40}; it must lie between 0 and 1.")


def check_counts(**counts: Any) -> None:
    """Refuses numbers of chains or steps below one, and chains too short to be judged.

    Raises:
        InputError: If a number is below one, or a chain has fewer than four draws.
    """
    check_whole(**counts)
    check_memory("draws", counts.get("draws", 1) * counts.get("chains", 1), 128)
    if "chains" in counts and counts["draws"] < _SHORTEST:
        raise InputError(
            f"'draws' is {counts['draws']} a chain, but R-hat and the effective sample size need "
            f"at least {_SHORTEST}; ask for more draws, or for fewer chains of more draws."
        )
