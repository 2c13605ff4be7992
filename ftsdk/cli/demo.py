"""``ftsdk demo``: a first fine-tune, offline, in two minutes."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import open_screen
from ftsdk.cli.progress import watch


def demo(
    *,
    out: Annotated[Path, typer.Option(help="The folder for the artifact and the pictures.")] = Path("ftsdk-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's job and its checkpoints.")] = False,
) -> CommandResult:
    """Teach a tiny model a new voice, offline, in two minutes."""
    from ftsdk.demo import run  # noqa: PLC0415 - only this command needs it

    def run_demo(console: Console) -> dict[str, Any]:
        return run(console, out=out, keep=keep, follow=lambda ref: watch(console, ref))

    return CommandResult(data=lambda: run_demo(open_screen().err), show=lambda screen: run_demo(screen.out))
