"""JSON that says one thing only, and small files that carry their own checksum."""

from __future__ import annotations

import hashlib
import json
from math import isfinite
from typing import Annotated, Any

from pydantic import Field

from ..errors import DataError
from .validation import Record, read

__all__ = ["encoded", "newer", "parsed", "sealed", "sha256", "unsealed"]

_DEEPEST = 60


class _Sealed(Record):
    """A sealed file."""

    format: Annotated[int, Field(ge=1)]
    content: dict[str, Any]
    after: str | None = None
    sha256: str


def encoded(content: Any) -> str:
    """The JSON text of some content, one for one content."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parsed(data: bytes | str) -> Any:
    """What JSON says.

    Raises:
        ValueError: If it is no JSON, no UTF-8, says NaN, an infinity or one name twice, or is
            nested more than 60 deep.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        found = json.loads(
            text, object_pairs_hook=_once, parse_constant=_number, parse_float=_number
        )
    except RecursionError as error:
        raise ValueError(f"it is nested more than {_DEEPEST} deep") from error
    _check_depth(found)
    if "\\u" in text:
        # half of a surrogate pair is no text, which only encoding tells
        encoded(found).encode()
    return found


def newer(where: str, found: Any, known: int) -> DataError:
    """The sentence for what a later version of the package wrote.

    Arguments:
        where: What it is, as the subject of the sentence.
        found: The number of its format.
        known: The number that this version knows.
    """
    return DataError(
        f"{where} is of format {found}, this version knows {known}; upgrade pspgen-pyro."
    )


def sealed(content: dict[str, Any], format_: int, after: str | None = None) -> bytes:
    """The bytes of a file with its format and its checksum.

    Arguments:
        content: What it says, ready for JSON.
        format_: The number of its format.
        after: The checksum of the file that it follows; None if it follows none.
    """
    stored: dict[str, Any] = {"format": format_, "content": content}
    covered = content
    if after is not None:
        stored["after"], covered = after, {"after": after, "content": content}
    stored["sha256"] = sha256(encoded(covered).encode())
    return (json.dumps(stored, indent=1, ensure_ascii=False) + "\n").encode()


def unsealed(data: bytes, where: str, known: int, cure: str) -> tuple[dict[str, Any], str | None]:
    """The content of a sealed file, and the checksum of the file that it follows.

    Arguments:
        data: Its bytes.
        where: What it is, as the subject of a sentence.
        known: The number of the newest format that is read.
        cure: What to do if it is damaged.

    Raises:
        DataError: If it is damaged or of a newer format.
    """
    try:
        stored = parsed(data)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); {cure}.") from error
    found = stored.get("format") if isinstance(stored, dict) else None
    if isinstance(found, int) and found > known:
        raise newer(where, found, known)
    try:
        record = read(_Sealed, stored, where.strip("'"))
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; {cure}.") from error
    if data != sealed(record.content, record.format, record.after):
        raise DataError(f"{where} does not have its checksum; {cure}.")
    return record.content, record.after


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r:.80} comes twice")
    return found


def _number(word: str) -> float:
    if not isfinite(number := float(word)):
        raise ValueError(f"{word:.20} is no number")
    return number


def _check_depth(found: Any) -> None:
    level = [found]
    for _ in range(_DEEPEST + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return
        level = [
            part for one in level for part in (one.values() if isinstance(one, dict) else one)
        ]
    raise ValueError(f"it is nested more than {_DEEPEST} deep")
