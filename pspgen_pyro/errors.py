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


class InputError(ValueError):
    """An argument cannot be used; the sentence names it. The command line exits with code 2."""


class DataError(InputError):
    """A store on disk is not what the caller takes it for."""


class MissingDependencyError(ImportError):
    """An optional library, or a C compiler, is needed and absent; the sentence says what to
    install."""


class StorageError(OSError):
    """Writing failed (disk full, folder read-only); the sentence names the path and the bytes."""


class TrainingError(ArithmeticError):
    """Training cannot go on; the sentence names the term and the epoch."""


class WorkerError(RuntimeError):
    """Worker processes keep dying; the sentence says what is kept and what to do."""


class SimulationError(RuntimeError):
    """A simulation failed; the sentence says which and why."""
