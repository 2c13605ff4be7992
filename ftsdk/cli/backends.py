"""``ftsdk backends``: what each backend supports; ``ftsdk backends install NAME``."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

import ftsdk
from ftsdk.cli.backend_summary import BackendSummary, summarize_backend
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import open_screen, pairs, styled, table
from ftsdk.errors import InputError

_HEADINGS = ("backend", "usable", "methods", "adapters", "quantizations")


def backends(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[install] NAME", help="One backend in full. install: install what it needs."),
    ] = None,
    target: Annotated[str | None, typer.Argument(hidden=True)] = None,
    *,
    include_testing: Annotated[
        bool, typer.Option("--all", help="List also the testing backend, which trains nothing.")
    ] = False,
) -> CommandResult:
    """What each installed backend supports; ``backends install NAME`` installs what one needs on this machine."""
    if name == "install":
        return _install(target)
    if target is not None:
        raise InputError(f"unexpected {target!r} after {name!r}", hint=f"ftsdk backends {name}")
    if name is not None:
        summary = summarize_backend(name)
        return CommandResult(data=summary.to_dict, show=lambda screen: screen.out.print(pairs(_details(summary))))
    summaries = [summarize_backend(name) for name in _names(include_testing=include_testing)]
    return CommandResult(
        data=lambda: [summary.to_dict() for summary in summaries],
        show=lambda screen: screen.out.print(table(_HEADINGS, map(_row, summaries))),
    )


def _names(*, include_testing: bool) -> list[str]:
    from ftsdk.registry import listed_backend_names  # noqa: PLC0415 - help does not need it

    return ftsdk.backend_names() if include_testing else listed_backend_names()


def _install(name: str | None) -> CommandResult:
    from ftsdk.registry import load_backend  # noqa: PLC0415 - loads the contract, which help does not need

    if name is None:
        names = ", ".join(_names(include_testing=False))
        raise InputError("no backend to install is named", hint=f"ftsdk backends install NAME, of {names}")
    messages: list[str] = []
    backend, screen = load_backend(name), open_screen()

    def report(line: str) -> None:
        messages.append(line)
        screen.err.print(styled(line, "dim"))

    backend.install(report)
    return CommandResult(
        data=lambda: {"backend": name, "about": backend.describe(), "told": messages},
        show=lambda screen: screen.out.print(backend.describe() or messages[-1]),
    )


def _row(summary: BackendSummary) -> tuple[RenderableType, ...]:
    supported = summary.capabilities
    lists = (supported.methods, supported.adapters, supported.quantizations) if supported else ()
    return (summary.backend, _usable(summary), *(", ".join(sorted(values)) for values in lists))


def _details(summary: BackendSummary) -> Iterator[tuple[str, RenderableType]]:
    yield "backend", summary.backend
    yield "usable", _usable(summary)
    yield from (("about", summary.about),) if summary.about else ()
    yield from (("", str(problem)) for problem in summary.problems)
    for name, value in (summary.to_dict()["capabilities"] or {}).items():
        yield name.replace("_", " "), str(value).lower() if isinstance(value, bool) else ", ".join(value)


def _usable(summary: BackendSummary) -> Text:
    return styled("no", "red") if summary.problems else styled("yes", "green")
