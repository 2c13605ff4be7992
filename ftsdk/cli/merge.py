"""``ftsdk merge``: an adapter becomes part of its base model."""

from pathlib import Path
from typing import Annotated

import typer

import ftsdk
from ftsdk.cli.arguments import ModelOutput
from ftsdk.cli.artifact_rendering import model_result
from ftsdk.cli.command import CommandResult


def merge(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An adapter: an artifact, or a folder of PEFT's.")],
    *,
    output: ModelOutput,
) -> CommandResult:
    """Merge an adapter into its base model; the result needs no adapter."""
    return model_result(ftsdk.merge(folder, output))
