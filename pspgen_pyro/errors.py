"""The errors a caller can act on: one sentence on what came, what is allowed, what to do."""

__all__ = [
    "DataError",
    "InputError",
    "MissingDependencyError",
    "SimulationError",
    "StorageError",
    "TrainingError",
    "WorkerError",
]


_LONGEST = 1000


def printable(text: str) -> str:
    """Text in one line without control characters, which are escaped: what is shown of a name
    that came from outside cannot move the cursor, and does not fill the screen."""
    line = " ".join(text.splitlines())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return shown if len(shown) <= _LONGEST else f"{shown[:600]} … {shown[-300:]}"


class _Sentence(Exception):
    """An error whose message is one line that can be shown on any terminal."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(one) if isinstance(one, str) else one for one in args))


class InputError(_Sentence, ValueError):
    """An argument cannot be used; the sentence names it. The command line exits with code 2."""


class DataError(InputError):
    """A store on disk is not what the caller takes it for."""


class MissingDependencyError(_Sentence, ImportError):
    """An optional library, or a C compiler, is needed and absent; the sentence says what to
    install."""


class StorageError(_Sentence, OSError):
    """Writing failed (disk full, folder read-only); the sentence names the path and the bytes."""


class TrainingError(_Sentence, ArithmeticError):
    """Training cannot go on; the sentence names the term and the epoch."""


class WorkerError(_Sentence, RuntimeError):
    """Worker processes keep dying; the sentence says what is kept and what to do."""


class SimulationError(_Sentence, RuntimeError):
    """A simulation failed; the sentence says which and why."""
