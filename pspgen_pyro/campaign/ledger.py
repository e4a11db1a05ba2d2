"""What counts of all that was told: every material once, under the latest that is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from .journal import Asked, Entry, Experiment, Result

__all__ = ["Ledger", "Receipt"]

_Key = str | tuple[float, ...]


@dataclass(frozen=True)
class Receipt:
    """What a table of results brought.

    Arguments:
        results: How many materials are new, or better known than before.
        failed: How many of them failed.
        pending: How many experiments are still awaited.
        notes: What was understood, and what deserves a second look, in sentences.
    """

    results: int
    failed: int
    pending: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        failed = f", {self.failed} of them failed" if self.failed else ""
        head = f"{self.results} new result(s){failed}; {self.pending} experiment(s) pending"
        return "\n".join([head, *(f"  - {note}" for note in self.notes)])


@dataclass(frozen=True)
class Ledger:
    """The experiments that were asked for and the results that count.

    Results are grouped by the experiment that was asked for, or, of the laboratory's own, by their
    setting.

    Arguments:
        asked: Every experiment that was asked for, by its name, in order.
        groups: The results of each.
        digests: The entry of each table that was told.
        entries: How many entries of the journal it follows from.
    """

    asked: dict[str, Experiment] = field(default_factory=dict)
    groups: dict[_Key, tuple[Result, ...]] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=dict)
    entries: int = 0

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Ledger:
        """What a journal says."""
        ledger = cls()
        for entry in entries:
            ledger = ledger.after(entry)
        return ledger

    @property
    def pending(self) -> tuple[Experiment, ...]:
        """The experiments without a result."""
        return tuple(one for name, one in self.asked.items() if name not in self.groups)

    @property
    def results(self) -> tuple[Result, ...]:
        """Every result that counts."""
        return tuple(result for group in self.groups.values() for result in group)

    def names(self, count: int) -> list[str]:
        """Names for so many new experiments."""
        first = len(self.asked) + 1
        return [f"e{number:04d}" for number in range(first, first + count)]

    def after(self, entry: Entry) -> Ledger:
        """The ledger with one more entry of the journal.

        Raises:
            InputError: If a table contradicts what was told of an experiment before, and does not
                say that it corrects it.
        """
        number = self.entries + 1
        if isinstance(entry, Asked):
            asked = self.asked | {one.id: one for one in entry.experiments}
            return Ledger(asked, self.groups, self.digests, number)
        groups = self.groups | {
            key: self._merged(key, rows, entry.corrects)
            for key, rows in _grouped(entry.results).items()
        }
        return Ledger(self.asked, groups, self.digests | {entry.digest: number}, number)

    def beyond(self, other: Ledger) -> tuple[Result, ...]:
        """The results that are new, or better known, than in an earlier ledger."""
        before, changed = list(other.results), []
        for result in self.results:
            if result in before:
                before.remove(result)
            else:
                changed.append(result)
        return tuple(changed)

    def _merged(self, key: _Key, rows: Sequence[Result], corrects: bool) -> tuple[Result, ...]:
        """What is known of one experiment, or of one setting of the laboratory's own."""
        if corrects:
            return tuple(rows)
        left, fresh, same = list(self.groups.get(key, ())), [], []
        for row in rows:
            old = next((one for one in left if row.matches(one)), None)
            if old is None:
                fresh.append(row)
            else:
                left.remove(old)
                same.append(row.with_what(old))
        if left and fresh and isinstance(key, str):
            raise InputError(
                f"experiment {key!r} was told as {left[0]} before and is {fresh[0]} here; if this "
                "is another material, leave its 'experiment' empty, and if it corrects what was "
                "told, tell it as a correction (correct=True, on the command line --correct)."
            )
        return (*left, *same, *fresh)


def _grouped(results: Sequence[Result]) -> dict[_Key, list[Result]]:
    groups: dict[_Key, list[Result]] = {}
    for one in results:
        groups.setdefault(one.phi if one.experiment is None else one.experiment, []).append(one)
    return groups
