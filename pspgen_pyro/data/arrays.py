"""Arrays of other people as a labelled data set of triads.

What the numbers are is declared, what is done to them is noted, what looks wrong is told, and what
is wrong is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError, printable
from ..io.validation import plain
from ..schema import Property, Schema
from . import checks
from .columns import chosen, frame_of, numbers
from .declared import (
    Images,
    Process,
    Properties,
    Settings,
    read_microstructure,
    read_properties,
    read_settings,
)
from .folds import VALIDATION, draw_settings, settings_of
from .pixels import pixels

__all__ = ["triads_of_arrays"]


def triads_of_arrays(
    phi: Any,
    x: Any,
    m: Any,
    *,
    process: Process,
    properties: Properties,
    microstructure: Images,
    validation: float,
    seed: int,
    constraints: str | Sequence[str] = (),
    source: str = "arrays",
    said: Sequence[str] = (),
) -> tuple[Schema, xr.Dataset]:
    """The schema and the data set of arrays; `Triads.from_arrays` tells the arguments.

    Arguments:
        source: Where the arrays came from, in words.
        said: What a reader of the summary should know of how they were read.
    """
    read = _read(phi, x, m, read_settings(process, frame_of(phi, "phi"), constraints), properties)
    structure = read_microstructure(microstructure, read.x)
    space = read.settings.process(read.phi)
    schema = Schema(process=space, microstructure=structure, properties=read.properties)
    rows = checks.check_inside(space, read.phi)
    scaled = schema.scaled(read.values)
    values, on_limits = _on_limits(read.properties, read.values)
    checks.check_properties_vary(read.properties, values)
    images, about_images = None, []
    if structure is not None and read.x is not None:
        images, about_images = pixels(read.x, structure)
    found = _Found(schema, rows, images, values, scaled)
    index, replicate, fold = found.folds(validation, seed)
    warnings = found.warnings(read.settings.unbounded, index, fold)
    data = found.dataset(index, replicate, fold)
    data.attrs |= {
        "source": source,
        "validation": float(validation),
        "seed": int(seed),
        "notes": _listed([*said, *read.said, *on_limits, *about_images]),
        "warnings": _listed(warnings),
    }
    return schema, data


@dataclass(frozen=True)
class _Read:
    """Arrays of one length: settings (N, P), images or None, values (N, K) in their units."""

    settings: Settings
    properties: tuple[Property, ...]
    phi: NDArray[np.float64]
    x: NDArray[Any] | None
    values: NDArray[np.float64]
    said: list[str]


@dataclass(frozen=True)
class _Found:
    """Checked triads."""

    schema: Schema
    phi: NDArray[np.float64]
    x: NDArray[Any] | None
    values: NDArray[np.float64]
    m: NDArray[np.float64]

    def folds(self, validation: float, seed: int) -> tuple[NDArray[Any], ...]:
        """The number of each row's setting and replicate, and its fold."""
        index, replicate = settings_of(self.phi, self.schema.process.feasible.width)
        known = (~np.isnan(self.m)).any(-1).astype(np.int64)
        drawn = draw_settings(self.phi, index, known, validation, seed, VALIDATION)
        return index, replicate, drawn.astype(np.int8)

    def warnings(
        self, unbounded: Sequence[str], index: NDArray[np.int64], fold: NDArray[np.int8]
    ) -> list[str]:
        process, properties = self.schema.process, self.schema.properties
        return [
            *checks.about_rows(self.phi, self.x, self.m),
            *checks.about_settings(self.phi, process, unbounded),
            *checks.about_properties(properties, self.values, self.m),
            *checks.about_fold_sizes(properties, self.m, index, fold),
        ]

    def dataset(
        self, index: NDArray[np.int64], replicate: NDArray[np.int64], fold: NDArray[np.int8]
    ) -> xr.Dataset:
        variables: dict[str, Any] = {
            "phi": (("sample", "parameter"), self.phi),
            "value": (("sample", "property"), self.values),
            "m": (("sample", "property"), self.m),
            "phi_index": ("sample", index),
            "replicate": ("sample", replicate),
            "fold": ("sample", fold),
        }
        if self.x is not None:
            variables["x"] = (("sample", *self.schema.images.dims), self.x)
        names = list(self.schema.process.names), list(self.schema.property_names)
        labels = dict(zip(("parameter", "property"), names, strict=True))
        return xr.Dataset(variables, labels, {"schema": json.dumps(self.schema.to_json())})


def _read(phi: Any, x: Any, m: Any, settings: Settings, properties: Properties) -> _Read:
    declared = read_properties(properties)
    frame, about_phi = chosen(frame_of(phi, "phi"), settings.names, settings.units, "phi")
    names, units = [p.name for p in declared], [p.unit for p in declared]
    values, about_m = chosen(frame_of(m, "m"), names, units, "m")
    images = None if x is None else plain(x, "x")
    lengths = {"phi": len(frame), "m": len(values)}
    lengths |= {} if images is None else {"x": len(images) if images.ndim else 0}
    if len(set(lengths.values())) > 1 or not len(frame):
        rows = ", ".join(f"{what!r} {length}" for what, length in lengths.items())
        raise InputError(f"the numbers of rows are {rows}; give one row of each for every sample.")
    given = numbers(settings.coded(frame), "phi")
    checks.check_settings(given, settings.names, settings.kinds)
    said = [*about_phi, *about_m]
    if settings.unbounded:
        said.append(
            f"bounds of {', '.join(settings.unbounded)}: the range of the data, as none are "
            "declared; a design stays inside"
        )
    return _Read(settings, declared, given, images, numbers(values, "m"), said)


def _on_limits(
    properties: Sequence[Property], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[str]]:
    """The values with those beyond a detection limit put on it, and how many these are."""
    held, said = values.copy(), []
    for j, p in enumerate(properties):
        below, above = p.detection_limit
        for limit, beyond, word in (
            (below, values[:, j] < (-np.inf if below is None else below), "below"),
            (above, values[:, j] > (np.inf if above is None else above), "above"),
        ):
            if limit is None:
                continue
            held[beyond, j] = limit
            there = int((held[:, j] == limit).sum())
            said.append(
                f"{p.name}: {there} value(s) at the detection limit {limit:g}, of which "
                f"{int(beyond.sum())} lay {word} it and were put on it"
            )
    return held, said


def _listed(sentences: Sequence[str]) -> str:
    return json.dumps([printable(one) for one in sentences], ensure_ascii=False)
