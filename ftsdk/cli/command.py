"""What every verb has in common: it answers with data and with a page, and takes ``--json`` and ``--debug``."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from ftsdk.cli.console import Screen, open_screen, write_document
from ftsdk.cli.interrupt import Interrupted


class Answer(NamedTuple):
    """What a verb found, in two forms, of which only the one that is asked for is made."""

    data: Callable[[], Any]
    """Gives the JSON document."""
    show: Callable[[Screen], object]
    """Prints the page for people."""
    code: int = 0
    """The exit code."""


_FLAGS = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")],
}


def verb(function: Callable[..., Answer]) -> Callable[..., None]:
    """Make a command of a function: with ``--json`` and ``--debug``, and with its answer printed."""

    @functools.wraps(function)
    def command(*, as_json: bool, debug: bool, **arguments: Any) -> None:
        del debug  # the door looks for it, because an error may come before anything is parsed
        try:
            code = _answer(function, arguments, as_json=as_json)
        except KeyboardInterrupt as stop:
            raise Interrupted("stopped", hint="ftsdk jobs shows what was submitted") from stop
        raise typer.Exit(code)

    parameters = inspect.signature(function).parameters.values()
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _FLAGS.items()
    ]
    command.__signature__ = inspect.Signature([*parameters, *flags])  # type: ignore[attr-defined] # read by Typer
    command.__annotations__ = {**function.__annotations__, **_FLAGS, "return": None}
    return command


def _answer(function: Callable[..., Answer], arguments: dict[str, Any], *, as_json: bool) -> int:
    screen = open_screen()
    if not as_json:
        answer = function(**arguments)
        answer.show(screen)
        return answer.code
    with contextlib.redirect_stdout(sys.stderr):  # a library that prints must not spoil the document
        answer = function(**arguments)
        data = answer.data()
    write_document(data, screen.out)
    return answer.code
