"""Make a first job: a spec with its comments, and a few rows to train on."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen
from ftsdk.errors import InputError

_FILES = ("job.yaml", "train.jsonl")


def init(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put them.")] = Path()) -> Answer:
    """Write a first job.yaml and train.jsonl."""
    targets = [folder / name for name in _FILES]
    taken = [str(target) for target in targets if target.exists() or target.is_symlink()]
    if taken:
        raise InputError(f"there is already {' and '.join(taken)}", hint="name another folder: ftsdk init FOLDER")
    try:
        _write(targets)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", hint="name a folder of yours") from error

    def show(screen: Screen) -> None:
        screen.out.print("\n".join(map(str, targets)))
        there = "" if folder == Path() else f"cd {folder} && "  # paths in a spec are seen from where one works
        screen.err.print(f"\nLook at them, then: {there}ftsdk plan job.yaml")

    return Answer(data=lambda: {"files": targets}, show=show)


def _write(targets: list[Path]) -> None:
    starter = files("ftsdk.cli") / "starter"
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:  # refuses what has appeared in the meantime
            file.write((starter / target.name).read_text(encoding="utf-8"))
