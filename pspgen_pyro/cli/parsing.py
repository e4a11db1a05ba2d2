"""Reading the command line by tyro: numbers without underscores, errors in one line each."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

from ..errors import InputError

__all__ = ["parsed"]

_FRAME = re.compile(r"[│╭╮╰╯]")
_END = re.compile(r"\s*(?:─{3,}.*|Got errors:)\s*")
_NAMES = {int: "INT", float: "FLOAT"}


def parsed(commands: Any, about: str, args: Sequence[str]) -> Any:
    """The command that the words of a command line say.

    Arguments:
        commands: The commands, as tyro reads them.
        about: What they do, for the help.
        args: The words.

    Raises:
        InputError: If they cannot be read; what tyro has to say of it, in one line.
        SystemExit: If they ask for help.
    """
    said = io.StringIO()
    registry = ConstructorRegistry()
    registry.primitive_rule(_number_rule)
    try:
        with registry, redirect_stderr(said):
            return tyro.cli(
                commands,
                prog="pspgen",
                description=about,
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as exit_:
        if not exit_.code:
            raise
    raise InputError(_in_one_line(said.getvalue()))


def _number_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How an int and a float are read; None of any other type, which tyro reads."""
    if info.type not in _NAMES:
        return None
    kind: Callable[[str], Any] = info.type  # type: ignore[assignment]

    def read(words: list[str]) -> Any:
        if "_" in words[0]:
            raise ValueError(f"{words[0]!r} is no number")
        return kind(words[0])

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=_NAMES[info.type],  # type: ignore[index]
        instance_from_str=read,
        is_instance=lambda value: type(value) is kind,
        str_from_instance=lambda value: [str(value)],
    )


def _in_one_line(box: str) -> str:
    """What tyro draws as a box: its text up to the first rule."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = _FRAME.sub("", line)
        if _END.fullmatch(text):
            break
        lines += text.split()
    return f"{' '.join(lines).rstrip('.')}; `pspgen --help` tells the options."
