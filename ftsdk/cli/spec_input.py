"""Read the spec that a command receives, and print remarks about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftsdk.cli.console import open_screen

if TYPE_CHECKING:
    from ftsdk.spec import JobSpec


def read_spec(file: Path, overrides: Sequence[str] | None) -> "JobSpec":
    """The spec in a file, changed by overrides; aliases of other tools are printed in canonical form on stderr.

    Raises:
        SpecError: The spec or an override is wrong.
    """
    from ftsdk.spec import loader  # noqa: PLC0415 - loads the spec, which help does not need

    spec, notes = loader.read_spec(file, overrides or ())
    for note in notes:
        remark(f"read as: {note}")
    return spec


def remark(text: str) -> None:
    """Print a side note on stderr."""
    open_screen().err.print(text, style="dim")
