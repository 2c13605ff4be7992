"""An engine's own environment: a virtual environment that nothing else uses, made from a lock file.

Engines pin versions that exclude each other and ours, so none of them is installed into the user's environment.
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

_MARKER = "ftsdk.json"
"""Written last, so that an interrupted installation does not count as one."""
_INSTALLER_VARIABLES = ("PIP_", "UV_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_VERSION_QUERY = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_QUERY_SECONDS = 60.0

Report = Callable[[str], None]
"""Is called with each line of progress."""


@dataclass(frozen=True)
class EngineEnvironment:
    """What an engine needs installed."""

    name: str
    """The backend's name."""
    package: str
    """The engine's distribution; its version in the lock file is the one that we know."""
    lock: Path
    """A requirements file that names every package with one version."""
    python: str
    """The version of Python that the lock file is for, such as ``3.11``."""
    size: int
    """Bytes on the disk, about; more where PyTorch installs CUDA."""

    @property
    def version(self) -> str:
        """The engine's version."""
        return self._pinned(self.package)

    @property
    def includes_torch(self) -> bool:
        """Whether PyTorch is in the lock file."""
        return bool(self._pinned("torch"))

    def _pinned(self, package: str) -> str:
        """The version of a package in the lock file; empty where it is not in it."""
        lines = self.lock.read_text(encoding="utf-8").splitlines()
        pins = (line.partition(" ")[0].partition("==") for line in lines)
        return next((version for name, _, version in pins if name == package), "")

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        # Named for the lock's content: a release with other pins makes a new environment beside the old one, which
        # jobs that are running still import from.
        return engines() / f"{self.name}-{sha256(self.lock)[:12]}"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        """Whether everything in it has been installed."""
        return (self.folder / _MARKER).is_file() and self.interpreter.exists()


def describe(environment: EngineEnvironment) -> str:
    """Where it is, or that it will be installed."""
    if environment.is_ready:
        return f"{environment.package} {environment.version} in {environment.folder}"
    size = f"{environment.size / 1e9:.1f} GB, or: ftsdk backends install {environment.name}"
    return f"{environment.package} {environment.version} is installed at the first job ({size})"


def obstacles(environment: EngineEnvironment) -> list[Problem]:
    """What prevents its installation; empty: nothing, or it is installed."""
    if environment.is_ready or shutil.which("uv"):
        return []
    try:
        _find_python(environment)
    except ConfigError as error:
        return [Problem(environment.package, error.message, error.hint)]
    return []


def check_python(python: Path, environment: EngineEnvironment) -> None:
    """Check that an interpreter of the user's own has the engine, in the version that we know.

    Raises:
        ConfigError: It has not.
    """
    option = f"backend_options.{environment.name}.python"
    try:
        query = subprocess.run(
            [python, "-I", "-c", _VERSION_QUERY, environment.package],
            capture_output=True,
            text=True,
            timeout=_QUERY_SECONDS,
            check=False,
            env=worker_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{option}={python} cannot be run: {error}", hint="give a Python interpreter") from error
    version = query.stdout.strip()
    if query.returncode or version != environment.version:
        package = environment.package
        content = f"has {package} {version}" if version else f"has no {package}"
        hint = f"install {package}=={environment.version} there, or leave the option out"
        raise ConfigError(f"{option}={python} {content}, and this backend supports {environment.version}", hint=hint)


def build(environment: EngineEnvironment, report: Report) -> None:
    """Install everything, where it is not installed yet; of several calls, one works and the others wait.

    Raises:
        ConfigError: There is no Python of the right version, or an installer failed.
        InputError: The disk has too little space.
    """
    with _install_lock(environment):
        if environment.is_ready:
            report(f"{environment.package} {environment.version} is in {environment.folder}")
            return
        _check_disk_space(environment)
        shutil.rmtree(environment.folder, ignore_errors=True)
        for command in _commands(environment):
            report(f"$ {' '.join(command)}")
            _run(command, environment, report)
        marker = {
            "package": environment.package,
            "version": environment.version,
            "lock_sha256": sha256(environment.lock),
        }
        write_json(environment.folder / _MARKER, marker)
        report(f"{environment.package} {environment.version} is in {environment.folder}")


def _check_disk_space(environment: EngineEnvironment) -> None:
    parent = environment.folder.parent
    free = shutil.disk_usage(parent).free
    if free < environment.size:
        size = f"{environment.size / 1e9:.1f} GB"
        raise InputError(
            f"{environment.package} takes about {size}, and {parent} has {free / 1e9:.1f} GB",
            hint=f"free some space there, or set {ENGINES} to a folder on a larger disk",
        )


def _commands(environment: EngineEnvironment) -> Iterator[Sequence[str]]:
    """With uv where it is present, which is fast and installs Python itself; else with venv and pip."""
    lock, interpreter = str(environment.lock), str(environment.interpreter)
    if uv := shutil.which("uv"):
        yield (uv, "venv", "--python", environment.python, str(environment.folder))
        install: tuple[str, ...] = (uv, "pip", "install", "--python", interpreter)
    else:
        yield (_find_python(environment), "-m", "venv", str(environment.folder))
        options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
        install = (interpreter, "-m", "pip", "install", *options)
    # PyTorch first, and with its dependencies: on Linux with a card these are CUDA's libraries, whose names depend on
    # PyTorch's build for the machine, so that no lock file for every machine can list them.
    if environment.includes_torch:
        yield (*install, "--constraint", lock, "torch")
    # The rest without resolution: the lock file is complete, and leaves out dependencies that the engine declares and
    # does not use; an installer that resolved would add them again.
    yield (*install, "--no-deps", "-r", lock)


def _find_python(environment: EngineEnvironment) -> str:
    if environment.python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    path = shutil.which(f"python{environment.python}")
    if path is None:
        raise ConfigError(
            f"{environment.package} {environment.version} needs Python {environment.python}, and there is none here",
            hint=f"install uv, which installs it, or python{environment.python}",
        )
    return path


def _run(command: Sequence[str], environment: EngineEnvironment, report: Report) -> None:
    """Run an installer to its end, and report what it prints."""
    last = ""
    try:
        with subprocess.Popen(
            command,
            env=_installer_variables(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = redact(line.strip()) or last  # an index's URL may hold a password
                report(last)
    except OSError as error:
        raise ConfigError(
            f"{command[0]} cannot be run: {error.strerror}", hint="check whether it is installed"
        ) from error
    if process.returncode:
        raise ConfigError(
            f"{environment.package} {environment.version} could not be installed: {last}",
            hint=f"read the lines above, then ftsdk backends install {environment.name}",
        )


def _installer_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker, and the variables that configure installers; no keys of services."""
    installers = {name: value for name, value in variables.items() if name.startswith(_INSTALLER_VARIABLES)}
    return {**installers, **worker_environment()}


@contextmanager
def _install_lock(environment: EngineEnvironment) -> Iterator[None]:
    # The kernel drops an flock when its holder ends, however it ends, so a killed installation blocks nobody. The file
    # stays: to remove a lock file that another process has opened would let two of them hold "the" lock.
    file = os.open(engines() / f".{environment.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
