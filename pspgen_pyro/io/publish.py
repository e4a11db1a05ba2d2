"""Whole files and folders or nothing: write under a temporary name, force to disk, rename."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, StorageError
from ..io.validation import local_path

__all__ = [
    "publish_file",
    "publish_new",
    "publishing",
    "refuse_existing",
    "storage_error",
    "sync",
    "sync_tree",
    "write_file",
]

_NOTHING = "nothing was kept"


def refuse_existing(out: Path, name: str = "out") -> None:
    """Refuses to write over something, or into a folder that is not there.

    Raises:
        InputError: If `out` exists, is no name that a file can have, or its parent does not exist
            or cannot be written to.
    """
    out = local_path(out, name)
    if out.exists() or out.is_symlink():
        raise InputError(
            f"'{name}' is {str(out)!r}, which exists; choose another name or remove it first."
        )
    if not out.absolute().parent.is_dir():
        raise InputError(
            f"'{name}' is {str(out)!r}, whose parent folder does not exist; create it first."
        )
    if not os.access(out.absolute().parent, os.W_OK | os.X_OK):
        raise InputError(
            f"'{name}' is {str(out)!r}, in a folder that you may not write to; choose another."
        )


def sync(path: Path) -> None:
    """Forces a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Forces every file and folder below `folder` to disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def _write(path: Path, data: bytes) -> None:
    """Writes a new file and forces it to disk."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_file(path: Path, data: bytes, aside: Path, kept: str = _NOTHING) -> None:
    """Writes a file aside, forces it to disk and renames it to `path`.

    Arguments:
        path: The file, whose folder is made if it is not there.
        data: Its bytes.
        aside: The folder for what is not whole yet, on the same disk.
        kept: What is left if it fails, for the sentence of the error.

    Raises:
        StorageError: If that fails; `path` is then what it was before.
    """
    draft = aside / f".{path.name}.{uuid.uuid4().hex}"
    try:
        try:
            _write(draft, data)
            path.parent.mkdir(exist_ok=True)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error, kept, len(data)) from error


def publish_new(path: Path, data: bytes) -> bool:
    """Writes a file that nobody else has written, all of it or nothing; False if somebody has.

    Of any number of processes that write one path at once, one succeeds.

    Raises:
        StorageError: If writing fails.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        try:
            _write(draft, data)
            # unlike a rename, a link never replaces
            os.link(draft, path)
            sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(path, error, size=len(data)) from error
    return True


@contextmanager
def publishing(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block ends well and vanishes when it does
    not.

    Raises:
        InputError: If `out` exists or its parent does not.
        StorageError: If writing fails.
    """
    refuse_existing(out)
    parent = out.absolute().parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=parent))
    except OSError as error:
        raise StorageError(f"cannot write below {str(parent)!r}: {error.strerror}.") from error
    try:
        yield folder
        folder.chmod(0o755)
        sync_tree(folder)
        os.replace(folder, out)
        sync(parent)
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(out, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_file(out: Path, text: str, name: str = "out") -> None:
    """Writes one file, all of it or nothing.

    Raises:
        InputError: If `out` exists or its parent does not.
        StorageError: If writing fails.
    """
    refuse_existing(out, name)
    write_file(out, text.encode(), out.absolute().parent)


def storage_error(
    path: Path, error: OSError, kept: str = _NOTHING, size: int | None = None
) -> StorageError:
    """The sentence for a failed write."""
    count = "" if size is None else f" ({size} bytes)"
    return StorageError(f"writing {str(path)!r}{count} failed: {error.strerror or error}; {kept}.")
