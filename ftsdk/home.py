"""The folder where ftsdk keeps its state: job records and local jobs."""

import os
from pathlib import Path

import platformdirs

from ftsdk.errors import ConfigError

VARIABLE = "FTSDK_HOME"
ENGINES = "FTSDK_ENGINES"


def home() -> Path:
    """The state folder, created for the user alone where it is missing: ``FTSDK_HOME``, or the system's usual place.

    Raises:
        ConfigError: It cannot be created or written to, or it belongs to another user.
    """
    folder = Path(os.environ.get(VARIABLE) or platformdirs.user_state_path("ftsdk")).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, "you may not write to it")
    if hasattr(os, "getuid") and folder.stat().st_uid not in (os.getuid(), 0):
        raise _unusable(folder, "it belongs to another user")
    return folder


def engines() -> Path:
    """The folder of engines' own environments: ``FTSDK_ENGINES``, or ``engines`` in the state folder.

    Raises:
        ConfigError: It cannot be created.
    """
    chosen = os.environ.get(ENGINES)
    folder = Path(chosen).expanduser().absolute() if chosen else home() / "engines"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder of engines {folder} cannot be created: {error.strerror}", hint=f"set {ENGINES} to another one"
        ) from error
    return folder


def _unusable(folder: Path, reason: str) -> ConfigError:
    return ConfigError(f"the state folder {folder} cannot be used: {reason}", hint=f"set {VARIABLE} to another folder")
