r"""Draws and designs as one ArviZ `DataTree`, dimensions and coordinates named.

======================  =========================================  ==============================
group                   of draws                                   of a design
======================  =========================================  ==============================
posterior               φ, z0 given m ∈ M_d                        –
sample_stats            what the sampler recorded                  –
prior                   φ, z0                                      the same
prior_predictive        m (and x) of those                         the same
posterior_predictive    m at the posterior's φ, z0                 m at φ*
predictions             m (and x) of fresh z0 at the posterior's   m (and x) of fresh z0 at φ*
                        φ: what a maker would get
constant_data           the target, the process space              and φ*, where each start ended
======================  =========================================  ==============================

With `observed` materials (φ_i, m_i), real or simulated, `posterior_predictive` holds the model's m
at each φ_i instead, `constant_data` the φ_i too, and two groups join: `observed_data`, and `pit`,
the randomised rank of every observation. The group `members` has the P of each network at the φ*
of a region, and P with its interval; an `EnsembleEstimate` gives that group for all its φ. A
design of an ensemble has one chain a model. Each property is a variable of its own, `m_<name>`, as
the plots of predictive checks ask for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from arviz_base import dict_to_dataset
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..design.ascent import Design
from ..design.estimates import EnsembleEstimate, Estimate
from ..design.posterior.draws import Draws
from ..design.target import Target
from ..errors import InputError
from ..io.provenance import versions
from ..io.validation import check_seed, check_whole
from ..model import PSPGen
from ..process import ProcessSpace
from .ranks import randomised_ranks

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble

__all__ = ["to_datatree"]

_Group = dict[str, NDArray[Any]]
_DIMS: dict[Hashable, Sequence[Hashable]] = {
    "phi": ["parameter"],
    "z0": ["latent"],
    "x": ["row", "column"],
    "target_lower": ["region", "property"],
    "target_upper": ["region", "property"],
    "process_lower": ["parameter"],
    "process_upper": ["parameter"],
    "phi_star": ["parameter"],
    "start": ["ascent", "parameter"],
    "start_score": ["ascent"],
    "observed_phi": ["material", "parameter"],
    "setting_phi": ["setting", "parameter"],
    **{
        name: ["setting"]
        for name in ("mean", "low", "high", "standard_error", "aleatoric", "epistemic")
    },
}


def to_datatree(
    answer: Draws | Design | EnsembleEstimate,
    model: PSPGen | Ensemble,
    *,
    observed: tuple[ArrayLike, ArrayLike] | None = None,
    images: bool = False,
    draws: int = 1000,
    seed: int = 0,
) -> xr.DataTree:
    """Everything about one answer, labelled, ready for ArviZ and for Zarr.

    Arguments:
        answer: Draws from NUTS, HMC or SVI, a design, or an ensemble's P.
        model: The model or the ensemble that was asked.

    Other arguments:
        observed: Materials to check the model against: their φ, with shape `(N, P)` or `(P)` for
            all of them, and their m, with shape `(N, K)`.
        images: Whether predictions hold microstructures too.
        draws: How many draws of the prior, of a design's predictions and of each observation's (by
            each member of an ensemble).
        seed: Seeds them.

    Raises:
        InputError: If `draws` is not positive, `observed` does not fit the model, or the answer is
            not one of the model's kind.

    Example:
        >>> from pspgen_pyro import Box, ProcessSpace, PSPGen, Schema
        >>> from pspgen_pyro.design import DesignPosterior, sample_hmc
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> model = PSPGen(Schema(process=process, properties=("a", "b")))
        >>> model.standardise_by(torch.randn(100, 2) - 7)
        >>> posterior = DesignPosterior(model, Box((-9, -9), (-6, -6)))
        >>> tree = to_datatree(sample_hmc(posterior, chains=4, draws=10, warmup=20), model)
        >>> tree["posterior"]["phi"].sizes
        Frozen({'chain': 4, 'draw': 10, 'parameter': 2})
    """
    check_whole(draws=draws)
    check_seed(seed)
    if isinstance(answer, EnsembleEstimate):
        return _of_estimate(answer, model)
    if not isinstance(model, PSPGen):
        return _of_ensemble(answer, model, observed, images=images, draws=draws, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        groups = _groups(answer, model, draws, images)
        if observed is not None:
            check = _check(model, observed, draws, seed)
            groups["constant_data"] |= check.pop("constant_data")
            groups |= check
        if isinstance(answer, Design) and isinstance(answer.value, EnsembleEstimate):
            groups["members"] = _opinions(answer.value)
    tree = xr.DataTree.from_dict(
        {name: _dataset(name, group, model) for name, group in groups.items()}
    )
    tree.attrs = _attributes(answer)
    return tree


def _of_estimate(answer: EnsembleEstimate, model: PSPGen | Ensemble) -> xr.DataTree:
    """What each network says at each φ."""
    if answer.target is None:
        raise InputError(
            "'answer' is the product of several P; give the P of one target, as in `design.parts`."
        )
    groups = {
        "members": _opinions(answer),
        "constant_data": _question(answer.target, model.process),
    }
    tree = xr.DataTree.from_dict(
        {name: _dataset(name, group, model) for name, group in groups.items()}
    )
    tree.attrs = {"target": str(answer.target), "method": "probability"} | _versions()
    return tree


def _of_ensemble(
    answer: Draws | Design,
    ensemble: Ensemble,
    observed: tuple[ArrayLike, ArrayLike] | None,
    **options: Any,
) -> xr.DataTree:
    """The trees of the members joined: a chain a member, and what each says."""
    if isinstance(answer, Draws):
        raise InputError(
            "'answer' holds draws from the posterior of one model but 'model' is an ensemble; "
            "give the member that was asked."
        )
    seed = options.pop("seed")
    trees = [
        to_datatree(answer, member, observed=observed, seed=seed + k, **options)
        for k, member in enumerate(ensemble.members)
    ]
    joined: dict[str, xr.Dataset] = {}
    for name, group in trees[0].children.items():
        parts = [tree[name].to_dataset() for tree in trees]
        joined[name] = parts[0]
        if "chain" in group.dims:
            chains = {"chain": range(len(parts))}
            joined[name] = xr.concat(parts, "chain").assign_coords(chains)
    if "pit" in joined:
        pooled = joined["posterior_predictive"].stack(sample=("chain", "draw"))
        for j, (name, values) in enumerate(joined["observed_data"].items()):
            predicted = pooled[name].transpose("sample", ...).values
            ranks = randomised_ranks(values.values, predicted, seed=seed + j)
            joined["pit"][name] = (joined["pit"][name].dims, ranks)
    if isinstance(answer.value, EnsembleEstimate):
        joined["members"] = _dataset("members", _opinions(answer.value), ensemble)
    tree = xr.DataTree.from_dict(joined)
    tree.attrs = trees[0].attrs
    return tree


def _opinions(estimate: EnsembleEstimate) -> _Group:
    """What each network says at each φ, one after the other, and P with its interval."""
    count = len(estimate.members)
    ends = {"low": estimate.low, "high": estimate.high}
    return {
        **{name: np.reshape(end, -1) for name, end in ends.items() if end is not None},
        "probability": estimate.members.reshape(count, -1),
        "mean": np.reshape(estimate.value, -1),
        "standard_error": np.reshape(estimate.standard_error, -1),
        "aleatoric": np.reshape(estimate.aleatoric, -1),
        "epistemic": np.reshape(estimate.epistemic, -1),
        "setting_phi": estimate.phi.reshape(-1, estimate.phi.shape[-1]),
    }


def _dataset(name: str, group: _Group, model: PSPGen | Ensemble) -> xr.Dataset:
    """One group with its dimensions; those of the predictions end in `material` when each belongs
    to an observation."""
    draws = name not in ("constant_data", "observed_data", "pit", "members")
    dims = {
        f"m_{property_name}": ["material"]
        for property_name in model.property_names
        if not draws or group.get(f"m_{property_name}", np.empty(0)).ndim == 3
    }
    return dict_to_dataset(
        group,
        sample_dims=["chain", "draw"] if draws else [],
        dims={**_DIMS, **dims, "probability": ["member", "setting"]},
        check_conventions=False,
        coords={"parameter": list(model.process.names), "property": list(model.property_names)},
    )


def _groups(answer: Draws | Design, model: PSPGen, draws: int, images: bool) -> dict[str, _Group]:
    process, target = model.process, answer.target
    prior_phi = process.sample((1, draws), np.random.default_rng(torch.initial_seed() % 2**32))
    prior_z0 = _fresh(model, model.tensor(prior_phi))
    constant = _question(target, process)
    if isinstance(answer, Draws):
        own: dict[str, _Group] = {
            "posterior": {"phi": answer.phi, "z0": answer.z0},
            "sample_stats": dict(answer.statistics),
        }
        phi, z0 = model.tensor(answer.phi), model.tensor(answer.z0)
    else:
        own = {}
        constant |= {
            "phi_star": answer.phi,
            "start": answer.starts,
            "start_score": answer.scores,
        }
        phi = model.tensor(np.broadcast_to(answer.phi, (1, draws, len(process))))
        z0 = _fresh(model, phi)
    prior = model.tensor(prior_phi)
    return own | {
        "prior": {"phi": prior_phi, "z0": _array(prior_z0)},
        "prior_predictive": _materials(model, prior, prior_z0, images),
        "posterior_predictive": _materials(model, phi, z0, False),
        "predictions": _materials(model, phi, _fresh(model, phi), images),
        "constant_data": constant,
    }


def _question(target: Target, process: ProcessSpace) -> _Group:
    """The target and the process space."""
    return {
        "target_lower": np.array([box.lower for box in target.boxes]),
        "target_upper": np.array([box.upper for box in target.boxes]),
        "process_lower": np.array(process.lower),
        "process_upper": np.array(process.upper),
    }


def _check(
    model: PSPGen, observed: tuple[ArrayLike, ArrayLike], draws: int, seed: int
) -> dict[str, _Group]:
    """The predictive check of observed materials."""
    m = np.atleast_2d(np.asarray(observed[1], dtype=float))
    phi = model.process.check(observed[0])
    if (
        m.ndim != 2
        or m.shape[1] != model.dims.properties
        or phi.ndim > 2
        or (phi.ndim == 2 and len(phi) != len(m))
    ):
        raise InputError(
            f"'observed' holds φ with shape {phi.shape} and m with shape {m.shape}; give (N, "
            f"{len(model.process)}) and (N, {model.dims.properties}), or one φ for all."
        )
    inputs = model.tensor(np.broadcast_to(phi, (1, draws, len(m), len(model.process))))
    predicted = _materials(model, inputs, _fresh(model, inputs), False)
    names = [f"m_{name}" for name in model.property_names]
    data = dict(zip(names, m.T, strict=True))
    return {
        "posterior_predictive": predicted,
        "observed_data": data,
        "constant_data": {"observed_phi": _array(inputs[0, 0])},
        "pit": {
            name: randomised_ranks(data[name], predicted[name][0], seed=seed + j)
            for j, name in enumerate(names)
        },
    }


@torch.no_grad()
def _fresh(model: PSPGen, phi: Tensor) -> Tensor:
    return model.prior(model.standardise(phi)).sample()


@torch.no_grad()
def _materials(model: PSPGen, phi: Tensor, z0: Tensor, images: bool) -> _Group:
    """One m a row, a variable a property, and one x if wanted."""
    z1 = model.latent_of_process(phi)
    m = _array(model.property_given(z0, z1).sample())
    found: _Group = {f"m_{name}": m[..., j] for j, name in enumerate(model.property_names)}
    if images:
        x = model.decoder_x(z0, z1).sample()
        kind = model.schema.microstructure
        labels = kind is not None and not kind.grey
        found["x"] = (x.to(torch.uint8) if labels else x).cpu().numpy()
    return found


def _attributes(answer: Draws | Design) -> dict[str, Any]:
    shared = {
        "target": str(answer.target),
        "status": answer.status,
        "cpu_seconds": float(answer.seconds),
    } | _versions()
    if isinstance(answer, Design):
        name = "probability" if answer.targets else "value"
        return shared | {
            "method": "maximise",
            "objective": str(answer.objective),
            **{
                name if key == "value" else f"{name}_{key}": number
                for key, number in Estimate.to_json(answer.value).items()
                if number is not None
            },
        }
    extra = {} if answer.pareto_k is None else {"pareto_k": answer.pareto_k}
    return (
        shared
        | extra
        | {
            "method": answer.method,
            "prior_probability": float(answer.evidence.value),
            "prior_probability_standard_error": float(answer.evidence.standard_error),
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in answer.settings.items()
            },
        }
    )


def _versions() -> dict[str, str]:
    return {f"{name}_version": version for name, version in versions().items()}


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()
