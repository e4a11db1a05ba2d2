"""Reading a triads store, and checking every byte of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ..errors import DataError
from ..study import Case
from ..study import case as study_case
from . import layout
from .files import Workplace
from .plan import Plan

__all__ = ["Report", "Store", "open_triads", "verify"]


def open_triads(path: str | Path, *, excluded: bool = False) -> xr.Dataset:
    """Opens a complete triads store; the arrays are read when they are used.

    Arguments:
        path: The store.
        excluded: Whether to keep the triads of the region without training data (Case 2).

    Returns:
        The triads: `phi (sample, parameter)`, `x (sample, row, column)`, `k`, `m` and `percolates`
        `(sample, property)`, and `phi_index`, `replicate`, `fold`, `excluded` `(sample)`. A sample
        whose simulation failed has NaN in k and m.

    Raises:
        DataError: If there is no such store, it is unfinished, or it is not a triads store.
    """
    Store(Path(path)).manifest()
    triads = xr.open_zarr(path, consolidated=False, chunks=None)
    for name in ("parameter", "property"):
        triads[name] = [str(label) for label in triads[name].values]
    if excluded or not triads["excluded"].any():
        return triads
    return triads.isel(sample=~triads["excluded"].values)


@dataclass(frozen=True)
class Report:
    """What a check of a store found.

    Arguments:
        files: The number of files checked.
        damaged: The files that are missing or have other bytes than the manifest says.
        chunks: The chunks that hold damaged files.
        unexpected: The files that the manifest does not know.
        repaired: Whether the damaged files were rebuilt.
    """

    files: int
    damaged: tuple[str, ...]
    chunks: tuple[int, ...]
    unexpected: tuple[str, ...]
    repaired: bool = False

    @property
    def sound(self) -> bool:
        """Whether the store is as it was written, now."""
        return not self.unexpected and (self.repaired or not self.damaged)


def verify(path: str | Path, *, repair: bool = False, case: Case | None = None) -> Report:
    """Compares every file of a store with its checksum.

    Arguments:
        path: The store.
        repair: Whether to simulate damaged chunks again. A file is replaced only if the new bytes
            have the recorded checksum.
        case: The case that made the store; needed for a repair if it is none of the study's.

    Raises:
        DataError: If it is not a triads store, or the repair gives other bytes.
        InputError: If another process repairs it.
    """
    store = Store(Path(path).absolute())
    digests: dict[str, str] = store.manifest()["files"]
    damaged = [key for key, digest in digests.items() if store.digest(key) != digest]
    known = {*digests, "manifest/zarr.json"}
    unexpected = sorted(set(store.names()) - known)
    chunks = sorted({j for key in damaged if (j := layout.chunk_of(key)) is not None})
    if damaged and repair:
        store.rebuild(damaged, case)
    return Report(len(known), tuple(damaged), tuple(chunks), tuple(unexpected), repair)


@dataclass(frozen=True)
class Store:
    """A complete triads store on disk.

    Arguments:
        path: Its folder.
    """

    path: Path

    def manifest(self) -> dict[str, Any]:
        """The manifest, after a check of its own checksum.

        Raises:
            DataError: If this is not a complete triads store.
        """
        name = str(self.path)
        if not self.path.is_dir():
            left = (
                " It was interrupted: resume it." if Workplace(self.path).folder.exists() else ""
            )
            raise DataError(f"'path' is {name!r}, where there is no triads store.{left}")
        root = self._attributes("zarr.json")
        if root.get("format") != layout.FORMAT and not (self.path / "manifest").is_dir():
            raise DataError(
                f"'path' is {name!r}, which is not a triads store ({layout.FORMAT!r}); make one "
                "with `pspgen simulate`."
            )
        content = self._attributes("manifest/zarr.json")
        digest = content.pop("sha256", None)
        if not content or digest != layout.manifest_digest(content):
            raise DataError(
                f"'path' is {name!r}, a triads store whose manifest is damaged; simulate it again."
            )
        return content

    def check_configuration(self, wanted: dict[str, Any]) -> None:
        """Refuses a store made by another configuration.

        Raises:
            DataError: If the configurations differ.
        """
        self.compare(self.manifest()["configuration"], wanted, self.path)

    @staticmethod
    def compare(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
        """Names the first entry in which two configurations differ.

        Raises:
            DataError: If there is one.
        """
        for key in wanted:
            if found.get(key) != wanted[key]:
                raise DataError(
                    f"'out' holds data of another configuration in {str(path)!r}: {key} is "
                    f"{found.get(key)!r} there and {wanted[key]!r} here; choose another name."
                )

    def names(self) -> list[str]:
        """The relative path of every file, sorted."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.path).as_posix() for path in files)

    def digest(self, key: str | None = None) -> str:
        """The SHA-256 of one file ("" if it is missing), or of the names and bytes of all."""
        if key is not None:
            path = self.path / key
            return layout.sha256(path.read_bytes()) if path.is_file() else ""
        lines = [f"{name} {self.digest(name)}" for name in self.names()]
        return layout.sha256("\n".join(lines).encode())

    def rebuild(self, damaged: list[str], case: Case | None) -> None:
        """Makes the damaged files again, and only those.

        Raises:
            DataError: If the new bytes are not those that were recorded.
            InputError: If another process works on the store.
        """
        manifest = self.manifest()
        plan = _plan(manifest["configuration"], case)
        place = Workplace(self.path)
        with place.locked(resume=True):
            for j in sorted({layout.chunk_of(key) for key in damaged}, key=lambda j: j or -1):
                wanted = [key for key in damaged if layout.chunk_of(key) == j]
                files = (
                    layout.metadata_files(plan)
                    if j is None
                    else layout.chunk_files(plan, j, plan.simulate(j)[0])
                )
                self._replace(place, {key: files[key] for key in wanted}, manifest["files"])
            place.discard()

    def _replace(self, place: Workplace, files: dict[str, bytes], digests: dict[str, str]) -> None:
        for key, data in files.items():
            if layout.sha256(data) != digests[key]:
                place.discard()
                raise DataError(
                    f"'path' is {str(self.path)!r}, where {key} cannot be rebuilt: these "
                    "versions of the "
                    "packages give other bytes than those that wrote it; simulate it again."
                )
        place.put(files, self.path)

    def _attributes(self, key: str) -> dict[str, Any]:
        """The attributes in a Zarr metadata file, or none if it cannot be read."""
        try:
            return dict(json.loads((self.path / key).read_bytes())["attributes"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _plan(configuration: dict[str, Any], case: Case | None) -> Plan:
    """The plan of a stored configuration."""
    c = configuration
    chosen = case or study_case(c["case"], c["preset"], c["formulation"], c["solver"])
    points = c["samples"] // c["replicates"]
    plan = Plan(chosen, c["split"], points, c["replicates"], c["seed"], c["chunk"])
    made = plan.configuration() | {"versions": c["versions"]}
    if made != c:
        raise DataError(
            "'case' is not the one that made this store; pass the case it was made with."
        )
    return plan
