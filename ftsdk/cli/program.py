"""The program: every command by its name, in the panels of ``ftsdk --help``."""

from collections.abc import Callable
from typing import Annotated

import typer

import ftsdk
from ftsdk.cli.backends import backends
from ftsdk.cli.cancel_resume import cancel, resume
from ftsdk.cli.chat import chat
from ftsdk.cli.command import CommandResult, Debug, make_command
from ftsdk.cli.demo import demo
from ftsdk.cli.doctor import doctor
from ftsdk.cli.errors import Program
from ftsdk.cli.evaluate import evaluate
from ftsdk.cli.explain import explain
from ftsdk.cli.fetch import fetch
from ftsdk.cli.import_config import import_
from ftsdk.cli.init import init
from ftsdk.cli.jobs import jobs
from ftsdk.cli.logs import events, logs
from ftsdk.cli.merge import merge
from ftsdk.cli.plan import plan
from ftsdk.cli.publish import publish
from ftsdk.cli.quantize import quantize
from ftsdk.cli.schema import schema
from ftsdk.cli.status import status
from ftsdk.cli.submit import submit
from ftsdk.cli.wait import wait

_PANELS: dict[str, tuple[Callable[..., CommandResult], ...]] = {
    "Get started": (doctor, demo, init, import_),
    "Run a job": (plan, submit, wait, cancel, resume),
    "Monitor": (status, jobs, logs, events),
    "Results": (fetch, chat, evaluate, merge, quantize, publish),
    "Reference": (backends, explain, schema),
}

app = typer.Typer(cls=Program, add_completion=False, pretty_exceptions_enable=False)

for panel, functions in _PANELS.items():
    for function in functions:
        name = function.__name__.rstrip("_")  # import is a keyword of Python
        app.command(name, rich_help_panel=panel)(make_command(function))


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"ftsdk {ftsdk.__version__}")
        raise typer.Exit


@app.callback()
def program(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a language model from one typed job spec, on any backend."""


def main() -> None:
    """The entry point of the command ``ftsdk``."""
    app()
