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

An ensemble's folder holds one run folder a member, `member-1` and so on, and `ensemble.json`,
which lists them with what they were trained on.
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

from ..errors import DataError, InputError
from ..io.publish import publishing
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from ..training.checkpoint import History

if TYPE_CHECKING:
    from ..chain import Chain
    from ..design.support import Support

__all__ = [
    "EnsembleRun",
    "Run",
    "chain_of",
    "describe",
    "is_ensemble",
    "load_ensemble",
    "load_run",
    "process_of",
    "save_ensemble",
    "save_run",
]

FORMAT = 1
_DATA_KEYS = ("case", "preset", "formulation")


_LIST = "ensemble.json"


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


@dataclass(frozen=True)
class EnsembleRun:
    """A trained ensemble with its story; it is asked as a `Run` is.

    Arguments:
        members: A run a member, all of the same data.

    Raises:
        InputError: If the members were trained on different data, or do not form an ensemble.
    """

    members: tuple[Run, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        # refuses members that answer different questions
        object.__setattr__(self, "_model", Ensemble(tuple(run.model for run in self.members)))
        for i, run in enumerate(self.members):
            if run.data != self.data:
                raise InputError(
                    f"'members' has run {i + 1} of other data than the first; give runs that were "
                    "trained on the same triads."
                )

    @property
    def model(self) -> Ensemble:
        """The members' models."""
        return self._model  # type: ignore[attr-defined]

    @property
    def data(self) -> dict[str, Any]:
        """What every member was trained on."""
        return self.members[0].data

    @property
    def support(self) -> Support | None:
        """The properties they were trained on, if they were kept."""
        return self.members[0].support

    def check_against(self, triads: xr.Dataset) -> None:
        """As `Run.check_against`."""
        self.members[0].check_against(triads)


def process_of(triads: xr.Dataset) -> ProcessSpace:
    """The process space that a triads set was simulated in."""
    attrs = triads.attrs
    lower, upper = zip(*attrs["bounds"], strict=True)
    fields = {"lower": lower, "upper": upper, "symmetries": attrs.get("symmetries", [])}
    return ProcessSpace.from_json({"names": attrs["names"], "units": attrs["units"], **fields})


def chain_of(run: Run | EnsembleRun) -> Chain | None:
    """The study's simulator that the run's data came from; None if they came from elsewhere."""
    from ..study import case

    data = run.data
    try:
        chosen = case(data["case"], data["preset"], data["formulation"])
    except (InputError, KeyError, TypeError):
        return None
    return chosen.chain if chosen.process == run.model.process else None


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
    if is_ensemble(folder):
        raise DataError(
            f"'run' is {str(path)!r}, an ensemble, where one run is needed; give one of its "
            f"members, such as {str(folder / 'member-1')!r}."
        )
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


def is_ensemble(path: str | Path) -> bool:
    """Whether a folder says that it holds an ensemble."""
    return (Path(path) / _LIST).is_file()


def save_ensemble(run: EnsembleRun, out: str | Path) -> Path:
    """Writes the folder of an ensemble, all of it or nothing.

    Raises:
        InputError: If `out` exists.
        StorageError: If writing fails.
    """
    names = [f"member-{k + 1}" for k in range(len(run.members))]
    with publishing(Path(out)) as folder:
        for name, member in zip(names, run.members, strict=True):
            save_run(member, folder / name)
        content = {"format": FORMAT, "members": names, "data": run.data}
        (folder / _LIST).write_text(json.dumps(content, indent=2) + "\n")
    return Path(out)


def load_ensemble(path: str | Path) -> EnsembleRun:
    """Opens the folder of an ensemble.

    Raises:
        DataError: If it is not one, a member is missing or damaged, or they were not trained
            together.
    """
    folder = Path(path)
    if not is_ensemble(folder):
        raise DataError(
            f"'run' is {str(path)!r}, which is no ensemble ({_LIST} is missing); make one with "
            "`pspgen fit TRIADS --members 5 --out RUN`."
        )
    try:
        content = json.loads((folder / _LIST).read_text())
        version, names, data = content["format"], list(content["members"]), content["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'run' is {str(path)!r}, whose {_LIST} is damaged: {error!r}.") from error
    if version != FORMAT:
        raise DataError(
            f"'run' is {str(path)!r}, of format {version}; this version of the package reads "
            f"format {FORMAT}."
        )
    runs = tuple(load_run(folder / Path(str(name)).name) for name in names)
    try:
        found = EnsembleRun(runs)
    except InputError as error:
        raise DataError(
            f"'run' is {str(path)!r}, whose members do not belong together: {error}"
        ) from error
    if found.data != data:
        raise DataError(
            f"'run' is {str(path)!r}, whose members were trained on other data than {_LIST} says; "
            "fit the ensemble again."
        )
    return found


def _load_support(folder: Path, model: PSPGen) -> Support | None:
    from ..design.support import Support

    if not (folder / "support.safetensors").is_file():
        return None
    m = safetensors_numpy.load_file(folder / "support.safetensors")["m"]
    if m.shape[1:] != (model.dims.properties,):
        raise ValueError(
            f"its support has shape {m.shape} but the model {model.dims.properties} properties"
        )
    return Support(m)
