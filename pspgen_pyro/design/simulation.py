r"""Anybody's simulator as the package asks it: settings and seeds in, materials out.

Either an object with a `process` and `simulate`, as a `Chain` has them, or a function

.. math:: (\varphi, \text{seeds}) \mapsto v \quad\text{or}\quad (x, v)

of settings with shape `(N, P)` and N seed sequences, one a row, that returns property values v
with shape `(N, K)` in the properties' units, NaN where a simulation failed, and microstructures x
with shape `(N, H, W)` beside them if it has any. `np.random.default_rng(seeds[i])` is the source
of random numbers of row i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, SimulationError
from ..process import ProcessSpace
from ..schema import Schema

__all__ = ["Materials", "Simulator", "SimulatorFunction", "adapted", "simulated"]

_BATCH = 50

Seeds = list[np.random.SeedSequence]
SimulatorFunction = Callable[[NDArray[np.float64], Seeds], Any]


@runtime_checkable
class Simulator(Protocol):
    """What the package needs of a chain."""

    @property
    def process(self) -> ProcessSpace: ...

    def simulate(self, phi: ArrayLike, seeds: Seeds) -> Any:
        """Materials with `phi`, `x`, `m` and `failures`, as `Materials` has them."""
        ...


@dataclass(frozen=True)
class Materials:
    """Real or simulated materials.

    Arguments:
        phi: Their settings, with shape `(N, P)`.
        x: Their microstructures, with shape `(N, H, W)`; None if there are none.
        m: Their properties on their scales, with shape `(N, K)`; NaN where a simulation failed.
        failures: The reason of each failed row, by its number.
    """

    phi: NDArray[np.float64]
    x: NDArray[Any] | None
    m: NDArray[np.float64]
    failures: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.phi)

    @property
    def images(self) -> NDArray[Any]:
        """Their microstructures.

        Raises:
            InputError: If there are none.
        """
        if self.x is None:
            raise InputError("these materials have no microstructures, which are needed here.")
        return self.x

    def rows(self, index: NDArray[Any]) -> Materials:
        """Some of them; their failures are not told any more."""
        x = None if self.x is None else self.x[index]
        return Materials(self.phi[index], x, self.m[index])

    @classmethod
    def joined(cls, parts: Sequence[Materials]) -> Materials:
        """All of several, one after the other; with microstructures if every part has them."""
        images = [part.x for part in parts if part.x is not None]
        x = np.concatenate(images) if len(images) == len(parts) else None
        phi, m = (np.concatenate([vars(part)[name] for part in parts]) for name in ("phi", "m"))
        return cls(phi, x, m)


def simulated(
    simulator: Simulator,
    phi: NDArray[np.float64],
    seed: int,
    key: int,
    progress: Callable[[int], object] | None = None,
) -> Iterator[Materials]:
    """One material a setting, in batches.

    Arguments:
        simulator: The simulator.
        phi: The settings, with shape `(N, P)`.
        seed: Seeds them.
        key: A spawn key that no other use of simulations has, so that none share random numbers.
        progress: Called with the number of materials just finished.
    """
    for i in range(0, len(phi), _BATCH):
        part = phi[i : i + _BATCH]
        numbers = range(i, i + len(part))
        seeds = [np.random.SeedSequence(seed, spawn_key=(key, j)) for j in numbers]
        found = simulator.simulate(part, seeds)
        yield Materials(part, found.x, found.m, {i + j: why for j, why in found.failures.items()})
        if progress is not None:
            progress(len(part))


def adapted(simulator: Simulator | SimulatorFunction, schema: Schema | None) -> Simulator:
    """The simulator with every answer checked.

    Arguments:
        simulator: A chain, or a function of settings and seeds.
        schema: What its materials are; None takes a chain at its word.

    Raises:
        InputError: If it is neither, its process is another one than the schema's, or a function
            comes without a schema.
    """
    if isinstance(simulator, Simulator):
        if schema is None:
            return simulator
        _check_process(simulator.process, schema.process)
        return _Checked(schema, partial(_ask_chain, simulator))
    if not callable(simulator):
        raise InputError(
            f"'simulator' is {type(simulator).__name__!r}; give a chain, or a function of phi and "
            "seeds that returns property values."
        )
    if schema is None:
        raise InputError(
            "'simulator' is a function but 'schema' is missing; give the schema, which says what "
            "its values are, or ask by `run.verify`."
        )
    return _Checked(schema, partial(_ask_function, simulator, schema))


@dataclass(frozen=True)
class _Checked:
    """A simulator whose properties are those that the schema says."""

    schema: Schema
    ask: Callable[[NDArray[np.float64], Seeds], Materials]

    @property
    def process(self) -> ProcessSpace:
        return self.schema.process

    def simulate(self, phi: ArrayLike, seeds: Seeds) -> Materials:
        found = self.ask(self.process.check(phi), seeds)
        wanted = (len(seeds), len(self.schema.properties))
        if found.m.shape != wanted:
            raise InputError(
                f"'simulator' returned values of shape {found.m.shape} for {wanted[0]} settings; "
                f"give shape {wanted}, one column each for "
                f"{', '.join(self.schema.property_names)}."
            )
        return found


def _ask_chain(simulator: Simulator, phi: NDArray[np.float64], seeds: Seeds) -> Materials:
    found = simulator.simulate(phi, seeds)
    return Materials(phi, found.x, np.asarray(found.m), dict(found.failures))


def _ask_function(
    function: SimulatorFunction, schema: Schema, phi: NDArray[np.float64], seeds: Seeds
) -> Materials:
    try:
        found = function(phi, seeds)
    except Exception as error:
        raise SimulationError(
            f"'simulator' failed at φ = {phi.tolist()[0]} and {len(phi) - 1} setting(s) more: "
            f"{type(error).__name__}: {error}"
        ) from error
    x, values = found if isinstance(found, tuple) and len(found) == 2 else (None, found)
    try:
        v = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"'simulator' returned {type(found).__name__!r}, which holds no numbers; return "
            f"values of shape (N, {len(schema.properties)}), or microstructures and values."
        ) from error
    if v.ndim == 1 and len(schema.properties) == 1:
        v = v[:, None]
    m = schema.scaled(v) if v.shape[-1:] == (len(schema.properties),) else v
    if x is not None:
        x = schema.images.checked(x, len(seeds), "simulator")
    lost = np.flatnonzero(np.isnan(m).any(axis=-1)) if m.ndim == 2 else []
    reasons = {int(i): "it returned NaN" for i in lost}
    return Materials(phi, x, m, reasons)


def _check_process(theirs: ProcessSpace, ours: ProcessSpace) -> None:
    if (ours.names, ours.lower, ours.upper) != (theirs.names, theirs.lower, theirs.upper):
        raise InputError(
            f"'simulator' has the process {theirs.names} in {theirs.lower} to {theirs.upper} but "
            f"the model {ours.names} in {ours.lower} to {ours.upper}; pass the simulator of the "
            "model's data."
        )
