"""Files that are whole or absent: written aside, forced to disk, renamed.

A folder `<out>.partial` holds a store under construction:

| name | content |
|---|---|
| `lock` | an advisory lock held by the run that writes |
| `configuration.json` | what decides the bytes of the store |
| `store/` | the finished files of the store |
| `records/` | one file a finished chunk: the checksums of its files |
| `temporary/` | files that are not whole yet |
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError
from ..io.publish import storage_error, sync, write_file

__all__ = ["Workplace"]

_KEPT = "what was finished before is kept, so make room and resume"


@dataclass(frozen=True)
class Workplace:
    """The folder `<out>.partial` beside the store that it will become.

    Arguments:
        out: The store's final path, absolute.
    """

    out: Path

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".partial")

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def configuration(self) -> Path:
        return self.folder / "configuration.json"

    @property
    def temporary(self) -> Path:
        return self.folder / "temporary"

    def record(self, j: int) -> Path:
        """The completion record of chunk j."""
        return self.folder / "records" / f"{j:06d}.json"

    @contextmanager
    def locked(self, *, resume: bool) -> Iterator[None]:
        """Holds the folder for this run alone; creates it unless there is one to resume.

        Raises:
            InputError: If another run holds it, or an interrupted run left it and `resume` is
            false.
            StorageError: If it cannot be created.
        """
        fresh = not self.folder.exists()
        try:
            self.folder.mkdir(exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(self.folder, error, _KEPT, 0) from error
        try:
            self._hold(descriptor)
            if not (fresh or resume):
                raise InputError(
                    f"'out' has an unfinished store beside it, {str(self.folder)!r}; resume that "
                    "run (--resume), or remove the folder to start again."
                )
            shutil.rmtree(self.temporary, ignore_errors=True)
            for folder in (self.store, self.record(0).parent, self.temporary):
                folder.mkdir(exist_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _hold(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = os.stat(self.folder / "lock").st_ino == os.fstat(descriptor).st_ino
        except OSError:
            current = False
        if not current:
            raise InputError(
                f"'out' is being written by another run, which holds {str(self.folder)!r}; wait "
                "for it, or choose another name."
            )

    def put(self, files: dict[str, bytes], store: Path | None = None) -> None:
        """Writes files of a store, each by its key; of the one under construction if not told.

        The names are forced to disk by `publish` only: until then, a name lost to a power cut is a
        chunk without its file, which the next run misses and makes again.

        Raises:
            StorageError: If that fails.
        """
        for key, data in files.items():
            path = (store or self.store) / key
            write_file(path, data, self.temporary, _KEPT)

    def put_json(self, path: Path, content: Any) -> None:
        """Writes a small file of the workplace itself."""
        write_file(path, json.dumps(content, indent=1).encode(), self.temporary, _KEPT)

    def read_json(self, path: Path) -> Any:
        """The content of a small file of the workplace.

        Raises:
            DataError: If it is no JSON.
        """
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise DataError(
                f"'out' has an unfinished store whose {path} is damaged; remove the folder "
                f"{path.parent} and start again."
            ) from error

    def publish(self) -> None:
        """Turns the finished store into `out`, in one step, and removes the rest.

        Raises:
            StorageError: If the store cannot be renamed.
        """
        try:
            for folder in (*filter(Path.is_dir, self.store.iterdir()), self.store):
                sync(folder)
            os.rename(self.store, self.out)
            sync(self.out.parent)
        except OSError as error:
            raise storage_error(self.out, error, _KEPT, 0) from error
        self.discard()

    def discard(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
