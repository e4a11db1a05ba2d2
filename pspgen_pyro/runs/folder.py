"""Run folders: a trained model on disk, without pickle.

A run folder holds

- `run.json`: the schema, what each model is made of, what they were trained on and by what,
- `model-1.safetensors`, `model-2.safetensors` and so on: the weights of each member; one model is
  an ensemble of one,
- `history.json`: every term of the objective in every epoch, of each member,
- `support.safetensors`: the properties it was trained on and their settings (at most 20,000),
  from which a design tells whether its target has any support, and how far it is from the data; a
  run that has none answers without,
- `manifest.json`: the size and the checksum of each of these, and its own.

It is written under a temporary name and renamed when complete. Everything that is read is
compared with its checksum and validated, weights are accepted only if names, shapes and types
agree, and nothing in a run folder is ever executed. Runs of format 2 have no manifest; they open
with a warning.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from safetensors.torch import save_file
from torch import Tensor

from ..design.support import Support
from ..errors import DataError, InputError
from ..io.folders import CheckedFolder, Entry
from ..io.publish import publishing
from ..io.sealing import newer, sealed, unsealed
from ..io.validation import Record, local_path, read
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..schema import Schema
from ..training.checkpoint import History
from .run import Run

__all__ = ["MANIFEST", "load_run", "open_folder", "seal", "write_run"]

FORMAT, _UNSEALED, _MANIFEST_FORMAT = 3, 2, 1
MANIFEST = "manifest.json"
_RUN, _HISTORY, _SUPPORT = "run.json", "history.json", "support.safetensors"
_AGAIN = "fit it again with `pspgen fit TRIADS --out RUN`"
_CURE = f"copy it again, or {_AGAIN}"


class _Stored(Record):
    """What `run.json` holds."""

    format: int
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    models: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    data: dict[str, Any]
    training: dict[str, Any]


class _Manifest(Record):
    """What `manifest.json` holds: every other file, by its name."""

    files: dict[str, Entry]


class _StoredHistories(Record):
    """What `history.json` holds."""

    members: tuple[History, ...]


def write_run(run: Run, out: Path) -> Path:
    """Writes a run folder, all of it or nothing.

    Raises:
        InputError: If `out` exists.
        StorageError: If writing fails.
    """
    content = {
        "format": FORMAT,
        "schema": run.schema.to_json(),
        "models": [model.specification() for model in run.members],
        "data": run.data,
        "training": run.training,
    }
    histories = {"members": [dataclasses.asdict(history) for history in run.histories]}
    with publishing(out) as folder:
        for k, model in enumerate(run.members):
            weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            save_file(weights, folder / _weights(k))
        (folder / _RUN).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (folder / _HISTORY).write_text(json.dumps(histories) + "\n", encoding="utf-8")
        if run.support is not None:
            kept = {"m": run.support.m, "phi": run.support.phi}
            arrays = {
                name: np.ascontiguousarray(values, dtype=np.float32)
                for name, values in kept.items()
                if values is not None
            }
            safetensors_numpy.save_file(arrays, folder / _SUPPORT)
        seal(folder)
    return out


def seal(folder: Path) -> None:
    """Writes the manifest of what is in a run folder now."""
    names = sorted({path.name for path in folder.iterdir()} - {MANIFEST})
    files = {name: Entry.of((folder / name).read_bytes()).model_dump() for name in names}
    (folder / MANIFEST).write_bytes(sealed({"files": files}, _MANIFEST_FORMAT))


def load_run(path: str | Path, *, verify: bool = True) -> Run:
    """Opens a run folder, of one model or of an ensemble.

    Arguments:
        path: The folder.

    Other arguments:
        verify: Whether sizes and checksums matter.

    Raises:
        DataError: If it is not a run folder, is of another format, or an entry of it is missing or
            damaged; the sentence has the path and says what to do.
    """
    folder = open_folder(local_path(path, "run"), verify=verify)
    content = folder.json(_RUN)
    where = str(folder.path / _RUN)
    stored = read(_Stored, content, where)
    schema = Schema.from_json(stored.schema_, f"{where}.schema")
    told = read(_StoredHistories, folder.json(_HISTORY), str(folder.path / _HISTORY))
    models = tuple(_model(folder, k, spec, schema) for k, spec in enumerate(stored.models))
    try:
        model = models[0] if len(models) == 1 else Ensemble(models)
        support = _load_support(folder, schema)
        return Run(model, told.members, stored.data, stored.training, support)
    except DataError:
        raise
    except InputError as error:
        raise DataError(
            f"'run' is {str(path)!r}, which is damaged: {str(error).rstrip('.')}; {_CURE}."
        ) from error


def open_folder(path: Path, *, verify: bool = True) -> CheckedFolder:
    """The files of a run folder, with what its manifest knows of them.

    Raises:
        DataError: If it is no run folder, or of another format, or a file is missing, is none, or
            has another size.
    """
    folder = CheckedFolder(path, "run", _CURE)
    if (path / "ensemble.json").is_file():
        raise _older(path, 1)
    listed = os.path.lexists(path / MANIFEST)
    if not listed and not os.path.lexists(path / _RUN):
        raise DataError(
            f"'run' is {str(path)!r}, which is no run folder ({_RUN} is missing); make one with "
            "`pspgen fit TRIADS --out RUN`."
        )
    if listed and verify:
        where = f"{str(path / MANIFEST)!r}"
        content, _ = unsealed(folder.read(MANIFEST), where, _MANIFEST_FORMAT, _CURE)
        folder = dataclasses.replace(folder, files=read(_Manifest, content, where).files)
        folder.check()
    format_ = _format(folder)
    if format_ == FORMAT and not listed:
        raise folder.fault(MANIFEST, "is missing")
    if format_ == _UNSEALED and verify and not listed:
        warnings.warn(
            f"'run' is {str(path)!r}, of format {_UNSEALED}, which has no checksums; save it "
            "again with `load_run(RUN).save(NEW)` to have some.",
            stacklevel=3,
        )
    return folder


def _format(folder: CheckedFolder) -> int | None:
    """The format of a run; None if it says none.

    Raises:
        DataError: If this version does not read it.
    """
    content = folder.json(_RUN)
    if not isinstance(content, dict) or "format" not in content:
        return None
    found = content["format"]
    if isinstance(found, int) and found > FORMAT:
        raise newer(f"'run' is {str(folder.path)!r}, which", found, FORMAT)
    if found not in (FORMAT, _UNSEALED):
        raise _older(folder.path, found)
    return found


def _model(folder: CheckedFolder, k: int, specification: dict[str, Any], schema: Schema) -> PSPGen:
    """Member k with its weights, in evaluation mode."""
    where, key = f"{folder.path / _RUN}.models.{k}", _weights(k)
    try:
        model = PSPGen.from_specification(specification, where)
    except RuntimeError as error:
        raise DataError(
            f"'{where}' is too large to be built ({str(error):.80}); {_CURE}."
        ) from error
    if model.schema != schema:
        raise DataError(f"'{where}' has another schema than {folder.path / _RUN} says; {_CURE}.")
    try:
        weights = safetensors.torch.load(folder.read(key))
    except SafetensorError as error:
        raise folder.fault(key, f"is damaged ({error})") from error
    if what := _unfit(weights, model.state_dict()):
        raise folder.fault(key, f"is damaged: its weights do not fit its description ({what})")
    model.to(weights["m_loc"].dtype).load_state_dict(weights)
    model.eval()
    return model


def _unfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """In what weights differ from those of a model of their description; "" if in nothing."""
    if names := sorted(found.keys() ^ wanted.keys()):
        return f"{names[0]} is {'missing' if names[0] in wanted else 'too many'}"
    dtype = found["m_loc"].dtype
    for name, tensor in found.items():
        like = wanted[name]
        kind = dtype if like.is_floating_point() else like.dtype
        if tensor.shape != like.shape or tensor.dtype != kind or not dtype.is_floating_point:
            return f"{name} is of {tensor.dtype} and shape {tuple(tensor.shape)}"
    return ""


def _load_support(folder: CheckedFolder, schema: Schema) -> Support | None:
    if _SUPPORT not in folder.files and not os.path.lexists(folder.path / _SUPPORT):
        return None
    try:
        arrays = safetensors_numpy.load(folder.read(_SUPPORT))
        m, phi = arrays["m"], arrays.get("phi")
    except (SafetensorError, KeyError) as error:
        raise folder.fault(_SUPPORT, f"is damaged ({error})") from error
    sizes = {"m": len(schema.properties), "phi": len(schema.process)}
    for name, size in sizes.items():
        found = arrays.get(name)
        if found is not None and (found.dtype != np.float32 or found.shape[1:] != (size,)):
            raise folder.fault(
                _SUPPORT,
                f"is damaged ({name} is of {found.dtype} and shape {found.shape}, but the schema "
                f"has {size} columns)",
            )
    return Support(m, phi)


def _older(path: Path, version: Any) -> DataError:
    return DataError(
        f"'run' is {str(path)!r}, of format {version!r:.20}, but this version of the package "
        f"reads format {FORMAT}; {_AGAIN}."
    )


def _weights(k: int) -> str:
    return f"model-{k + 1}.safetensors"
