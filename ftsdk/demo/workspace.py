"""The demo's state folder, its environment, and the folder for its results."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ftsdk.artifact import MANIFEST
from ftsdk.client import Job
from ftsdk.errors import FtsdkError, InputError
from ftsdk.home import VARIABLE, home

_LONGEST_STOP = 30.0
"""Seconds to wait for a cancelled job."""


def writable(out: Path) -> Path:
    """The folder's absolute path, checked before a minute is spent on training.

    Raises:
        InputError: It is neither empty nor an artifact, or no folder can be made beside it.
    """
    out = out.expanduser().absolute()
    try:
        if out.exists() and not (out / MANIFEST).is_file() and not _is_empty_folder(out):
            raise InputError(f"{out} exists, and is no artifact", hint="name another folder with --out")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}."):
            return out
    except OSError as error:
        raise InputError(
            f"the results cannot be put into {out}: {error.strerror or error}", hint="name another folder with --out"
        ) from error


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def workspace(*, keep: bool) -> Iterator[Path]:
    """A folder for the rows, offline: in the user's state folder, or in one that is removed at the end.

    Args:
        keep: Use the user's state folder.

    Raises:
        ConfigError: The state folder cannot be used.
    """
    if keep:
        folder = home() / "demo"
        folder.mkdir(exist_ok=True)
        with _environment(HF_HUB_OFFLINE="1"):
            yield folder
        return
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="ftsdk-demo-", ignore_cleanup_errors=True))
        stack.enter_context(_environment(HF_HUB_OFFLINE="1", FTSDK_DATABASE_URL=None, **{VARIABLE: state}))
        yield Path(state)


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set environment variables, for this process and the worker, and restore the old ones."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def stopped_on_error(job: Job) -> Iterator[None]:
    """Cancel the job after an error or Ctrl-C, because its folder is about to be removed."""
    try:
        yield
    except BaseException as error:
        with suppress(FtsdkError):  # the first error is the one to report
            job.cancel()
            job.wait(timeout=_LONGEST_STOP)
        if isinstance(error.__cause__, KeyboardInterrupt):
            # In place of the message that the job continues: it does not.
            raise error.__cause__ from None
        raise
