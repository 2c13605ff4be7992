"""Where the command line writes: results to stdout, all else to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ftsdk.cli.sanitize import clean, mask_secrets

_UNLIMITED_WIDTH = 10_000
"""Columns where no terminal sets a limit, so that each row stays on one line and can be searched with grep."""
_LABEL_WIDTH = 10
"""Columns of a label, so that the values of several grids start in the same column."""


class Screen(NamedTuple):
    """The two streams to write to."""

    out: Console
    """For results."""
    err: Console
    """For progress, remarks and next steps."""


class _SanitizingConsole(Console):
    """A console that takes text without markup, and sanitizes it before it is laid out."""

    # Rich passes every plain string through this method, also those in tables, so nothing unsanitized is printed.
    def render_str(self, text: str, **layout: Any) -> Text:
        return super().render_str(clean(text), **layout)


def open_screen() -> Screen:
    """Consoles on the present stdout and stderr; letters that their encoding lacks are written as escapes."""
    return Screen(_open_console(sys.stdout), _open_console(sys.stderr))


def _open_console(file: Any) -> Console:
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else _UNLIMITED_WIDTH
    return _SanitizingConsole(file=file, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)


def write_document(data: Any, console: Console) -> None:
    """Print one JSON document, in ASCII so that any encoding can print it; NaN and infinities become null."""
    from pydantic_core import to_json  # noqa: PLC0415 - loaded only where it is needed

    text = to_json(data, inf_nan_mode="null", serialize_unknown=True)
    # Secrets are masked in the data, not in the text: JSON's escapes could hide one.
    console.out(json.dumps(mask_secrets(json.loads(text)), indent=2), highlight=False)


def styled(text: str, style: str = "") -> Text:
    """Sanitized text in a style."""
    return Text(clean(text), style=style)


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Labels and values, aligned."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", min_width=_LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def table(headings: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """A table without lines; its first column is not wrapped, so that it can be copied."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings))
    for index, title in enumerate(headings):
        grid.add_column(title, overflow="fold", no_wrap=index == 0)
    for row in rows:
        grid.add_row(*row)
    return grid


def heading(text: str) -> Text:
    """The title of a part of a page."""
    return styled(f"\n{text}", "bold")
