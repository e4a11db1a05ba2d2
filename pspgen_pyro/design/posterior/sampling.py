"""The samplers by their names, with the counts that each of them starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InputError
from ...io.validation import check_instance, check_seed, check_whole
from .draws import Draws
from .hmc import sample_hmc
from .nuts import sample_nuts
from .variational import Flow, FullRank, MeanField, fit_svi

if TYPE_CHECKING:
    from .density import DesignPosterior

__all__ = ["Method", "counts_of", "sample"]

Method = Literal["hmc", "nuts", "svi"]
_GUIDES = {"mean-field": MeanField, "full-rank": FullRank, "flow": Flow}


_COUNTS = {
    "hmc": {"chains": 64, "draws": 400, "warmup": 150},
    "nuts": {"chains": 4, "draws": 500, "warmup": 200},
    "svi": {"chains": 4, "draws": 500, "warmup": 1000},
}


def counts_of(method: str, **given: Any) -> dict[str, int]:
    """How many `chains`, `draws` a chain and transitions of `warmup` (of svi, steps of the fit) a
    method takes; None is one that nobody gave.

    Raises:
        InputError: If there is no such method, or a count is not positive.
    """
    if not isinstance(method, str) or method not in _COUNTS:
        raise InputError(f"'method' is {method!r}; choose one of {', '.join(_COUNTS)}.")
    check_whole(optional=True, **given)
    return _COUNTS[method] | {name: n for name, n in given.items() if n is not None}


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
    check_whole(workers=workers)
    check_seed(seed)
    shared: dict[str, Any] = {"seed": seed, "progress": progress, **options}
    shared |= counts_of(method, chains=chains, draws=draws, warmup=warmup)
    if method == "hmc":
        return sample_hmc(posterior, **shared)
    if method == "nuts":
        return sample_nuts(posterior, workers=workers, **shared)
    if isinstance(guide, str):
        if guide not in _GUIDES:
            raise InputError(f"'guide' is {guide!r}; choose one of {', '.join(_GUIDES)}.")
        guide = _GUIDES[guide]()
    check_instance((MeanField, FullRank, Flow), f"one of {', '.join(_GUIDES)}", guide=guide)
    return fit_svi(posterior, steps=shared.pop("warmup"), guide=guide, **shared)
