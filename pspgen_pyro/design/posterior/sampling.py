"""The samplers by their names, with the counts that each of them starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InputError
from ...io.validation import check_positive
from .draws import Draws
from .hmc import sample_hmc
from .nuts import sample_nuts
from .variational import Flow, FullRank, MeanField, fit_svi

if TYPE_CHECKING:
    from .density import DesignPosterior

__all__ = ["Counts", "Method", "counts_of", "sample"]

Method = Literal["hmc", "nuts", "svi"]
_GUIDES = {"mean-field": MeanField, "full-rank": FullRank, "flow": Flow}


@dataclass(frozen=True)
class Counts:
    """How long to sample.

    Arguments:
        chains: How many chains.
        draws: Draws a chain.
        warmup: Transitions before them; of svi, steps of the fit.
    """

    chains: int
    draws: int
    warmup: int


_COUNTS = {"hmc": Counts(64, 400, 150), "nuts": Counts(4, 500, 200), "svi": Counts(4, 500, 1000)}


def counts_of(
    method: str, chains: int | None = None, draws: int | None = None, warmup: int | None = None
) -> Counts:
    """The counts of a method, where they are not given.

    Raises:
        InputError: If there is no such method, or a count is not positive.
    """
    if method not in _COUNTS:
        raise InputError(f"'method' is {method!r}; choose one of {', '.join(_COUNTS)}.")
    given = {"chains": chains, "draws": draws, "warmup": warmup}
    check_positive(**given)
    return replace(_COUNTS[method], **{n: c for n, c in given.items() if c is not None})


def sample(
    posterior: DesignPosterior,
    method: Method = "hmc",
    *,
    chains: int | None = None,
    draws: int | None = None,
    warmup: int | None = None,
    guide: Any = "full-rank",
    workers: int = 1,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Draws:
    """Draws from a posterior; arguments as of `DesignPosterior.sample`."""
    counts = counts_of(method, chains, draws, warmup)
    check_positive(workers=workers)
    shared = {"chains": counts.chains, "draws": counts.draws, "seed": seed, "progress": progress}
    shared |= options
    if method == "hmc":
        return sample_hmc(posterior, warmup=counts.warmup, **shared)
    if method == "nuts":
        return sample_nuts(posterior, warmup=counts.warmup, workers=workers, **shared)
    if isinstance(guide, str):
        if guide not in _GUIDES:
            raise InputError(f"'guide' is {guide!r}; choose one of {', '.join(_GUIDES)}.")
        guide = _GUIDES[guide]()
    return fit_svi(posterior, steps=counts.warmup, guide=guide, **shared)
