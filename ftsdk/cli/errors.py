"""The door through which every error leaves: to stderr with the next step, and as an exit code."""

import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from ftsdk.cli.console import open_screen, words, write_document
from ftsdk.cli.interrupt import Interrupted
from ftsdk.errors import FtsdkError

_OVERRIDE = re.compile(r"--([A-Za-z_]\w*(?:\.\w+)+)(?:=(.*))?", re.DOTALL)


class UsageError(FtsdkError):
    """The command line itself is wrong."""


class Program(TyperGroup):
    """The ``ftsdk`` command: shows help when asked for nothing, and sends every error through the door."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run one command and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(overrides_last(arguments) or ["--help"], *rest, **{**extra, "standalone_mode": False})
        except Exception as error:  # noqa: BLE001 - this is the outermost door
            code = leave(error, as_json="--json" in arguments, debug="--debug" in arguments)
        sys.exit(code)


def overrides_last(arguments: Sequence[str]) -> list[str]:
    """Write ``--training.max_steps 10`` as ``training.max_steps=10``, and put it last, where overrides belong.

    Raises:
        UsageError: The last override has no value.
    """
    kept, moved, rest = [], [], iter(arguments)
    for argument in rest:
        if argument == "--":
            kept += [argument, *rest]
        elif match := _OVERRIDE.fullmatch(argument):
            value = match[2] if match[2] is not None else next(rest, None)
            if value is None:
                raise UsageError(f"{argument} needs a value", hint=f"write it as {match[1]}=VALUE")
            moved.append(f"{match[1]}={value}")
        else:
            kept.append(argument)
    return kept + moved


def leave(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Tell the user about an error, and give the exit code: 1, 2 for wrong usage, 130 for Ctrl-C."""
    told = _told(error)
    screen = open_screen()
    if debug:
        screen.err.print("".join(traceback.format_exception(error)))
    screen.err.print(words("error: ", "bold red").append_text(words(_in_full(told))))
    if as_json:
        write_document(told.to_dict(), screen.out)
    return {Interrupted: 130, UsageError: 2}.get(type(told), 1)


def _told(error: Exception) -> FtsdkError:
    """The error as one of ours."""
    if isinstance(error, FtsdkError):
        return error
    in_words = getattr(error, "format_message", None)  # Typer's errors of usage; their class moves between releases
    if in_words is not None:
        context = getattr(error, "ctx", None)
        return UsageError(in_words(), hint=f"{context.command_path if context else 'ftsdk'} --help")
    return FtsdkError(
        f"something unexpected happened ({type(error).__name__}): {error}",
        hint="run it again with --debug to see where, and report it",
    )


def _in_full(error: FtsdkError) -> str:
    """The message, with the evidence below it where the message does not hold it."""
    first, *others = str(error).splitlines()
    evidence = getattr(error, "evidence", "")
    shown = [f"  {evidence}"] if evidence and evidence not in error.message else []
    return "\n".join([first, *shown, *others])
