"""Where the command line writes: results to stdout, all else to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ftsdk.cli.sanitize import clean, plain

_WIDE = 10_000  # columns where no terminal sets a limit, so that each row stays on one line, to be searched
_LABEL = 10  # columns of a label, so that pages line up with each other


class Screen(NamedTuple):
    """The two places to write to."""

    out: Console
    """For what was asked for."""
    err: Console
    """For progress, remarks and next steps."""


class _Paper(Console):
    """A console that takes text as it is, and cleans it before it is laid out."""

    def render_str(self, text: str, **layout: Any) -> Text:
        return super().render_str(clean(text), **layout)


def open_screen() -> Screen:
    """Consoles on the present stdout and stderr; letters that their encoding lacks are written as escapes."""
    return Screen(_paper(sys.stdout), _paper(sys.stderr))


def _paper(file: Any) -> Console:
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else _WIDE
    return _Paper(file=file, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)


def write_document(data: Any, console: Console) -> None:
    """Print one JSON document, in ASCII so that no encoding stands in its way; what JSON lacks becomes null."""
    from pydantic_core import to_json  # noqa: PLC0415 - loaded only where it is needed

    text = to_json(data, inf_nan_mode="null", serialize_unknown=True)
    console.out(json.dumps(plain(json.loads(text)), indent=2), highlight=False)


def words(text: str, style: str = "") -> Text:
    """A piece of text in a style, cleaned."""
    return Text(clean(text), style=style)


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Labels and values, aligned."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", min_width=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def table(headings: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """A table without lines."""
    sheet = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings))
    for place, title in enumerate(headings):
        sheet.add_column(title, overflow="fold", no_wrap=place == 0)  # the first is there to be copied
    for row in rows:
        sheet.add_row(*row)
    return sheet


def heading(text: str) -> Text:
    """The title of a part of a page."""
    return words(f"\n{text}", "bold")
