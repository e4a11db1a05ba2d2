r"""Process space: the settings an engineer controls.

A process has :math:`P` settings :math:`\varphi` with names, units and what each can be; the
admissible set :math:`U_\varphi` is what they allow, less what constraints forbid, and the prior
:math:`p(\varphi)` is uniform on it (`settings`, `feasible`). Without more it is the box

.. math:: U_\varphi = [l_1, u_1] \times \dots \times [l_P, u_P].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, InputError
from ..io.validation import Record, check_instance, check_name, check_seed, read, real_array
from .constraints import parse_constraint
from .feasible import Feasible
from .features import Features
from .settings import Fixed, Real, Setting
from .symmetries import Symmetry

__all__ = ["ProcessSpace"]

_ROUNDING = 1e-6


@dataclass(frozen=True)
class ProcessSpace:
    r"""The admissible process parameters :math:`U_\varphi`.

    A box is made from names and bounds; any other space by `of`.

    Arguments:
        names: One name a parameter, in the order of the last axis of `phi`.
        lower: The lower bounds, in the parameters' units.
        upper: The upper bounds.
        units: One unit a parameter; "1" where it has none.
        symmetries: What the process knows of its own symmetries in law; no part of equality.
        settings: What each parameter can be; a real number between its bounds if empty.
        constraints: What parameters must fulfil together, such as "a + b + c = 100", "a <= 2 b"
            or "at most 2 of a, b, c".

    Raises:
        InputError: If the lengths differ, a bound is not finite or inverted, a constraint cannot
            be read, or no setting fulfils all.

    Example:
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> process.check([5.0, 1.0])
        array([5., 1.])
    """

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    units: tuple[str, ...] = ()
    symmetries: tuple[Symmetry, ...] = field(default=(), compare=False)
    settings: tuple[Setting, ...] = ()
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_listed()
        if not self.units:
            object.__setattr__(self, "units", ("1",) * len(self.names))
        if not len(self.names) == len(self.lower) == len(self.upper) == len(self.units):
            raise InputError(
                f"'names', 'lower', 'upper' and 'units' have lengths {len(self.names)}, "
                f"{len(self.lower)}, "
                f"{len(self.upper)} and {len(self.units)}; give one of each for every parameter."
            )
        if not self.settings:
            object.__setattr__(self, "settings", self._box())
        if isinstance(self.constraints, str):
            object.__setattr__(self, "constraints", (self.constraints,))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        ends = tuple(zip(self.lower, self.upper, strict=True))
        if ends != tuple(one.bounds for one in self.settings):
            raise InputError("'settings' do not have these bounds; make the space by `of`.")
        if all(isinstance(one, Fixed) for one in self.settings):
            raise InputError("every setting is fixed; there is nothing to choose.")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InputError(f"'names' has {twice!r} twice; names differ.")
        _ = self.feasible
        for symmetry in self.symmetries:
            symmetry.check_against(self)

    def _check_listed(self) -> None:
        """Makes tuples of lists, and refuses names and units that nobody can read."""
        for entry in ("names", "lower", "upper", "units"):
            check_instance((list, tuple), "one for each parameter", **{entry: vars(self)[entry]})
            object.__setattr__(self, entry, tuple(vars(self)[entry]))
        for entry in ("names", "units"):
            for text in vars(self)[entry]:
                check_name(text, entry)

    def _box(self) -> tuple[Setting, ...]:
        try:
            return tuple(map(Real, self.lower, self.upper, self.units))
        except InputError as error:
            raise InputError(
                f"'lower' {self.lower!r:.80} and 'upper' {self.upper!r:.80} must be finite, each "
                f"lower bound below its upper one: {error}"
            ) from error

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Setting],
        *,
        constraints: str | Sequence[str] = (),
        symmetries: Sequence[Symmetry] = (),
    ) -> ProcessSpace:
        """A process space of settings of any kind.

        Arguments:
            settings: The settings by name.

        Other arguments:
            constraints: What they must fulfil together.
            symmetries: What the process knows of its own symmetries in law.

        Raises:
            InputError: As the constructor does.

        Example:
            >>> from pspgen_pyro.process import Categorical, Integer
            >>> process = ProcessSpace.of(
            ...     {"n": Integer(6, 12), "a": Real(0, 100, "%"), "b": Real(0, 100, "%"),
            ...      "binder": Categorical(("clay", "resin"))},
            ...     constraints="a + b <= 100",
            ... )
            >>> process.shown([8, 20, 30, 1])
            'n = 8, a = 20 %, b = 30 %, binder = resin'
        """
        if not isinstance(settings, Mapping) or not settings:
            raise InputError("'settings' is empty; give at least one setting by its name.")
        wrong = [name for name, one in settings.items() if not isinstance(one, Setting)]
        if wrong:
            raise InputError(
                f"'settings' has {wrong[0]!r}: {settings[wrong[0]]!r:.60}; give a Real, an "
                "Integer, an Ordinal, a Categorical or a Fixed."
            )
        kinds = tuple(settings.values())
        lower, upper = zip(*(one.bounds for one in kinds), strict=True)
        return cls(
            tuple(settings),
            lower,
            upper,
            tuple(one.unit for one in kinds),
            tuple(symmetries),
            kinds,
            (constraints,) if isinstance(constraints, str) else tuple(constraints),
        )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def feasible(self) -> Feasible:
        """The set of admissible settings."""
        parsed = tuple(parse_constraint(text, self.names) for text in self.constraints)
        return Feasible(self.names, self.settings, parsed)

    @property
    def boxed(self) -> bool:
        """Whether every setting is a real number, whatever the others are."""
        return not self.constraints and all(isinstance(one, Real) for one in self.settings)

    @property
    def plain(self) -> bool:
        """Whether it is a box of real numbers that are learned by their values."""
        return not self.constraints and all(one.plain for one in self.settings)

    @cached_property
    def features(self) -> Features:
        """What the networks see."""
        return Features.of(self.settings)

    def coordinates(self, phi: ArrayLike) -> NDArray[np.float64]:
        """The settings as the networks see them, each feature from 0 to 1 over its range, with
        shape `(*, Q)`: distances between settings are those of these coordinates."""
        return self.features.unit(np.asarray(phi, dtype=float))

    def to_json(self) -> dict[str, Any]:
        """The process space, ready for JSON."""
        told: dict[str, Any] = {
            "names": list(self.names),
            "lower": list(self.lower),
            "upper": list(self.upper),
            "units": list(self.units),
            "symmetries": [symmetry.to_json() for symmetry in self.symmetries],
        }
        if not all(one.plain for one in self.settings):
            told["settings"] = [one.to_json() for one in self.settings]
        if self.constraints:
            told["constraints"] = list(self.constraints)
        return told

    @classmethod
    def from_json(cls, spec: Any, where: str = "process") -> ProcessSpace:
        """The process space that `to_json` described.

        Raises:
            DataError: If an entry is missing, unknown or of another type.
        """
        found = read(_Stored, spec, where)
        symmetries = tuple(Symmetry.from_json(one) for one in found.symmetries)
        try:
            settings = tuple(Setting.from_json(one) for one in found.settings)
            return cls(
                found.names,
                found.lower,
                found.upper,
                found.units,
                symmetries,
                settings,
                found.constraints,
            )
        except InputError as error:
            raise DataError(f"'{where}' does not fit together: {error}") from error

    def check(self, phi: ArrayLike) -> NDArray[np.float64]:
        """Returns `phi` as float64 with shape `(*, P)`, or says why it is not in the process
        space. A value off a bound, a level or a sum by no more than the rounding of single
        precision is put on it.

        Raises:
            InputError: If the last axis is not P long, a value is not finite or not allowed, or a
                constraint is violated.
        """
        values = real_array(phi, "phi", "the settings as numbers")
        if values.ndim == 0 or values.shape[-1] != len(self):
            came = 1 if values.ndim == 0 else values.shape[-1]
            raise InputError(
                f"'phi' has {came} parameter(s) but this process has {len(self)}: "
                f"{', '.join(self.names)}; "
                "pass them in that order."
            )
        if not np.isfinite(values).all():
            raise InputError(
                "'phi' holds NaN or infinite values; every process parameter must be a finite "
                "number."
            )
        outside = self.outside(values)
        if outside.any():
            j = int(np.argwhere(outside)[0][-1])
            raise InputError(f"'phi' has {self.why_outside(j, values[outside].flat[0])}.")
        if self.constraints and (off := self.feasible.violated(values)).any():
            where = np.argwhere(off)[0]
            raise InputError(
                f"'phi' has {self.shown(values[tuple(where[:-1])])}, which violates "
                f"{self.constraints[int(where[-1])]!r}; choose settings that fulfil it."
            )
        return self.feasible.placed(values)

    def why_outside(self, j: int, value: float) -> str:
        """Why the value of a parameter is not allowed, and what is."""
        setting, name = self.settings[j], self.names[j]
        if isinstance(setting, Real):
            low, high = setting.bounds
            return (
                f"{name} = {value:g}, outside [{low:g}, {high:g}]; choose a value inside the "
                "process space"
            )
        allowed = setting.describe()
        if setting.words is not None:
            allowed = f"one of {', '.join(f'{k} ({w})' for k, w in enumerate(setting.words))}"
        return f"{name} = {value:g}, which is not allowed; it is {allowed}"

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which entries of φ with shape `(*, P)` lie beyond a bound, or off every level, by more
        than the rounding of single precision."""
        # a bound that went through single precision is still that bound
        slack = _ROUNDING * np.abs([self.lower, self.upper]).max(axis=0)
        outside = (values < self.lower - slack) | (values > self.upper + slack)
        for j, setting in enumerate(self.settings):
            if setting.levels is not None:
                gap = np.abs(values[..., j, None] - setting.levels).min(axis=-1)
                outside[..., j] |= gap > slack[j]
        return outside

    def sample(
        self, shape: int | tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        r"""Draws :math:`\varphi \sim p(\varphi)`, with shape `(*shape, P)`.

        Raises:
            InputError: If `rng` is no generator of numpy.
        """
        check_instance(np.random.Generator, "numpy.random.default_rng(0), for one", rng=rng)
        size = (shape,) if isinstance(shape, int) else shape
        if self.plain:
            return rng.uniform(self.lower, self.upper, size=(*size, len(self)))
        return self.feasible.sample(int(np.prod(size)), rng).reshape(*size, len(self))

    def scattered(self, count: int, seed: int = 0) -> NDArray[np.float64]:
        """Settings evenly all over the space, with shape `(count, P)`: Sobol points in a box,
        draws elsewhere.

        Raises:
            InputError: If the seed is none.
        """
        check_seed(seed)
        if not self.plain:
            return self.sample(count, np.random.default_rng(seed))
        import torch

        engine = torch.quasirandom.SobolEngine(len(self), scramble=True, seed=seed)
        unit = engine.draw(count, dtype=torch.float64).numpy()
        low, high = np.array(self.lower), np.array(self.upper)
        return low + (high - low) * unit

    def within(self, lower: ArrayLike, upper: ArrayLike) -> ProcessSpace:
        """The same space with other bounds of its real settings and without symmetries."""
        ends = zip(
            self.settings, np.asarray(lower).tolist(), np.asarray(upper).tolist(), strict=True
        )
        kinds = [replace(s, low=a, high=b) if isinstance(s, Real) else s for s, a, b in ends]
        return ProcessSpace.of(
            dict(zip(self.names, kinds, strict=True)), constraints=self.constraints
        )

    def grid(self, points: int) -> NDArray[np.float64]:
        """A grid with both ends included, with shape `(N, P)`: `points` values of a real number,
        equally spaced (by its logarithm if it has one), and of anything else every level, or as
        many of them as that; the first parameter varies slowest. Points that violate a constraint
        are left out.

        Raises:
            InputError: If no point is left, as where a sum is constrained.
        """
        axes = [self.axis(j, points) for j in range(len(self))]
        found = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self))
        if self.constraints:
            found = found[~self.feasible.violated(found).any(axis=-1)]
            if not len(found):
                raise InputError(
                    f"no point of a grid of {points} fulfils {' and '.join(self.constraints)}; "
                    "draw settings instead."
                )
        return found

    def axis(self, j: int, points: int) -> NDArray[np.float64]:
        """The values of one parameter on a grid of so many points."""
        setting = self.settings[j]
        low, high = setting.bounds
        if (levels := setting.levels) is not None:
            chosen = np.linspace(0, len(levels) - 1, min(points, len(levels)))
            return levels[chosen.round().astype(int)]
        return np.geomspace(low, high, points) if setting.log else np.linspace(low, high, points)

    def shown(self, phi: ArrayLike) -> str:
        """One φ as people write it: "name = value unit" for each parameter."""
        values = zip(self.names, self.settings, np.asarray(phi, dtype=float), strict=True)
        units = ("" if unit == "1" else f" {unit}" for unit in self.units)
        told = [f"{name} = {setting.shown(v)}" for name, setting, v in values]
        return ", ".join(map("".join, zip(told, units, strict=True)))

    def labelled(self, phi: ArrayLike) -> dict[str, float | str]:
        """One φ by its names, words where the parameter stands for words; ready for JSON."""
        values = zip(self.names, self.settings, np.asarray(phi, dtype=float), strict=True)
        return {n: float(v) if s.words is None else s.shown(v) for n, s, v in values}

    def unlabelled(self, labels: Mapping[str, float | str]) -> NDArray[np.float64]:
        """The φ that `labelled` described, with shape `(P)`.

        Raises:
            InputError: If a name is missing or unknown, a word is none of the parameter's, or the
                setting is not admissible.
        """
        if set(labels) != set(self.names):
            raise InputError(
                f"'phi' names {', '.join(labels)}, but this process has {', '.join(self.names)}; "
                "give each of them."
            )
        found = []
        for name, setting in zip(self.names, self.settings, strict=True):
            value, words = labels[name], setting.words
            if isinstance(value, str) and value not in (words or ()):
                raise InputError(
                    f"'phi' has {name} = {value!r}, which is not allowed; it is "
                    f"{setting.describe()}."
                )
            found.append(words.index(value) if words and isinstance(value, str) else value)
        return self.check(np.array(found, dtype=float))


class _Stored(Record):
    """A process space as JSON holds it."""

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    units: tuple[str, ...] = ()
    symmetries: tuple[dict[str, Any], ...] = ()
    settings: tuple[dict[str, Any], ...] = ()
    constraints: tuple[str, ...] = ()
