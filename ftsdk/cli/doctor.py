"""``ftsdk doctor``: check whether ftsdk can work here: versions, state folder, job records, backends."""

import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from rich.console import RenderableType

import ftsdk
from ftsdk.cli.backend_summary import BackendSummary, summarize_backend
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, styled, table
from ftsdk.cli.units import size
from ftsdk.errors import FtsdkError
from ftsdk.home import home

_PACKAGES = ("pydantic", "sqlalchemy", "torch", "transformers", "peft", "trl", "bitsandbytes")


class Finding(NamedTuple):
    """The result of one check."""

    what: str
    """The subject of the check."""
    ok: bool | None
    """None: information, neither good nor bad."""
    text: str
    fix: str = ""
    """What to do about it."""
    needed: bool = False
    """Whether nothing works without it."""


def doctor() -> CommandResult:
    """Check whether ftsdk can run jobs here; exit 1 if not."""
    findings = list(_check_all())
    failed = any(finding.needed and finding.ok is False for finding in findings)

    def show(screen: Screen) -> None:
        screen.out.print(table(("", "", ""), map(_row, findings)))
        screen.err.print("\nNot ready yet: see above." if failed else "\nReady. A first job: ftsdk demo, or ftsdk init")

    return CommandResult(
        data=lambda: {"ok": not failed, "findings": [finding._asdict() for finding in findings]},
        show=show,
        code=failed,
    )


def _check_all() -> Iterator[Finding]:
    yield Finding("ftsdk", None, f"{ftsdk.__version__} on Python {platform.python_version()}, {platform.platform()}")
    yield Finding("packages", None, ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    yield _check("state folder", _state_folder)
    yield _check("job records", _job_records)
    yield from _check_backends()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _check(subject: str, run: Callable[[], str]) -> Finding:
    """The text that a check returns, or why it failed; nothing works without it."""
    try:
        return Finding(subject, ok=True, text=run(), needed=True)
    except FtsdkError as error:
        return Finding(subject, ok=False, text=error.message, fix=error.hint, needed=True)
    except OSError as error:
        return Finding(subject, ok=False, text=str(error), fix="free disk space, or set FTSDK_HOME", needed=True)


def _state_folder() -> str:
    folder = home()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"1")
    return f"{folder} is writable, {size(shutil.disk_usage(folder).free)} free"


def _job_records() -> str:
    ftsdk.jobs(limit=1)
    return f"readable, SQLite {sqlite3.sqlite_version}"


def _check_backends() -> Iterator[Finding]:
    """The chosen backend first: without it, no job can be submitted."""
    from ftsdk.config import resolve  # noqa: PLC0415 - reads files that other commands do not need
    from ftsdk.registry import listed_backend_names  # noqa: PLC0415 - same

    chosen = ""
    try:
        chosen = resolve(None, None).backend
        yield from _check_backend(summarize_backend(chosen), chosen=True)
    except FtsdkError as error:
        yield Finding("backend", ok=False, text=error.message, fix=error.hint, needed=True)
    for name in listed_backend_names():
        if name != chosen:
            yield from _check_backend(summarize_backend(name), chosen=False)


def _check_backend(summary: BackendSummary, *, chosen: bool) -> Iterator[Finding]:
    subject = f"backend {summary.backend}" + (" (chosen)" if chosen else "")
    if not summary.problems:
        text = f"usable: {summary.about}" if summary.about else "usable"
        yield Finding(subject, ok=True, text=text, needed=chosen)
    for problem in summary.problems:
        yield Finding(subject, ok=False, text=f"{problem.where}: {problem.what}", fix=problem.fix, needed=chosen)


def _row(finding: Finding) -> tuple[RenderableType, ...]:
    mark, style = {True: ("ok", "green"), False: ("no", "red"), None: ("", "")}[finding.ok]
    text = finding.text + (f"\n-> {finding.fix}" if finding.fix else "")
    return styled(mark, style), finding.what, text
