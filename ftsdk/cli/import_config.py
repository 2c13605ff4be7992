"""``ftsdk import``: a job spec from the configuration of another tool."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import Overrides
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, styled
from ftsdk.errors import InputError, Problem, SpecError

if TYPE_CHECKING:
    from ftsdk.importers.importer import ImportNote

_HEADINGS = {
    "differs": "similar, but not exactly the same",
    "dropped": "dropped, because it does not affect what is learned",
    "default": "not in the file, so the tool's own default is written down",
}


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An Axolotl or LLaMA-Factory YAML.")],
    overrides: Overrides = None,
    *,
    source: Annotated[
        str | None, typer.Option("--from", help="The tool, where the file's keys do not show it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the spec here; default: stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse settings that are only similar.")] = False,
) -> CommandResult:
    """Make a job spec from the configuration of another tool."""
    from ftsdk.spec.loader import dump_spec  # noqa: PLC0415 - loads the spec, which help does not need

    config = ftsdk.import_config(file, source, overrides or ())
    inexact = [note for note in config.notes if note.kind == "differs"]
    if strict and inexact:
        problems = [Problem(note.key, note.text) for note in inexact]
        raise SpecError(f"{file}: settings that are only similar", problems=problems, hint="leave out --strict")
    text = dump_spec(config.spec)
    if output is not None:
        _write(output, text, force=force)

    def show(screen: Screen) -> None:
        screen.out.print(text.rstrip() if output is None else str(output))
        for line in _note_lines(config.notes):
            screen.err.print(line)
        screen.err.print(f"\nRead it, then: ftsdk plan {output or 'job.yaml'}")

    def data() -> dict[str, Any]:
        notes = [note._asdict() for note in config.notes]
        return {"from": config.source, "file": output, "spec": config.spec.as_written(), "notes": notes}

    return CommandResult(data=data, show=show)


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"there is already {path}", hint="name another file, or add --force") from error
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", hint="name a file in a folder that you may write to"
        ) from error


def _note_lines(notes: "Sequence[ImportNote]") -> Iterator[Any]:
    """The notes by their kind; keys that share a reason share a line."""
    for kind, heading in _HEADINGS.items():
        keys: dict[str, list[str]] = {}
        for note in notes:
            if note.kind == kind:
                keys.setdefault(note.text, []).append(note.key)
        if keys:
            yield styled(f"\n{heading}:", "bold" if kind == "differs" else "dim")
        for text, names in keys.items():
            yield styled(f"  {', '.join(dict.fromkeys(names))}: {text}", "" if kind == "differs" else "dim")
