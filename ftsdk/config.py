"""The choice of a backend, and the options that go with it.

The nearest wins: the call, ``FTSDK_BACKEND``, the spec, the project's file, the user's file, and last ``local``. The
project's file is the first ``ftsdk.toml``, or ``pyproject.toml`` with a ``[tool.ftsdk]``, from the working directory
upward; the user's is ``config.toml`` in the usual place of the system.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import platformdirs
from pydantic import Field, JsonValue, ValidationError

from ftsdk.errors import ConfigError, Problem, nearest
from ftsdk.redact import looks_like_a_secret
from ftsdk.spec.base import Section
from ftsdk.spec.document import read_document
from ftsdk.spec.validation_messages import problems_of

VARIABLE = "FTSDK_BACKEND"


class Choice(NamedTuple):
    """The backend to use."""

    backend: str
    source: str
    """Who chose it: ``the call``, ``FTSDK_BACKEND``, ``the spec``, a file's path, or ``the default``."""
    options: dict[str, JsonValue]
    """Options of this backend from the files; those in the spec win over them."""


class _File(Section):
    """The content of ``ftsdk.toml``."""

    backend: Annotated[str, Field(min_length=1)] | None = None
    backend_options: dict[str, dict[str, JsonValue]] = {}


def resolve(spec_backend: str | None, call: str | None = None, cwd: Path | None = None) -> Choice:
    """Choose the backend.

    Args:
        spec_backend: The one in the spec.
        call: The one in the call.
        cwd: Where to look for the project's file. None: the working directory.

    Raises:
        ConfigError: A file is broken, or has a setting that it may not have.
    """
    files = list(_files(cwd or _working_folder()))
    choices = [
        (call, "the call"),
        (os.environ.get(VARIABLE, "").strip(), VARIABLE),
        (spec_backend, "the spec"),
        *((content.backend, str(path)) for path, content in files),
        ("local", "the default"),
    ]
    backend, source = next((backend, source) for backend, source in choices if backend)
    options: dict[str, JsonValue] = {}
    for _, content in files:
        options = {**content.backend_options.get(backend, {}), **options}
    return Choice(backend, source, options)


def _files(cwd: Path) -> Iterator[tuple[Path, _File]]:
    """The files to read, the nearest first."""
    project = next(filter(None, map(_project_file, (cwd.absolute(), *cwd.absolute().parents))), None)
    if project:
        yield project
    user = platformdirs.user_config_path("ftsdk") / "config.toml"
    if _is_file(user):
        yield user, _validated(user, read_document(user, ConfigError).data)


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError("the working folder no longer exists", hint="change to another folder") from error


def _project_file(folder: Path) -> tuple[Path, _File] | None:
    path = folder / "ftsdk.toml"
    if _is_file(path):
        return path, _validated(path, read_document(path, ConfigError).data)
    path = folder / "pyproject.toml"
    tools = read_document(path, ConfigError).data.get("tool") if _is_file(path) else None
    return (path, _validated(path, tools["ftsdk"])) if isinstance(tools, dict) and "ftsdk" in tools else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        return False  # a folder above the project that the user may not read


def _validated(path: Path, data: Any) -> _File:
    try:
        content = _File.model_validate(data)
    except ValidationError as error:
        problems = [_with_nearest(problem) for problem in problems_of(error)]
    else:
        if not looks_like_a_secret(content.backend_options):
            return content
        problems = [
            Problem("backend_options", "this looks like a secret", "keep keys in the environment, never in a file")
        ]
    raise ConfigError(f"{path} is not a valid configuration", problems=problems)


def _with_nearest(problem: Problem) -> Problem:
    is_field = problem.where in _File.model_fields
    return problem if is_field else problem._replace(fix=nearest(problem.where, _File.model_fields, problem.fix))
