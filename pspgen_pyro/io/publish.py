"""Whole folders or nothing: write under a temporary name, force to disk, rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, StorageError

__all__ = ["publish_file", "publishing", "refuse_existing", "sync_tree"]


def refuse_existing(out: Path, name: str = "out") -> None:
    """Refuses to write over something, or into a folder that is not there.

    Raises:
        InputError: If `out` exists or its parent does not.
    """
    if out.exists():
        raise InputError(
            f"'{name}' is {str(out)!r}, which exists; choose another name or remove it first."
        )
    if not out.absolute().parent.is_dir():
        raise InputError(
            f"'{name}' is {str(out)!r}, whose parent folder does not exist; create it first."
        )


def sync_tree(folder: Path) -> None:
    """Forces every file and folder below `folder` to disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        sync_tree(out)
    except OSError as error:
        raise StorageError(
            f"writing {str(out)!r} failed: {error.strerror or error}; nothing was kept."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_file(out: Path, text: str, name: str = "out") -> None:
    """Writes one file, all of it or nothing.

    Raises:
        InputError: If `out` exists or its parent does not.
        StorageError: If writing fails.
    """
    refuse_existing(out, name)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, out)
    except OSError as error:
        raise StorageError(
            f"writing {str(out)!r} ({len(text)} characters) failed: {error.strerror}; nothing was "
            "kept."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
