"""Take what a job made, and try it: fetch, chat."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import Reference
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, pairs

if TYPE_CHECKING:
    from ftsdk.artifact import Artifact

Folder = Annotated[Path, typer.Argument(metavar="FOLDER")]


def fetch(
    ref: Reference,
    folder: Folder,
    *,
    force: Annotated[bool, typer.Option("--force", help="Rename what is in the way.")] = False,
) -> Answer:
    """Bring what a job made into a folder, verified."""
    artifact = ftsdk.fetch(ref, folder, force=force)

    def show(screen: Screen) -> None:
        rows = (("artifact", str(artifact.path)), ("kind", artifact.kind), ("base model", artifact.base_model))
        screen.out.print(pairs(rows))
        if artifact.manifest.method != "reward_modeling":  # it scores, and has nothing to say
            screen.err.print(pairs([("  try it", f"ftsdk chat {artifact.path}")]))

    return Answer(data=lambda: artifact, show=show)


def chat(
    folder: Folder,
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="Ask this one thing, and end.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 128,
) -> Answer:
    """Talk to what a job made; each prompt stands alone."""
    artifact = ftsdk.Artifact.open(folder)

    def show(screen: Screen) -> None:
        for asked in [prompt] if prompt is not None else _prompts(screen):
            screen.out.print(_reply(artifact, asked, max_new_tokens))

    return Answer(data=lambda: _conversation(artifact, prompt, max_new_tokens), show=show)


def _conversation(artifact: "Artifact", prompt: str | None, max_new_tokens: int) -> dict[str, Any]:
    if prompt is None:
        raise typer.BadParameter("with --json there is nobody to ask: give --prompt")
    return {"prompt": prompt, "answer": _reply(artifact, prompt, max_new_tokens)}


def _reply(artifact: "Artifact", prompt: str, max_new_tokens: int) -> str:
    (answer,) = artifact.generate([[{"role": "user", "content": prompt}]], max_new_tokens=max_new_tokens)
    return answer


def _prompts(screen: Screen) -> Iterator[str]:
    """What the user types, until an empty line or the end of the input."""
    screen.err.print("Ask something; an empty line ends the talk.", style="dim")
    try:
        while asked := screen.err.input("> ").strip():
            yield asked
    except (EOFError, KeyboardInterrupt):
        screen.err.print()
