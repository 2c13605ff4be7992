"""``ftsdk fetch``: download what a job made."""

from pathlib import Path
from typing import Annotated

import typer

import ftsdk
from ftsdk.cli.arguments import Reference
from ftsdk.cli.artifact_rendering import show_chat_step
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, pairs


def fetch(
    ref: Reference,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder for the artifact.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Rename a folder that is in the way.")] = False,
) -> CommandResult:
    """Put a job's artifact into a folder, verified."""
    artifact = ftsdk.fetch(ref, folder, force=force)

    def show(screen: Screen) -> None:
        rows = (("artifact", str(artifact.path)), ("kind", artifact.kind), ("base model", artifact.base_model))
        screen.out.print(pairs(rows))
        show_chat_step(screen, artifact)

    return CommandResult(data=lambda: artifact, show=show)
