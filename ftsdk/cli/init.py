"""``ftsdk init``: a first spec with comments, and a few rows to train on."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen
from ftsdk.errors import InputError

_FILES = ("job.yaml", "train.jsonl")


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them.")] = Path(),
) -> CommandResult:
    """Write a first job.yaml and train.jsonl."""
    targets = [folder / name for name in _FILES]
    existing = [str(target) for target in targets if target.exists() or target.is_symlink()]
    if existing:
        raise InputError(f"there is already {' and '.join(existing)}", hint="name another folder: ftsdk init FOLDER")
    try:
        _write(targets)
    except OSError as error:
        hint = "name a folder that you may write to"
        raise InputError(f"cannot write to {folder}: {error.strerror}", hint=hint) from error

    def show(screen: Screen) -> None:
        screen.out.print("\n".join(map(str, targets)))
        # Paths in a spec are relative to the working directory, so the spec must be used from its own folder.
        change_folder = "" if folder == Path() else f"cd {folder} && "
        screen.err.print(f"\nRead them, then: {change_folder}ftsdk plan job.yaml")

    return CommandResult(data=lambda: {"files": targets}, show=show)


def _write(targets: list[Path]) -> None:
    starter = files("ftsdk.cli") / "starter"
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Mode x: a file that was made since the check above is refused, too, not overwritten.
        with target.open("x", encoding="utf-8") as file:
            file.write((starter / target.name).read_text(encoding="utf-8"))
