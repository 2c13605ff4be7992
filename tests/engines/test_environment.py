"""An engine's own environment is installed completely, once, from its lock file, or not at all."""

import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from ftsdk.engines import environment as environments
from ftsdk.engines.environment import EngineEnvironment, build, check_python, describe, obstacles
from ftsdk.errors import ConfigError, InputError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


once = pytest.mark.xdist_group("environment")
"""Uses the environment that is installed once, in one process."""


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """The smallest wheel that can be installed."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + required,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def installer(patch, folder):
    """Configures an installer that needs no network; returns the environment of a small engine, not yet installed."""
    wheel(folder / "wheels", "engine", "1.2")
    patch.setenv("FTSDK_ENGINES", str(folder / "engines"))
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
    patch.setattr(environments.shutil, "which", lambda _: None)  # no uv, no other Python
    (folder / "lock.txt").write_text("# what it needs\nengine==1.2\n")
    return EngineEnvironment(name="small", package="engine", lock=folder / "lock.txt", python=HERE, size=10**6)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment that is not installed yet."""
    return installer(monkeypatch, tmp_path)


class Built(NamedTuple):
    """An environment, and what was reported of it."""

    environment: EngineEnvironment
    description: str
    """In ``ftsdk doctor``, before it was installed."""
    lines: list[str]
    """The progress of its installation."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """An environment that is installed once, for tests that do not change it."""
    with pytest.MonkeyPatch.context() as patch:
        environment, lines = installer(patch, tmp_path_factory.mktemp("small")), []
        description = describe(environment)
        build(environment, lines.append)
        return Built(environment, description, lines)


@pytest.fixture
def built(installation, monkeypatch):
    """The same, in the folder where the backend looks for it."""
    monkeypatch.setenv("FTSDK_ENGINES", str(installation.environment.lock.parent / "engines"))
    return installation


def version_in(python: Path) -> str:
    code = "import engine; print(engine.VERSION)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@once
def test_it_is_made_from_the_lock_file(built):
    """The engine is there in its version, and in no Python but its own."""
    assert (True, "1.2") == (built.environment.is_ready, version_in(built.environment.interpreter))
    with pytest.raises(subprocess.CalledProcessError):
        version_in(Path(sys.executable))


def test_torch_is_installed_with_cuda_libraries(environment, tmp_path):
    """On a machine with a card, PyTorch comes with CUDA's libraries, which no lock file for all machines can name."""
    wheel(tmp_path / "wheels", "torch", "9.0", "cudalib", "mathlib")
    wheel(tmp_path / "wheels", "cudalib", "13.0")
    wheel(tmp_path / "wheels", "mathlib", "1.0")
    wheel(tmp_path / "wheels", "mathlib", "2.0")
    environment.lock.write_text("engine==1.2\nmathlib==1.0\ntorch==9.0\n")
    build(environment, lambda _: None)
    code = "import cudalib, mathlib, torch; print(cudalib.VERSION, mathlib.VERSION, torch.VERSION)"
    query = subprocess.run([environment.interpreter, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert ["13.0", "1.0", "9.0"] == query.stdout.split()


@once
def test_progress_is_reported(built):
    """Each line of the installer is passed on."""
    assert ["Successfully installed engine-1.2"] == [line for line in built.lines if line.startswith("Successfully")]


@once
def test_what_is_there_is_not_made_again(built):
    """The second call only reports where it is."""
    lines = []

    build(built.environment, lines.append)

    assert [f"engine 1.2 is in {built.environment.folder}"] == lines


def test_an_interrupted_installation_is_none(environment):
    """What a killed installer has left is not taken for the engine, and the next call completes it."""
    (environment.folder / "bin").mkdir(parents=True)
    environment.interpreter.symlink_to(sys.executable)
    before = environment.is_ready

    build(environment, lambda _: None)

    assert (False, True, "1.2") == (before, environment.is_ready, version_in(environment.interpreter))


def test_many_at_once_make_one(environment):
    """Of several calls, one installs and the others wait for it."""
    lines = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: build(environment, lines.append), range(3)))

    assert 1 == sum(line.startswith("Successfully") for line in lines)


def test_a_failed_installation_reports_its_cause(environment, tmp_path):
    """The installer's last line is the message, and there is no environment."""
    environment.lock.write_text("engine==9.9\n")

    with pytest.raises(ConfigError, match=r"engine 9\.9 could not be installed: .*engine==9\.9"):
        build(environment, lambda _: None)

    assert not environment.is_ready


def test_a_full_disk_is_reported_before_an_installation(environment):
    """An installation for which there is no space is not begun."""
    huge = EngineEnvironment(environment.name, environment.package, environment.lock, environment.python, size=10**18)

    with pytest.raises(InputError, match="takes about"):
        build(huge, lambda _: None)

    assert not huge.folder.exists()


def test_a_python_that_is_not_here_is_named(environment):
    """Without uv, the engine's version of Python must be here."""
    outdated = EngineEnvironment(environment.name, environment.package, environment.lock, "2.7", environment.size)

    assert [("engine", "engine 1.2 needs Python 2.7, and there is none here")] == [p[:2] for p in obstacles(outdated)]


def test_uv_is_used_where_it_is(environment, monkeypatch, tmp_path):
    """It is faster, and installs the right Python."""
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ $1 = pip ] || mkdir -p "$4"/bin\n')
    uv.chmod(0o755)
    monkeypatch.setattr(environments.shutil, "which", lambda name: str(uv) if name == "uv" else None)

    build(environment, lambda _: None)

    first, second = (tmp_path / "calls").read_text().splitlines()
    assert f"venv --python {HERE} {environment.folder}" == first
    assert f"pip install --python {environment.interpreter} --no-deps -r {environment.lock}" == second


def test_keys_do_not_reach_an_installer(environment, monkeypatch, tmp_path):
    """A package that is built while it is installed finds no key of a service."""
    monkeypatch.setenv("TOGETHER_API_KEY", "canary")

    variables = environments._installer_variables(os.environ)

    assert (False, "1") == ("canary" in variables.values(), variables["PIP_NO_INDEX"])


@once
def test_a_python_of_the_users_own(built):
    """It must have the engine, in the version that the backend supports."""
    environment = built.environment

    check_python(environment.interpreter, environment)
    with pytest.raises(ConfigError, match=r"has no engine, and this backend supports 1\.2"):
        check_python(Path(sys.executable), environment)
    with pytest.raises(ConfigError, match="cannot be run"):
        check_python(environment.lock, environment)


@once
def test_doctor_describes_it(built):
    """Where it is, or how large it will be."""
    assert "engine 1.2 is installed at the first job (0.0 GB, or: ftsdk backends install small)" == built.description
    assert f"engine 1.2 in {built.environment.folder}" == describe(built.environment)
