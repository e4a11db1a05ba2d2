"""What a data set of triads holds, as lines that a materials scientist reads in a minute."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ..schema import Property, Schema

__all__ = ["summary"]

_WIDTH = 99


def summary(schema: Schema, data: xr.Dataset) -> str:
    """The sizes, the settings, the properties, the folds, and what was noted and looked wrong."""
    lines = [_heading(data), "process", *_process(schema, data)]
    if schema.microstructure is not None:
        lines += ["microstructure", f"  {schema.microstructure}"]
    lines += ["properties", *_properties(schema.properties, data), *_folds(data)]
    for title, mark in (("notes", "-"), ("warnings", "!")):
        told = json.loads(data.attrs.get(title, "[]"))
        if told:
            lines += [title, *(_wrapped(sentence, mark) for sentence in told)]
    if data.attrs.get("warnings") == "[]":
        lines.append("no warnings")
    return "\n".join(lines)


def _heading(data: xr.Dataset) -> str:
    counts = np.unique(data["phi_index"].to_numpy(), return_counts=True)[1]
    few, many = int(counts.min()), int(counts.max())
    times = f"{few}" if few == many else f"{few} to {many}"
    replicates = "no replicates" if many == 1 else f"{times} rows of each"
    images = "with images" if "x" in data else "no images"
    source = f", from {data.attrs['source']}" if "source" in data.attrs else ""
    return f"{data.sizes['sample']} triads{source}: {len(counts)} settings, {replicates}, {images}"


def _process(schema: Schema, data: xr.Dataset) -> Iterator[str]:
    space = schema.process
    names = _aligned(
        [
            n if s.words else f"{n} [{s.unit}]"
            for n, s in zip(space.names, space.settings, strict=True)
        ]
    )
    phi = data["phi"].to_numpy()
    for name, setting, values in zip(names, space.settings, phi.T, strict=True):
        levels = np.unique(values)
        shown = f"data from {levels[0]:g} to {levels[-1]:g}"
        if len(levels) <= 6:
            shown = "data at " + ", ".join(setting.shown(level) for level in levels)
        low, high = setting.bounds
        allowed = f"bounds {low:g} to {high:g}" if setting.plain else setting.describe()
        yield f"  {name}  {allowed}, {shown}"
    yield from (f"  {text}" for text in space.constraints)


def _properties(properties: Sequence[Property], data: xr.Dataset) -> Iterator[str]:
    names = _aligned([str(p) for p in properties])
    for p, name, values in zip(properties, names, data["value"].to_numpy().T, strict=True):
        known = values[~np.isnan(values)]
        line = f"  {name}  {len(known)} known"
        if len(known):
            low, middle, high = np.quantile(known, (0, 0.5, 1))
            line += f", from {low:.4g} to {high:.4g}, median {middle:.4g}"
        for end in (end for end in p.detection_limit if end is not None):
            line += f", {(known == end).sum()} at the detection limit {end:g}"
        yield line


def _folds(data: xr.Dataset) -> Iterator[str]:
    fold, index = data["fold"].to_numpy(), data["phi_index"].to_numpy()
    parts = []
    for number, word in ((0, "train"), (1, "validate")):
        rows = fold == number
        parts.append(f"{len(np.unique(index[rows]))} settings ({rows.sum()} rows) {word}")
    yield "folds, by setting"
    yield "  " + ", ".join(parts)
    if "excluded" in data and data["excluded"].any():
        yield f"  of these, {int(data['excluded'].sum())} rows lie in the region left out"


def _aligned(words: Sequence[str]) -> list[str]:
    width = max(map(len, words))
    return [word.ljust(width) for word in words]


def _wrapped(sentence: str, mark: str) -> str:
    return textwrap.fill(sentence, _WIDTH, initial_indent=f"  {mark} ", subsequent_indent="    ")
