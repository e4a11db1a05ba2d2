"""Where a number comes from: the versions and the machine that every published result names."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType
from typing import Any

__all__ = ["environment", "name_of", "versions"]

_PACKAGES = (
    "pspgen-pyro",
    "numpy",
    "scipy",
    "numba",
    "torch",
    "pyro-ppl",
    "arviz",
    "zarr",
    "xarray",
    "dolfinx-solver-real",
    "fenics-dolfinx",
)


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """The installed version of each package; absent ones are left out.

    Example:
        >>> sorted(versions(["numpy", "no-such-package"]))
        ['numpy']
    """
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, Any]:
    """The command, the versions and the machine of this process, ready for JSON.

    Example:
        >>> sorted(environment())
        ['command', 'cores', 'processor', 'python', 'system', 'threads', 'versions']
    """
    return {
        "command": " ".join(["python", *map(_portable, sys.argv)]),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "versions": versions(),
    }


def name_of(function: Callable[..., Any]) -> str:
    """Where a function lives, as module:name; of a callable object, where its class does.

    Example:
        >>> name_of(versions)
        'pspgen_pyro.io.provenance:versions'
    """
    home: Any = function if isinstance(function, FunctionType) else type(function)
    return f"{home.__module__}:{home.__qualname__}"


def _portable(argument: str) -> str:
    """An argument of the command, without the folders of this machine."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    inside = path.is_relative_to(Path.cwd())
    return path.relative_to(Path.cwd()).as_posix() if inside else path.name


def _processor() -> str:
    """The model name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
