"""Run folders: a trained model on disk, without pickle.

A run folder holds

- `run.json`: the schema, what each model is made of, what they were trained on and by what,
- `model-1.safetensors`, `model-2.safetensors` and so on: the weights of each member; one model is
  an ensemble of one,
- `history.json`: every term of the objective in every epoch, of each member,
- `support.safetensors`: the properties it was trained on and their settings (at most 20,000),
  from which a design tells whether its target has any support, and how far it is from the data; a
  run that has none answers without.

It is written under a temporary name and renamed when complete. Everything that is read is
validated, weights are accepted only if names and shapes agree, and nothing in a run folder is ever
executed.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from safetensors.torch import load_file, save_file

from ..design.support import Support
from ..errors import DataError, InputError
from ..io.publish import publishing
from ..io.validation import Record, read
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..schema import Schema
from ..training.checkpoint import History
from .run import Run

__all__ = ["load_run", "write_run"]

FORMAT = 2
_RUN, _HISTORY, _SUPPORT = "run.json", "history.json", "support.safetensors"
_AGAIN = "fit it again with `pspgen fit TRIADS --out RUN`"


class _Stored(Record):
    """What `run.json` holds."""

    format: int
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    models: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    data: dict[str, Any]
    training: dict[str, Any]


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
            save_file(weights, _weights(folder, k))
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
    return out


def load_run(path: str | Path) -> Run:
    """Opens a run folder, of one model or of an ensemble.

    Raises:
        DataError: If it is not a run folder, is of another format, or an entry of it is missing or
            damaged; the sentence has the path.
    """
    folder = Path(path)
    if (folder / "ensemble.json").is_file():
        raise _other_format(path, 1)
    content = _json(folder, _RUN)
    if isinstance(content, dict) and content.get("format") != FORMAT and "format" in content:
        raise _other_format(path, content["format"])
    stored = read(_Stored, content, str(folder / _RUN))
    schema = Schema.from_json(stored.schema_, f"{folder / _RUN}.schema")
    histories = read(_StoredHistories, _json(folder, _HISTORY), str(folder / _HISTORY)).members
    models = tuple(_model(folder, k, stored.models[k], schema) for k in range(len(stored.models)))
    try:
        model = models[0] if len(models) == 1 else Ensemble(models)
        support = _load_support(folder, len(schema.properties))
        return Run(model, histories, stored.data, stored.training, support)
    except InputError as error:
        raise DataError(f"'run' is {str(path)!r}, which is damaged: {error}") from error


def _model(folder: Path, k: int, specification: dict[str, Any], schema: Schema) -> PSPGen:
    """Member k with its weights, in evaluation mode."""
    where = f"{folder / _RUN}.models.{k}"
    model, file = PSPGen.from_specification(specification), _weights(folder, k)
    if model.schema != schema:
        raise DataError(f"'{where}' has another schema than {folder / _RUN} says; {_AGAIN}.")
    _needed(folder, file.name)
    try:
        weights = load_file(file)
        model.to(weights["m_loc"].dtype).load_state_dict(weights)
    except (SafetensorError, KeyError) as error:
        raise DataError(f"'run' has {str(file)!r}, which is damaged: {error}.") from error
    except RuntimeError as error:
        raise DataError(
            f"'run' has {str(file)!r}, whose weights do not fit its description; {_AGAIN}."
        ) from error
    model.eval()
    return model


def _load_support(folder: Path, properties: int) -> Support | None:
    file = folder / _SUPPORT
    if not file.is_file():
        return None
    try:
        arrays = safetensors_numpy.load_file(file)
        m = arrays["m"]
    except (SafetensorError, KeyError) as error:
        raise DataError(f"'run' has {str(file)!r}, which is damaged: {error}.") from error
    if m.shape[1:] != (properties,):
        raise DataError(
            f"'run' has {str(file)!r}, which is damaged: its support has shape {m.shape} but the "
            f"schema {properties} properties."
        )
    return Support(m, arrays.get("phi"))


def _json(folder: Path, name: str) -> Any:
    _needed(folder, name)
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'run' has {str(folder / name)!r}, which is damaged: {error}.") from error


def _needed(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise DataError(
            f"'run' is {str(folder)!r}, which is no run folder ({name} is missing); make one with "
            "`pspgen fit TRIADS --out RUN`."
        )


def _other_format(path: str | Path, version: Any) -> DataError:
    return DataError(
        f"'run' is {str(path)!r}, of format {version!r}, but this version of the package reads "
        f"format {FORMAT}; {_AGAIN}."
    )


def _weights(folder: Path, k: int) -> Path:
    return folder / f"model-{k + 1}.safetensors"
