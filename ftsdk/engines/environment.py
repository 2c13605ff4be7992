"""An engine's own house: a virtual environment that nobody else uses, made from a lock file.

Engines pin versions that exclude each other and ours, so none of them enters the user's environment.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftsdk.errors import ConfigError, InputError, Problem
from ftsdk.files import sha256, write_json
from ftsdk.home import ENGINES, engines
from ftsdk.redact import redact
from ftsdk.workers.environment import worker_environment

_MARK = "ftsdk.json"
"""Written last, so that an interrupted installation is no installation."""
_INSTALLERS = ("PIP_", "UV_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ASK = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_ASK_SECONDS = 60.0

Tell = Callable[[str], None]
"""Is told each line of progress."""


@dataclass(frozen=True)
class EngineEnvironment:
    """What an engine needs to live here."""

    name: str
    """The backend's name."""
    package: str
    """The engine's distribution; its version in the lock file is the one that we know."""
    lock: Path
    """A requirements file that names every package with one version."""
    python: str
    """The version of Python that the lock file is for, such as ``3.11``."""
    size: int
    """Bytes that it takes on the disk, about; more where PyTorch brings CUDA."""

    @property
    def version(self) -> str:
        """The engine's version."""
        return self._pinned(self.package)

    @property
    def brings_torch(self) -> bool:
        """Whether PyTorch is among what it needs."""
        return bool(self._pinned("torch"))

    def _pinned(self, package: str) -> str:
        """The version of a package in the lock file; empty where it is not in it."""
        lines = self.lock.read_text(encoding="utf-8").splitlines()
        pins = (line.partition(" ")[0].partition("==") for line in lines)
        return next((version for name, _, version in pins if name == package), "")

    @property
    def folder(self) -> Path:
        """Where it is; another lock file makes another house."""
        return engines() / f"{self.name}-{sha256(self.lock)[:12]}"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        """Whether everything in it has been installed."""
        return (self.folder / _MARK).is_file() and self.interpreter.exists()


def describe(house: EngineEnvironment) -> str:
    """Where it is, or that it will be made."""
    if house.is_ready:
        return f"{house.package} {house.version} in {house.folder}"
    about = f"{house.size / 1e9:.1f} GB, or: ftsdk backends install {house.name}"
    return f"{house.package} {house.version} is installed at the first job ({about})"


def obstacles(house: EngineEnvironment) -> list[Problem]:
    """What stands in the way of making it; empty: nothing, or it is there."""
    if house.is_ready or shutil.which("uv"):
        return []
    try:
        _python(house)
    except ConfigError as error:
        return [Problem(house.package, error.message, error.hint)]
    return []


def check_python(python: Path, house: EngineEnvironment) -> None:
    """See that an interpreter of the user's own has the engine, in the version that we know.

    Raises:
        ConfigError: It has not.
    """
    where = f"backend_options.{house.name}.python"
    try:
        asked = subprocess.run(
            [python, "-I", "-c", _ASK, house.package],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
            env=worker_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{where}={python} cannot be run: {error}", hint="give a Python interpreter") from error
    found = asked.stdout.strip()
    if asked.returncode or found != house.version:
        has = f"has {house.package} {found}" if found else f"has no {house.package}"
        hint = f"install {house.package}=={house.version} there, or leave the option out"
        raise ConfigError(f"{where}={python} {has}, and this backend speaks to {house.version}", hint=hint)


def build(house: EngineEnvironment, tell: Tell) -> None:
    """Install everything, where it is not there yet; of several calls, one works and the others wait.

    Raises:
        ConfigError: There is no Python of the right version, or an installer failed.
        InputError: The disk has no room.
    """
    with _alone(house):
        if house.is_ready:
            tell(f"{house.package} {house.version} is in {house.folder}")
            return
        _check_room(house)
        shutil.rmtree(house.folder, ignore_errors=True)
        for command in _commands(house):
            tell(f"$ {' '.join(command)}")
            _run(command, house, tell)
        made = {"package": house.package, "version": house.version, "lock_sha256": sha256(house.lock)}
        write_json(house.folder / _MARK, made)
        tell(f"{house.package} {house.version} is in {house.folder}")


def _check_room(house: EngineEnvironment) -> None:
    free = shutil.disk_usage(house.folder.parent).free
    if free < house.size:
        raise InputError(
            f"{house.package} takes about {house.size / 1e9:.1f} GB, and {house.folder.parent} has {free / 1e9:.1f} GB",
            hint=f"make room there, or set {ENGINES} to a folder on a larger disk",
        )


def _commands(house: EngineEnvironment) -> Iterator[Sequence[str]]:
    """With uv where it is present, for it is fast and brings its own Python; else with venv and pip.

    PyTorch goes first, with all that its build for this machine asks for: on Linux with a card, that is CUDA's
    libraries, which the lock file cannot name for every machine. Nothing else is resolved: the lock file names all, and
    leaves out what the engine asks for and does not need.
    """
    lock, inside = str(house.lock), str(house.interpreter)
    if uv := shutil.which("uv"):
        yield (uv, "venv", "--python", house.python, str(house.folder))
        install: tuple[str, ...] = (uv, "pip", "install", "--python", inside)
    else:
        yield (_python(house), "-m", "venv", str(house.folder))
        options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
        install = (inside, "-m", "pip", "install", *options)
    if house.brings_torch:
        yield (*install, "--constraint", lock, "torch")
    yield (*install, "--no-deps", "-r", lock)


def _python(house: EngineEnvironment) -> str:
    if house.python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{house.python}")
    if found is None:
        raise ConfigError(
            f"{house.package} {house.version} needs Python {house.python}, and there is none here",
            hint=f"install uv, which brings it along, or python{house.python}",
        )
    return found


def _run(command: Sequence[str], house: EngineEnvironment, tell: Tell) -> None:
    """Run an installer to its end, and tell what it prints."""
    last = ""
    try:
        with subprocess.Popen(
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = redact(line.strip()) or last
                tell(last)
    except OSError as error:
        raise ConfigError(
            f"{command[0]} cannot be run: {error.strerror}", hint="see whether it is installed"
        ) from error
    if process.returncode:
        raise ConfigError(
            f"{house.package} {house.version} could not be installed: {last}",
            hint=f"see what is above, then ftsdk backends install {house.name}",
        )


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What a worker has, and what installers are configured with; no keys of services."""
    return {**{name: value for name, value in ours.items() if name.startswith(_INSTALLERS)}, **worker_environment()}


@contextmanager
def _alone(house: EngineEnvironment) -> Iterator[None]:
    file = os.open(engines() / f".{house.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
