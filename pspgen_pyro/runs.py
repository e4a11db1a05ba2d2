"""Run folders: a trained model on disk, without pickle.

A run folder holds

- `model.safetensors`: the weights and the standardisation,
- `run.json`: what the model is made of, what it was trained on (case, preset, formulation, seeds)
  and by what,
- `history.json`: every term of the objective in every epoch,
- `support.safetensors`: the properties it was trained on (at most 20,000), from which a design
  tells whether its target has any support; older runs have none.

It is written under a temporary name and renamed when complete. Loading builds the model from
`run.json` and accepts the weights only if names and shapes agree; nothing in a run folder is ever
executed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from safetensors.torch import load_file, save_file

from .checkpoint import History
from .errors import DataError, InputError
from .model import PSPGen
from .process import ProcessSpace
from .publish import publishing

if TYPE_CHECKING:
    from .design.support import Support

__all__ = [
    "Run",
    "describe",
    "load_run",
    "process_of",
    "save_run",
]

FORMAT = 1
_DATA_KEYS = ("case", "preset", "formulation")


@dataclass(frozen=True)
class Run:
    """A trained model with its story.

    Arguments:
        model: The model, in evaluation mode.
        history: The history of its training.
        data: What it was trained on: case, preset, formulation, seed, number of samples.
        training: The settings of `fit` and the environment it ran in.
        support: The properties it was trained on, if they were kept.
    """

    model: PSPGen
    history: History
    data: dict[str, Any]
    training: dict[str, Any]
    support: Support | None = None

    def check_against(self, triads: xr.Dataset) -> None:
        """Says why a data set does not belong to this run, if it does not.

        Raises:
            InputError: If the sizes, the process parameters, the preset or the formulation differ.
        """
        dims = self.model.dims
        image = (triads.sizes["row"], triads.sizes["column"])
        names = tuple(str(name) for name in triads["parameter"].values)
        if image != dims.image or names != self.model.process.names:
            raise InputError(
                f"'triads' has {image[0]}×{image[1]} pixels and the parameters "
                f"{', '.join(names)}, but the run was "
                f"trained on {dims.image[0]}×{dims.image[1]} pixels and "
                f"{', '.join(self.model.process.names)}; "
                "take data of the run's own case."
            )
        for key in _DATA_KEYS[1:]:
            if triads.attrs.get(key) != self.data.get(key):
                raise InputError(
                    f"'triads' was made with {key} {triads.attrs.get(key)!r} but the run was "
                    "trained on "
                    f"{self.data.get(key)!r}; the two must not be mixed."
                )


def process_of(triads: xr.Dataset) -> ProcessSpace:
    """The process space that a triads set was simulated in."""
    attrs = triads.attrs
    lower, upper = zip(*attrs["bounds"], strict=True)
    fields = {"lower": lower, "upper": upper, "symmetries": attrs.get("symmetries", [])}
    return ProcessSpace.from_json({"names": attrs["names"], "units": attrs["units"], **fields})


def describe(triads: xr.Dataset) -> dict[str, Any]:
    """What a run remembers of the data it was trained on."""
    return {name: triads.attrs[name] for name in (*_DATA_KEYS, "solver", "seed", "samples")}


def save_run(run: Run, out: str | Path) -> Path:
    """Writes a run folder, all of it or nothing.

    Raises:
        InputError: If `out` exists.
        StorageError: If writing fails.
    """
    with publishing(Path(out)) as folder:
        save_file(
            {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()},
            folder / "model.safetensors",
        )
        description = {
            "format": FORMAT,
            "model": run.model.specification(),
            "data": run.data,
            "training": run.training,
        }
        (folder / "run.json").write_text(json.dumps(description, indent=2) + "\n")
        (folder / "history.json").write_text(json.dumps(dataclasses.asdict(run.history)) + "\n")
        if run.support is not None:
            m = np.ascontiguousarray(run.support.m, dtype=np.float32)
            safetensors_numpy.save_file({"m": m}, folder / "support.safetensors")
    return Path(out)


def load_run(path: str | Path) -> Run:
    """Opens a run folder.

    Raises:
        DataError: If it is not a run folder, or its weights do not fit its description.
    """
    folder = Path(path)
    for name in ("run.json", "history.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise DataError(
                f"'run' is {str(path)!r}, which is no run folder ({name} is missing); "
                "make one with `pspgen fit TRIADS --out RUN`."
            )
    try:
        description = json.loads((folder / "run.json").read_text())
        history = History(**json.loads((folder / "history.json").read_text()))
        version = description["format"]
        model = PSPGen.from_specification(description["model"])
        told = dict(description["data"]), dict(description["training"])
        run = Run(model, history, *told, _load_support(folder, model))
        weights = load_file(folder / "model.safetensors")
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"'run' is {str(path)!r}, which is damaged: {error}.") from error
    if version != FORMAT:
        raise DataError(
            f"'run' is {str(path)!r}, of format {version}; this version of the package reads "
            f"format {FORMAT}."
        )
    try:
        model.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    except (RuntimeError, StopIteration) as error:
        raise DataError(
            f"'run' is {str(path)!r}, whose weights do not fit its description; fit the model "
            "again."
        ) from error
    model.eval()
    return run


def _load_support(folder: Path, model: PSPGen) -> Support | None:
    from .design.support import Support

    if not (folder / "support.safetensors").is_file():
        return None
    m = safetensors_numpy.load_file(folder / "support.safetensors")["m"]
    if m.shape[1:] != (model.dims.properties,):
        raise ValueError(
            f"its support has shape {m.shape} but the model {model.dims.properties} properties"
        )
    return Support(m)
