"""The demo: a first fine-tune, offline, in two minutes."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ftsdk.cli.command import Answer
from ftsdk.cli.console import open_screen
from ftsdk.cli.watch import watch


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Where to put the artifact and the pictures.")] = Path("ftsdk-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's job and its checkpoints.")] = False,
) -> Answer:
    """Teach a tiny model a new voice, offline, in two minutes."""
    from ftsdk.demo import run  # noqa: PLC0415 - only this verb needs it

    def shown_on(console: Console) -> dict[str, Any]:
        return run(console, out=out, keep=keep, follow=lambda ref: watch(console, ref))

    return Answer(data=lambda: shown_on(open_screen().err), show=lambda screen: shown_on(screen.out))
