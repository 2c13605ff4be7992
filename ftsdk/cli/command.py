"""What every command has in common: a result as data and as a page, and the options ``--json`` and ``--debug``."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from ftsdk.cli.console import Screen, open_screen, write_document
from ftsdk.cli.interrupt import Interrupted


class CommandResult(NamedTuple):
    """The result of a command in two forms; only the requested one is computed."""

    data: Callable[[], Any]
    """Gives the JSON document."""
    show: Callable[[Screen], object]
    """Prints the page for people."""
    code: int = 0
    """The exit code."""


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_FLAGS = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")],
    "debug": Debug,
}


def make_command(function: Callable[..., CommandResult]) -> Callable[..., None]:
    """Make a command of a function: with ``--json`` and ``--debug``, and with its result printed."""

    @functools.wraps(function)
    def command(*, as_json: bool, debug: bool, **arguments: Any) -> None:
        del debug  # Program.main looks for it in the raw arguments: an error may come before they are parsed
        try:
            code = _run(function, arguments, as_json=as_json)
        except KeyboardInterrupt as interrupt:
            raise Interrupted("stopped", hint="ftsdk jobs lists the submitted jobs") from interrupt
        raise typer.Exit(code)

    # Typer reads the signature to make options; functools.wraps shows it the function's own, without the two flags.
    parameters = inspect.signature(function).parameters.values()
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in _FLAGS.items()
    ]
    command.__signature__ = inspect.Signature([*parameters, *flags])  # type: ignore[attr-defined] # read by Typer
    command.__annotations__ = {**function.__annotations__, **_FLAGS, "return": None}
    return command


def _run(function: Callable[..., CommandResult], arguments: dict[str, Any], *, as_json: bool) -> int:
    screen = open_screen()
    if not as_json:
        result = function(**arguments)
        result.show(screen)
        return result.code
    # Libraries print progress to stdout. While data is computed, that goes to stderr, so that the document stays
    # valid JSON; the screen keeps the real stdout, because it was opened before.
    with contextlib.redirect_stdout(sys.stderr):
        result = function(**arguments)
        data = result.data()
    write_document(data, screen.out)
    return result.code
