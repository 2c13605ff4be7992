"""See whether ftsdk can work here: versions, the state folder, the job records, the backends."""

import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from rich.console import RenderableType

import ftsdk
from ftsdk.cli.backend_summary import Survey, survey
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, table, words
from ftsdk.cli.units import size
from ftsdk.errors import FtsdkError
from ftsdk.home import home

_PACKAGES = ("pydantic", "sqlalchemy", "torch", "transformers", "peft", "trl", "bitsandbytes")


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    ok: bool | None
    """None: worth knowing, neither good nor bad."""
    text: str
    fix: str = ""
    """What to do about it."""
    needed: bool = False
    """Whether nothing works without it."""


def doctor() -> Answer:
    """See whether everything is in place; exit 1 if not."""
    found = list(_findings())
    sick = any(finding.needed and finding.ok is False for finding in found)

    def show(screen: Screen) -> None:
        screen.out.print(table(("", "", ""), map(_row, found)))
        screen.err.print("\nNot ready yet: see above." if sick else "\nReady. A first job: ftsdk demo, or ftsdk init")

    return Answer(data=lambda: {"ok": not sick, "findings": [each._asdict() for each in found]}, show=show, code=sick)


def _findings() -> Iterator[Finding]:
    yield Finding("ftsdk", None, f"{ftsdk.__version__} on Python {platform.python_version()}, {platform.platform()}")
    yield Finding("packages", None, ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    yield _tried("state folder", _state_folder)
    yield _tried("job records", _job_records)
    yield from _backends()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _tried(what: str, look: Callable[[], str]) -> Finding:
    """What the look gives, or why it failed; nothing works without it."""
    try:
        return Finding(what, ok=True, text=look(), needed=True)
    except FtsdkError as error:
        return Finding(what, ok=False, text=error.message, fix=error.hint, needed=True)
    except OSError as error:
        return Finding(what, ok=False, text=str(error), fix="make room, or set FTSDK_HOME", needed=True)


def _state_folder() -> str:
    folder = home()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"1")
    return f"{folder} is writable, {size(shutil.disk_usage(folder).free)} free"


def _job_records() -> str:
    ftsdk.jobs(limit=1)
    return f"readable, SQLite {sqlite3.sqlite_version}"


def _backends() -> Iterator[Finding]:
    """The chosen backend first: without it, no job can be submitted."""
    from ftsdk.config import resolve  # noqa: PLC0415 - reads files that other verbs do not need

    chosen = ""
    try:
        chosen = resolve(None, None).backend
        yield from _backend(survey(chosen), chosen=True)
    except FtsdkError as error:
        yield Finding("backend", ok=False, text=error.message, fix=error.hint, needed=True)
    for name in ftsdk.backend_names():
        if name != chosen:
            yield from _backend(survey(name), chosen=False)


def _backend(found: Survey, *, chosen: bool) -> Iterator[Finding]:
    what = f"backend {found.backend}" + (" (chosen)" if chosen else "")
    if not found.problems:
        yield Finding(what, ok=True, text=f"usable: {found.about}" if found.about else "usable", needed=chosen)
    for problem in found.problems:
        yield Finding(what, ok=False, text=f"{problem.where}: {problem.what}", fix=problem.fix, needed=chosen)


def _row(finding: Finding) -> tuple[RenderableType, ...]:
    mark, style = {True: ("ok", "green"), False: ("no", "red"), None: ("", "")}[finding.ok]
    text = finding.text + (f"\n-> {finding.fix}" if finding.fix else "")
    return words(mark, style), finding.what, text
