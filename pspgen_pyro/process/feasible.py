r"""The settings that fulfil the constraints of a process: drawn, checked, put in their place.

A *slice* fixes every setting that is discrete and every one that "at most k of …" makes zero; what
is left of the real settings is a polytope. Where constraints bind discrete settings each feasible
slice is as likely as any other, and a slice's real settings are uniform on their polytope. Without
constraints that is the product of the settings' own priors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .constraints import AtMost, Constraint, Linear
from .polytope import Polytope
from .settings import Setting

__all__ = ["Feasible"]

Array = NDArray[np.float64]
_MOST = 4096
_ROUNDING = 1e-6
_EDGE, _EXACT = 1e-10, 1e-13
_TRIES = 1000


@dataclass(frozen=True, eq=False)
class Feasible:
    """The set of settings that a process allows.

    Arguments:
        names: The names of the settings.
        settings: The settings.
        constraints: What binds them.

    Raises:
        InputError: If a constraint binds what it cannot, or no setting fulfils all.
    """

    names: tuple[str, ...]
    settings: tuple[Setting, ...]
    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        for one in self.constraints:
            for name in one.names:
                self._check_bound(one, self.settings[self.names.index(name)], name)
        if self.constraints and not self._any():
            told = "; ".join(repr(one.text) for one in self.constraints)
            raise InputError(
                f"no setting within the bounds fulfils all constraints ({told}); widen the "
                "bounds, or relax one of them."
            )

    def _any(self) -> bool:
        """Whether some setting fulfils all constraints; of very many combinations of levels, some
        are tried."""
        relaxed = self._polytope(np.full(len(self.names), np.nan))
        if relaxed.centre is None:
            return False
        if self.count(self.bound) > _MOST:
            self._drawn_slice(np.random.default_rng(0))
            return True
        return next(self._feasible(self._all(self.bound)), None) is not None

    def _check_bound(self, constraint: Constraint, setting: Setting, name: str) -> None:
        if setting.words is not None:
            raise InputError(
                f"'constraints' has {constraint.text!r}, but {name} stands for names, which "
                "cannot be added; bind numbers alone."
            )
        if setting.log and isinstance(constraint, Linear):
            raise InputError(
                f"'constraints' has {constraint.text!r}, but {name} is drawn by its logarithm; "
                "declare it without 'log', or leave it out of the constraint."
            )

    @property
    def lower(self) -> Array:
        """The lower bounds."""
        return np.array([setting.bounds[0] for setting in self.settings])

    @property
    def upper(self) -> Array:
        """The upper bounds."""
        return np.array([setting.bounds[1] for setting in self.settings])

    @cached_property
    def width(self) -> Array:
        """The distances between the bounds; one where there is none."""
        width = self.upper - self.lower
        return np.where(width > 0, width, 1.0)

    @cached_property
    def discrete(self) -> NDArray[np.bool_]:
        """Which settings have levels."""
        return np.array([setting.levels is not None for setting in self.settings])

    @cached_property
    def linear(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        """The weights, with shape `(C, P)`, and the numbers of the linear constraints, and which
        of them are equalities."""
        rows = [one for one in self.constraints if isinstance(one, Linear)]
        weights = np.array([one.row(self.names) for one in rows]).reshape(-1, len(self.names))
        equal = np.array([one.relation == "=" for one in rows], dtype=bool)
        return weights, np.array([one.bound for one in rows]), equal

    @cached_property
    def bound(self) -> NDArray[np.bool_]:
        """Which settings a constraint binds."""
        bound = {name for one in self.constraints for name in one.names}
        return np.array([name in bound for name in self.names])

    def count(self, columns: NDArray[np.bool_] | None = None) -> int:
        """The number of combinations of the discrete settings, before constraints."""
        chosen = np.ones(len(self.names), bool) if columns is None else columns
        sizes = [
            len(s.levels)
            for s, c in zip(self.settings, chosen, strict=True)
            if c and s.levels is not None
        ]
        return math.prod(sizes) * len(self._supports)

    @cached_property
    def slices(self) -> list[tuple[Array, Polytope]] | None:
        """Every feasible slice of all settings: φ with NaN for what is free, and the polytope of
        the free ones in units of their widths; None if there are too many to list."""
        return self._listed(np.ones(len(self.names), bool))

    @cached_property
    def _bound_slices(self) -> list[tuple[Array, Polytope]] | None:
        """Those of the settings that are bound."""
        return self._listed(self.bound)

    def _listed(self, columns: NDArray[np.bool_]) -> list[tuple[Array, Polytope]] | None:
        return list(self._feasible(self._all(columns))) if self.count(columns) <= _MOST else None

    @property
    def supports(self) -> int:
        """In how many ways "at most k of …" can make settings zero."""
        return len(self._supports)

    def held(self, phi: Array) -> NDArray[np.bool_]:
        """Which entries of φ, with shape `(*, P)`, stay in their slice: the discrete ones, and
        zeros by "at most k of …"."""
        return np.asarray(self.discrete | (self._may_be_zero & (phi == 0)))

    @cached_property
    def _supports(self) -> list[frozenset[int]]:
        """The sets of settings that are zero, one for each choice of those that are not."""
        found = [frozenset[int]()]
        for one in self.constraints:
            if isinstance(one, AtMost):
                columns = [self.names.index(name) for name in one.names]
                zero = [
                    frozenset(z) for z in itertools.combinations(columns, len(columns) - one.count)
                ]
                found = list(dict.fromkeys(a | b for a in found for b in zero))
        return found

    def _all(self, columns: NDArray[np.bool_]) -> Iterator[Array]:
        """Every combination of the levels of the chosen settings, NaN for what is free."""
        levels = [
            s.levels if c and s.levels is not None else np.array([np.nan])
            for s, c in zip(self.settings, columns, strict=True)
        ]
        for zero in self._supports:
            chosen = [np.zeros(1) if j in zero else one for j, one in enumerate(levels)]
            if all(self._allows(j, 0.0) for j in zero):
                yield from map(np.array, itertools.product(*chosen))

    def _allows(self, j: int, value: float) -> bool:
        levels = self.settings[j].levels
        if levels is not None:
            return bool((levels == value).any())
        return bool(self.lower[j] <= value <= self.upper[j])

    def _feasible(self, fixed: Iterator[Array]) -> Iterator[tuple[Array, Polytope]]:
        for one in fixed:
            polytope = self._polytope(one)
            if polytope.centre is not None:
                yield one, polytope

    def _polytope(self, fixed: Array) -> Polytope:
        """The bound settings that are free in a slice, each from 0 to 1."""
        free = np.isnan(fixed) & self.bound
        weights, bound, equal = self.linear
        rest = bound - weights @ np.where(free, self.lower, np.nan_to_num(fixed))
        scaled = weights[:, free] * self.width[free]
        norm = np.linalg.norm(scaled, axis=1)
        norm = np.where(norm > 0, norm, np.abs(weights * self.width).sum(axis=1))[:, None]
        scaled, rest = scaled / norm, rest / norm[:, 0]
        size = int(free.sum())
        return Polytope(
            scaled[equal],
            rest[equal],
            np.concatenate([scaled[~equal], np.eye(size), -np.eye(size)]),
            np.concatenate([rest[~equal], np.ones(size), np.zeros(size)]),
        )

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draws from the prior, with shape `(count, P)`."""
        phi = np.stack([_drawn(one, count, rng) for one in self.settings], axis=-1)
        if not self.constraints:
            return phi
        for (fixed, polytope), rows in self._drawn_slices(count, rng):
            self._put(phi, rows, fixed, polytope, rng)
        return self.placed(phi)

    def sample_each(self, count: int, rng: np.random.Generator) -> Array:
        """Draws from every slice, which can be listed, with shape `(slices · count, P)`."""
        assert self.slices is not None
        parts = []
        for fixed, polytope in self.slices:
            phi = np.stack([_drawn(one, count, rng) for one in self.settings], axis=-1)
            self._put(phi, np.arange(count), fixed, polytope, rng)
            parts.append(phi)
        return self.placed(np.concatenate(parts))

    def _put(
        self,
        phi: Array,
        rows: NDArray[np.int64],
        fixed: Array,
        polytope: Polytope,
        rng: np.random.Generator,
    ) -> None:
        """Puts some rows of φ into a slice."""
        free = np.isnan(fixed)
        inside = free & self.bound
        drawn = polytope.sample(len(rows), rng).clip(0, 1)
        phi[np.ix_(rows, np.flatnonzero(~free))] = fixed[~free]
        phi[np.ix_(rows, np.flatnonzero(inside))] = self.lower[inside] + self.width[inside] * drawn

    def near(self, phi: Array, reach: Array, rng: np.random.Generator) -> Array:
        """Admissible settings around others.

        Arguments:
            phi: The others, with shape `(N, P)`.
            reach: How far, as a share of the widths, with shape `(N, 1)`; a discrete setting is
                drawn anew with that probability.
            rng: The source of randomness.
        """
        step = reach * rng.standard_normal(phi.shape)
        moved = phi + self.width * step
        for j, setting in enumerate(self.settings):
            low, high = setting.bounds
            if setting.levels is not None:
                anew = rng.uniform(size=len(phi)) < reach[:, 0]
                moved[:, j] = np.where(anew, rng.choice(setting.levels, len(phi)), phi[:, j])
            elif setting.log:
                moved[:, j] = phi[:, j] * (high / low) ** step[:, j]
        if not self.constraints:
            return np.clip(moved, self.lower, self.upper)
        moved = self.placed(np.where(self.held(phi) & ~self.discrete, phi, moved))
        return np.where(self.violated(moved).any(axis=-1, keepdims=True), phi, moved)

    def _drawn_slices(
        self, count: int, rng: np.random.Generator
    ) -> Iterator[tuple[tuple[Array, Polytope], NDArray[np.int64]]]:
        """Slices of the bound settings, and the numbers of the draws that lie in each."""
        if (listed := self._bound_slices) is not None:
            chosen = rng.integers(len(listed), size=count)
            for k in np.unique(chosen):
                yield listed[k], np.flatnonzero(chosen == k)
            return
        for row in range(count):
            yield self._drawn_slice(rng), np.array([row])

    def _drawn_slice(self, rng: np.random.Generator) -> tuple[Array, Polytope]:
        """A slice by rejection, where there are too many to list."""
        for _ in range(_TRIES):
            zero = self._supports[rng.integers(len(self._supports))]
            fixed = np.full(len(self.names), np.nan)
            for j, setting in enumerate(self.settings):
                if j in zero:
                    fixed[j] = 0.0
                elif self.bound[j] and setting.levels is not None:
                    fixed[j] = rng.choice(setting.levels)
            if all(self._allows(j, 0.0) for j in zero):
                for found in self._feasible(iter([fixed])):
                    return found
        raise InputError(
            f"of {_TRIES} combinations of the discrete settings none fulfils the constraints "
            f"({'; '.join(repr(one.text) for one in self.constraints)}); relax one, or declare "
            "fewer levels."
        )

    def violated(self, phi: Array, rounding: float = _ROUNDING) -> NDArray[np.bool_]:
        """Which constraints are violated by more than a rounding error, with shape `(*, C)`.

        Arguments:
            phi: The settings, with shape `(*, P)`.
            rounding: The largest error, as a share of the largest terms.
        """
        return np.stack([self._off(one, phi, rounding) for one in self.constraints], axis=-1)

    def _off(self, one: Constraint, phi: Array, rounding: float) -> NDArray[np.bool_]:
        if isinstance(one, AtMost):
            columns = [self.names.index(name) for name in one.names]
            other = np.abs(phi[..., columns]) > rounding * self.width[columns]
            return np.asarray(other.sum(axis=-1) > one.count)
        row = one.row(self.names)
        size = abs(one.bound) + np.abs(row) @ np.maximum(np.abs(self.lower), np.abs(self.upper))
        off = phi @ row - one.bound
        return np.asarray((np.abs(off) if one.relation == "=" else off) > rounding * size)

    def met(self, phi: Array) -> list[str]:
        """The inequalities that one φ meets with equality."""
        found = []
        for one in self.constraints:
            if isinstance(one, Linear) and one.relation == "<=":
                row = one.row(self.names)
                if one.bound - row @ phi <= _ROUNDING * (np.abs(row) @ self.width):
                    found.append(one.text)
        return found

    def placed(self, phi: Array) -> Array:
        """Settings a rounding error away put on their bounds, their levels and their sums."""
        phi = np.clip(phi, self.lower, self.upper)
        for end in (self.lower, self.upper):
            phi = np.where(np.abs(phi - end) <= _EDGE * self.width, end, phi)
        for j, setting in enumerate(self.settings):
            if setting.levels is not None:
                phi[..., j] = setting.levels[_nearest(setting.levels, phi[..., j])]
        for one in self.constraints:
            if isinstance(one, AtMost):
                columns = [self.names.index(name) for name in one.names]
                small = np.abs(phi[..., columns]) <= _ROUNDING * self.width[columns]
                zero = small & [self._allows(j, 0.0) for j in columns]
                phi[..., columns] = np.where(zero, 0.0, phi[..., columns])
        return self._on_sums(phi, ~self.held(phi))

    def along(self, phi: Array, j: int, values: Array) -> tuple[Array, NDArray[np.bool_]]:
        """One φ with its entry j at other values, what a sum binds to it moved along, with shape
        `(V, P)`, and which of these are allowed."""
        line = np.tile(phi, (len(values), 1))
        line[:, j] = values
        if not self.constraints:
            return line, np.ones(len(values), bool)
        movable = ~self.held(line)
        movable[:, j] = False
        line = self._on_sums(line, movable)
        return line, ~self.violated(line).any(axis=-1)

    def _on_sums(self, phi: Array, movable: NDArray[np.bool_]) -> Array:
        """Moves settings, in turn for every sum that is off, in proportion to weight × width²,
        until none is."""
        weights, bound, equal = self.linear
        size = np.abs(weights) @ np.maximum(np.abs(self.lower), np.abs(self.upper)) + np.abs(bound)
        for _ in range(100):
            off = phi @ weights.T - bound
            off = np.where(equal, off, off.clip(0))
            if (np.abs(off) <= _EXACT * size).all():
                break
            for i in range(len(bound)):
                rest = phi @ weights[i] - bound[i]
                rest = rest if equal[i] else rest.clip(0)
                # a setting on the bound that it would leave stays
                way = weights[i] * np.sign(rest)[..., None]
                stuck = ((way > 0) & (phi <= self.lower)) | ((way < 0) & (phi >= self.upper))
                share = np.where(movable & ~stuck, weights[i] * self.width**2, 0.0)
                total = share @ weights[i]
                step = np.where(total > 0, rest / np.where(total > 0, total, 1.0), 0.0)
                phi = np.clip(phi - step[..., None] * share, self.lower, self.upper)
        return phi

    @cached_property
    def _may_be_zero(self) -> NDArray[np.bool_]:
        names = {n for one in self.constraints if isinstance(one, AtMost) for n in one.names}
        return np.array([name in names for name in self.names])


def _drawn(setting: Setting, count: int, rng: np.random.Generator) -> Array:
    if setting.levels is not None:
        return rng.choice(setting.levels, size=count)
    low, high = setting.bounds
    if setting.log:
        return np.exp(rng.uniform(math.log(low), math.log(high), size=count)).clip(low, high)
    return rng.uniform(low, high, size=count)


def _nearest(levels: Array, values: Array) -> NDArray[np.int64]:
    middles = (levels[1:] + levels[:-1]) / 2
    return np.searchsorted(middles, values)
