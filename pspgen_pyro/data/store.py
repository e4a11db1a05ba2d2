"""A triads store on disk: its manifest, its checksums and its repair."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chain import Chain
from ..errors import DataError, InputError
from ..io.folders import CheckedFolder
from ..io.validation import local_path, read
from ..study import CASES, Case
from ..study import case as study_case
from . import layout
from .files import Workplace
from .manifest import KEY, Entry, Manifest, Recipe, version_of
from .plan import Plan, make_plan

__all__ = ["Store", "StoreReport", "case_of", "check_store"]

_COPY = "copy it again, or make it again"


@dataclass(frozen=True)
class StoreReport:
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


def check_store(
    path: str | Path, *, repair: bool = False, source: Case | Chain | None = None
) -> StoreReport:
    """Compares every file of a store with its checksum.

    Arguments:
        path: The store.
        repair: Whether to simulate damaged chunks again. A file is replaced only if the new bytes
            have the recorded checksum.
        source: The case or the chain that made the store; needed for a repair if it is none of
            the study's.

    Raises:
        DataError: If it is not a triads store, it was not simulated but there is something to
            repair, or the repair gives other bytes.
        InputError: If another process repairs it.
    """
    store = Store(local_path(path, "path").absolute())
    folder = store.checked(store.manifest())
    files = folder.files
    damaged = [key for key in files if not _whole(folder, key)]
    known = {*files, KEY}
    unexpected = sorted(set(store.names()) - known)
    chunks = sorted({j for key in damaged if (j := layout.chunk_of(key)) is not None})
    if damaged and repair:
        store.rebuild(damaged, source)
    return StoreReport(len(known), tuple(damaged), tuple(chunks), tuple(unexpected), repair)


@dataclass(frozen=True)
class Store:
    """A complete triads store on disk.

    Arguments:
        path: Its folder.
    """

    path: Path

    def manifest(self) -> Manifest:
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
        folder = CheckedFolder(self.path, "path", _COPY)
        if not os.path.lexists(self.path / KEY) and not self._of_a_format(folder):
            raise DataError(
                f"'path' is {name!r}, which is not a triads store ({layout.FORMAT!r}); make one "
                "with `pspgen simulate`."
            )
        return Manifest.opened(folder)

    def _of_a_format(self, folder: CheckedFolder) -> bool:
        """Whether this says that it is a store."""
        try:
            return version_of(folder.json("zarr.json")["attributes"]["format"]) is not None
        except (DataError, KeyError, TypeError):
            return False

    def checked(self, manifest: Manifest) -> CheckedFolder:
        """The files of the store, with what the manifest knows of them."""
        return CheckedFolder(self.path, "path", self._cure(manifest), manifest.files)

    def _cure(self, manifest: Manifest) -> str:
        """What to do about a damaged file."""
        if manifest.format != layout.FORMAT or manifest.configuration is None:
            return _COPY
        case, chain = manifest.configuration.get("case"), ""
        if case not in CASES:
            chain = " --chain MODULE:FUNCTION"
        command = f"`pspgen data verify {shlex.quote(str(self.path))} --repair{chain}`"
        return f"run {command}, which simulates what is damaged again, or copy it again"

    def check_configuration(self, wanted: dict[str, Any]) -> None:
        """Refuses a store made by another configuration.

        Raises:
            DataError: If the configurations differ.
        """
        self.compare(self.manifest().configuration, wanted, self.path)

    @staticmethod
    def compare(found: Any, wanted: Mapping[str, Any], path: Path) -> None:
        """Names the first entry in which two configurations differ.

        Raises:
            DataError: If there is one.
        """
        difference = _difference(found, wanted)
        if difference is not None:
            key, there, here = difference
            raise DataError(
                f"'out' holds data of another configuration in {str(path)!r}: {key} is "
                f"{there!r} there and {here!r} here; choose another name."
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

    def rebuild(self, damaged: list[str], source: Case | Chain | None) -> None:
        """Makes the damaged files again, and only those.

        Raises:
            DataError: If the store was not simulated, or the new bytes are not those that were
                recorded.
            InputError: If another process works on the store.
        """
        manifest = self.manifest()
        plan = _plan(manifest, source, self.path)
        place = Workplace(self.path)
        with place.locked(resume=True):
            for j in sorted({layout.chunk_of(key) for key in damaged}, key=lambda j: j or -1):
                wanted = [key for key in damaged if layout.chunk_of(key) == j]
                files = (
                    plan.layout.metadata_files()
                    if j is None
                    else plan.layout.chunk_files(j, plan.simulate(j)[0])
                )
                self._replace(place, {key: files[key] for key in wanted}, manifest.files)
            place.discard()

    def _replace(
        self, place: Workplace, files: dict[str, bytes], entries: Mapping[str, Entry]
    ) -> None:
        for key, data in files.items():
            if layout.sha256(data) != entries[key].sha256:
                place.discard()
                raise DataError(
                    f"'path' is {str(self.path)!r}, where {key} cannot be rebuilt: these versions "
                    "of the packages give other bytes than those that wrote it; simulate it again."
                )
        place.put(files, self.path)


def _whole(folder: CheckedFolder, key: str) -> bool:
    try:
        folder.read(key)
    except DataError:
        return False
    return True


def _difference(found: Any, wanted: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The path of the first entry in which two configurations differ, and both entries."""
    if not isinstance(wanted, Mapping) or not isinstance(found, Mapping):
        return None if found == wanted else (key or "configuration", found, wanted)
    for name in sorted({*wanted, *found}):
        inner = f"{key}.{name}" if key else name
        difference = _difference(found.get(name), wanted.get(name), inner)
        if difference is not None:
            return difference
    return None


def _plan(manifest: Manifest, source: Case | Chain | None, path: Path) -> Plan:
    """The plan that a store was simulated by."""
    if manifest.format != layout.FORMAT or manifest.configuration is None:
        made = "saved, not simulated" if manifest.configuration is None else "of the first format"
        raise DataError(
            f"'path' is {str(path)!r}, a store that was {made}, so that nothing can rebuild it; "
            "restore it from a copy, or make it again."
        )
    recipe = read(Recipe, manifest.configuration, f"{path}/{KEY}")
    try:
        chosen = source if source is not None else case_of(recipe)
    except InputError as error:
        raise DataError(
            f"'path' is {str(path)!r}, which no case of the study made; pass the chain that made "
            "it as 'source' (on the command line --chain module:function)."
        ) from error
    sizes = {"replicates": recipe.replicates, "points": recipe.points, "samples": recipe.samples}
    plan = make_plan(chosen, split=recipe.split, seed=recipe.seed, chunk=recipe.chunk, **sizes)
    here = plan.configuration() | {"versions": recipe.versions}
    difference = _difference(manifest.configuration, here)
    if difference is not None:
        raise DataError(
            f"'source' is not what made this store: {difference[0]} is {difference[2]!r} in it "
            f"and {difference[1]!r} in the store; pass the case or the chain it was made with."
        )
    return plan


def case_of(recipe: Recipe) -> Case:
    """The case of the study that a store was simulated from.

    Raises:
        InputError: If it was another chain.
    """
    return study_case(recipe.case or "", recipe.preset or "", recipe.formulation, recipe.solver)
