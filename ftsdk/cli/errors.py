"""How every error is reported: to stderr with the next step, as JSON where requested, and as an exit code."""

import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from ftsdk.cli.console import open_screen, styled, write_document
from ftsdk.cli.interrupt import Interrupted
from ftsdk.errors import FtsdkError

_OVERRIDE = re.compile(r"--([A-Za-z_]\w*(?:\.\w+)+)(?:=(.*))?", re.DOTALL)


class UsageError(FtsdkError):
    """The command line itself is wrong."""


class Program(TyperGroup):
    """The ``ftsdk`` command: shows help when it has no arguments, and reports every error in one way."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run one command and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            # Without standalone_mode, Typer and Click raise their errors instead of printing them and exiting.
            code = super().main(overrides_last(arguments) or ["--help"], *rest, **{**extra, "standalone_mode": False})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported in one way
            code = report_error(error, arguments)
        sys.exit(code)


def overrides_last(arguments: Sequence[str]) -> list[str]:
    """Write ``--training.max_steps 10`` as ``training.max_steps=10``, and put it last, where overrides belong.

    Raises:
        UsageError: The last override has no value.
    """
    remaining: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            remaining += [argument, *rest]
        elif match := _OVERRIDE.fullmatch(argument):
            value = match[2] if match[2] is not None else next(rest, None)
            if value is None:
                raise UsageError(f"{argument} needs a value", hint=f"write it as {match[1]}=VALUE")
            overrides.append(f"{match[1]}={value}")
        else:
            remaining.append(argument)
    return remaining + overrides


def report_error(error: Exception, arguments: Sequence[str]) -> int:
    """Print an error, as the command's arguments request it.

    Returns:
        The exit code: 1, 2 for wrong usage, 130 for Ctrl-C.
    """
    # The flags are read from the raw arguments: the error may have come before they were parsed.
    as_json, debug = "--json" in arguments, "--debug" in arguments
    mapped = _to_ftsdk_error(error, arguments)
    screen = open_screen()
    if debug:
        screen.err.print("".join(traceback.format_exception(error)))
    screen.err.print(styled("error: ", "bold red").append_text(styled(_format(mapped))))
    if as_json:
        write_document(mapped.to_dict(), screen.out)
    return {Interrupted: 130, UsageError: 2}.get(type(mapped), 1)


def _to_ftsdk_error(error: Exception, arguments: Sequence[str]) -> FtsdkError:
    if isinstance(error, FtsdkError):
        return error
    # Typer's usage errors have this method. Their class is not named here, because it moves between releases.
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        context = getattr(error, "ctx", None)
        return UsageError(format_message(), hint=f"{context.command_path if context else 'ftsdk'} --help")
    command = shlex.join(["ftsdk", "--debug", *arguments])
    return FtsdkError(
        f"unexpected error ({type(error).__name__}): {error}",
        hint="please report it, with the traceback"
        if "--debug" in arguments
        else f"{command} shows where it comes from; please report it",
    )


def _format(error: FtsdkError) -> str:
    """The message, followed by the evidence where the message does not contain it."""
    message, *details = str(error).splitlines()
    evidence = getattr(error, "evidence", "")
    evidence_lines = [f"  {evidence}"] if evidence and evidence not in error.message else []
    return "\n".join([message, *evidence_lines, *details])
