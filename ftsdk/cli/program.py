"""The program: every verb by its name, in the groups that help shows."""

from collections.abc import Callable
from typing import Annotated

import typer

import ftsdk
from ftsdk.cli import after, demo, doctor, import_config, init, judging, learn, look, plan, submit, taking
from ftsdk.cli.command import Answer, verb
from ftsdk.cli.errors import Program

_GROUPS: dict[str, tuple[Callable[..., Answer], ...]] = {
    "Begin": (doctor.doctor, demo.demo, init.init, import_config.import_),
    "Run a job": (plan.plan, submit.submit, submit.wait, submit.cancel, submit.resume),
    "See how it goes": (look.status, look.jobs, look.logs, look.events),
    "Take what it made": (taking.fetch, taking.chat, judging.evaluate, after.merge, after.quantize, judging.publish),
    "Learn what there is": (learn.backends, learn.explain, learn.schema),
}

app = typer.Typer(cls=Program, add_completion=False, pretty_exceptions_enable=False)

for group, functions in _GROUPS.items():
    for function in functions:
        name = function.__name__.rstrip("_")  # import is a word of Python's
        app.command(name, rich_help_panel=group)(verb(function))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ftsdk {ftsdk.__version__}")
        raise typer.Exit


@app.callback()
def program(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fine-tune a language model from one typed job spec, on any backend."""


def main() -> None:
    """What the command ``ftsdk`` runs."""
    app()
