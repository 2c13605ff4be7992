"""An engine's own environment is made whole, once, from its lock file, or not at all."""

import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from ftsdk.engines import environment as room
from ftsdk.engines.environment import EngineEnvironment, build, check_python, describe, obstacles
from ftsdk.errors import ConfigError, InputError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


once = pytest.mark.xdist_group("house")
"""Looks at the house that is made once, which is in one process."""


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
    """Lets houses be made in a folder by an installer that asks nobody; gives the one for a small engine."""
    wheel(folder / "wheels", "engine", "1.2")
    patch.setenv("FTSDK_ENGINES", str(folder / "engines"))
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
    patch.setattr(room.shutil, "which", lambda _: None)  # no uv, no other Python
    (folder / "lock.txt").write_text("# what it needs\nengine==1.2\n")
    return EngineEnvironment(name="small", package="engine", lock=folder / "lock.txt", python=HERE, size=10**6)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A house that is not made yet."""
    return installer(monkeypatch, tmp_path)


class Built(NamedTuple):
    """A house, and what was said of it."""

    house: EngineEnvironment
    before: str
    """By ``ftsdk doctor``, before it was made."""
    told: list[str]
    """While it was made."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A house that was made once, for tests that look at it."""
    with pytest.MonkeyPatch.context() as patch:
        house, told = installer(patch, tmp_path_factory.mktemp("small")), []
        before = describe(house)
        build(house, told.append)
        return Built(house, before, told)


@pytest.fixture
def built(made, monkeypatch):
    """It, where the backend looks for it."""
    monkeypatch.setenv("FTSDK_ENGINES", str(made.house.lock.parent / "engines"))
    return made


def version_in(python: Path) -> str:
    code = "import engine; print(engine.VERSION)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@once
def test_it_is_made_from_the_lock_file(built):
    """The engine is there in its version, and in no Python but its own."""
    assert (True, "1.2") == (built.house.is_ready, version_in(built.house.interpreter))
    with pytest.raises(subprocess.CalledProcessError):
        version_in(Path(sys.executable))


def test_torch_brings_what_its_build_needs(house, tmp_path):
    """On a machine with a card, PyTorch comes with CUDA's libraries, which no lock file for all machines can name."""
    wheel(tmp_path / "wheels", "torch", "9.0", "cudalib", "mathlib")
    wheel(tmp_path / "wheels", "cudalib", "13.0")
    wheel(tmp_path / "wheels", "mathlib", "1.0")
    wheel(tmp_path / "wheels", "mathlib", "2.0")
    house.lock.write_text("engine==1.2\nmathlib==1.0\ntorch==9.0\n")
    build(house, lambda _: None)
    code = "import cudalib, mathlib, torch; print(cudalib.VERSION, mathlib.VERSION, torch.VERSION)"
    told = subprocess.run([house.interpreter, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert ["13.0", "1.0", "9.0"] == told.stdout.split()


@once
def test_progress_is_told(built):
    """Each line of the installer is passed on."""
    assert ["Successfully installed engine-1.2"] == [line for line in built.told if line.startswith("Successfully")]


@once
def test_what_is_there_is_not_made_again(built):
    """The second call only says where it is."""
    told = []

    build(built.house, told.append)

    assert [f"engine 1.2 is in {built.house.folder}"] == told


def test_an_interrupted_installation_is_none(house):
    """What a killed installer has left is not taken for the engine, and the next call makes it whole."""
    (house.folder / "bin").mkdir(parents=True)
    house.interpreter.symlink_to(sys.executable)
    before = house.is_ready

    build(house, lambda _: None)

    assert (False, True, "1.2") == (before, house.is_ready, version_in(house.interpreter))


def test_many_at_once_make_one(house):
    """Of several calls, one installs and the others wait for it."""
    told = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: build(house, told.append), range(3)))

    assert 1 == sum(line.startswith("Successfully") for line in told)


def test_a_failed_installation_says_why(house, tmp_path):
    """The installer's last word is the message, and there is no house."""
    house.lock.write_text("engine==9.9\n")

    with pytest.raises(ConfigError, match=r"engine 9\.9 could not be installed: .*engine==9\.9"):
        build(house, lambda _: None)

    assert not house.is_ready


def test_a_full_disk_is_seen_before(house):
    """What cannot fit is not begun."""
    huge = EngineEnvironment(house.name, house.package, house.lock, house.python, size=10**18)

    with pytest.raises(InputError, match="takes about"):
        build(huge, lambda _: None)

    assert not huge.folder.exists()


def test_a_python_that_is_not_here_is_named(house):
    """Without uv, the engine's version of Python must be here."""
    other = EngineEnvironment(house.name, house.package, house.lock, "2.7", house.size)

    assert [("engine", "engine 1.2 needs Python 2.7, and there is none here")] == [p[:2] for p in obstacles(other)]


def test_uv_is_used_where_it_is(house, monkeypatch, tmp_path):
    """It is faster, and brings the right Python along."""
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ $1 = pip ] || mkdir -p "$4"/bin\n')
    uv.chmod(0o755)
    monkeypatch.setattr(room.shutil, "which", lambda name: str(uv) if name == "uv" else None)

    build(house, lambda _: None)

    first, second = (tmp_path / "asked").read_text().splitlines()
    assert f"venv --python {HERE} {house.folder}" == first
    assert f"pip install --python {house.interpreter} --no-deps -r {house.lock}" == second


def test_keys_do_not_reach_an_installer(house, monkeypatch, tmp_path):
    """A package that is built while it is installed finds no key of a service."""
    monkeypatch.setenv("TOGETHER_API_KEY", "canary")

    assert ("canary" in room._environment(os.environ).values(), room._environment(os.environ)["PIP_NO_INDEX"]) == (
        False,
        "1",
    )


@once
def test_a_python_of_the_users_own(built):
    """It must have the engine, in the version that the backend speaks to."""
    house = built.house

    check_python(house.interpreter, house)
    with pytest.raises(ConfigError, match=r"has no engine, and this backend speaks to 1\.2"):
        check_python(Path(sys.executable), house)
    with pytest.raises(ConfigError, match="cannot be run"):
        check_python(house.lock, house)


@once
def test_doctor_is_told(built):
    """Where it is, or what it will take."""
    assert "engine 1.2 is installed at the first job (0.0 GB, or: ftsdk backends install small)" == built.before
    assert f"engine 1.2 in {built.house.folder}" == describe(built.house)
