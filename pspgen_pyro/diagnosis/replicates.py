r"""The noise of m and the error of its law, told apart by replicates.

Rows i = 1 … n of one setting differ by the noise alone; their mean differs from the model's by the
error of its law and what is left of the noise,

.. math::
    \hat\sigma^2 = \frac{1}{S} \sum_s \frac{1}{n_s - 1} \sum_i (m_{si} - \bar m_s)^2, \qquad
    \hat e^2 = \frac{1}{S} \sum_s \left[ (\bar m_s - \mathbb{E}[m \mid \varphi_s])^2 -
    \frac{\hat\sigma^2}{n_s} \right],

which is the split of a sum of squares into pure error and lack of fit.

References:
    Applied regression analysis (Draper & Smith, 1998), section 2.1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from ..errors import InputError
from ..model import Ensemble, PSPGen

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = ["noise_and_law"]


@torch.no_grad()
def noise_and_law(model: PSPGen | Ensemble, triads: Triads) -> xr.Dataset:
    """The standard deviations of m, on the properties' scales, in replicates that the model has
    not seen.

    Arguments:
        model: The trained model, or an ensemble.
        triads: The replicates; rows with an unknown property do not count for it.

    Returns:
        By property: `noise`, of replicates about their mean; `predicted`, what the model says that
        is; `law`, how far the model's mean is off, without the noise in the replicates' mean;
        `settings`, how many settings were made more than once.

    Raises:
        InputError: If no setting was made twice, or the law of m has no closed form.
    """
    phi, m = (np.asarray(triads.data[name].values, dtype=float) for name in ("phi", "m"))
    settings, group = np.unique(phi, axis=0, return_inverse=True)
    laws = [one.property_given_process(one.tensor(settings)) for one in model.members]
    if any(law is None for law in laws):
        raise InputError(
            "'model' has no law of m in closed form, so its mean is not known exactly; ask a "
            "default model."
        )
    means = np.stack([law.mean.double().numpy(force=True) for law in laws])  # type: ignore[union-attr]
    inner = np.mean([law.variance.double().numpy(force=True) for law in laws], axis=0)  # type: ignore[union-attr]
    found: dict[str, list[float]] = {
        name: [] for name in ("noise", "predicted", "law", "settings")
    }
    for j, column in enumerate(m.T):
        rows = ~np.isnan(column)
        count = np.bincount(group.ravel()[rows], minlength=len(settings))
        total = np.bincount(group.ravel()[rows], column[rows], minlength=len(settings))
        several = count > 1
        if not several.any():
            raise InputError(
                f"'triads' has no setting at which {model.property_names[j]!r} is known twice, so "
                "nothing tells noise from the error of the law; give replicates."
            )
        mean = total / np.maximum(count, 1)
        off = np.where(rows, column, 0.0) - mean[group.ravel()]
        square = np.bincount(group.ravel()[rows], off[rows] ** 2, minlength=len(settings))
        noise = float((square[several] / (count[several] - 1)).mean())
        gap = (mean - means[:, :, j].mean(axis=0))[several] ** 2 - noise / count[several]
        found["noise"].append(noise**0.5)
        found["predicted"].append(float(inner[several, j].mean() ** 0.5))
        found["law"].append(float(max(gap.mean(), 0.0) ** 0.5))
        found["settings"].append(float(several.sum()))
    return xr.Dataset(
        {name: ("property", values) for name, values in found.items()},
        coords={"property": list(model.property_names)},
    )
