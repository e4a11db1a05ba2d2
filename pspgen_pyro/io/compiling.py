"""Compiled kernels, kept on disk under a name that says which sources they were compiled from.

numba watches the file of a kernel, not the files of the kernels that it calls. Here the name of
every file of machine code holds the hash of all sources that hold kernels, so that an upgraded
package never finds the machine code of another one. Where the files lie is numba's own choice:
the folder `NUMBA_CACHE_DIR` if it is set, `__pycache__` beside the source, or the user's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache

__all__ = ["FOLDERS", "kernel"]

FOLDERS = ("properties", "structure")
"""The folders of the package that hold the kernels, and whatever the kernels read."""


def _hash_of_sources() -> str:
    package = Path(__file__).parents[1]
    found = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(path for folder in FOLDERS for path in (package / folder).glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


_HASH = _hash_of_sources()


class _Named(CompileResultCacheImpl):
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{_HASH}"


class _Cache(FunctionCache):
    _impl_class = _Named


def kernel[**P, R](**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that compiles a function by `numba.njit` and keeps its machine code on disk.

    Where no folder can be written to, every process compiles for itself.

    Arguments:
        options: Those of `numba.njit`, without `cache`.

    Example:
        >>> from pspgen_pyro.properties.front import fours
        >>> fours(5)
        8
    """

    def compiled(function: Callable[P, R]) -> Callable[P, R]:
        dispatcher: Any = njit(**options)(function)
        # numba raises RuntimeError where it finds no folder
        with suppress(RuntimeError):
            dispatcher._cache = _Cache(function)  # what `cache=True` does, with our names
        return dispatcher

    return compiled
