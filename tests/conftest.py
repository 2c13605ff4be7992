"""Fixtures of every test: a state folder of its own, no internet, one thread, and the paths of data."""

import importlib.resources
import importlib.util
import os
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
KEPT_VARIABLES = {"FTSDK_TEST_DATA", "FTSDK_ENGINES"}
CLEARED_PREFIXES = ("FTSDK_", "REPLICATE_", "TOGETHER_", "WANDB_", "HF_TOKEN", "HF_ENDPOINT")
"""Settings, keys and addresses of the user, which no test may use."""

# Libraries read these when they are imported, and worker processes inherit them: set here, before any test.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])  # `ftsdk`, as users type it
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

os.environ.setdefault("FTSDK_ENGINES", str(ROOT / "build" / "engines"))  # gigabytes, which all tests share

# A stand-in service is beside the tests of its backend, and other tests import it, too.
sys.path += sorted(str(folder) for folder in Path(__file__).parent.glob("backends/*") if folder.is_dir())

settings.register_profile("ftsdk", deadline=None)  # a busy machine is no failure
settings.load_profile("ftsdk")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share an expensive fixture, such as a trained job, run in one process, so that it is made once."""
    for item in items:
        trains = item.get_closest_marker("engine") or item.get_closest_marker("foreign_engine")
        if trains and item.cls:
            item.add_marker(pytest.mark.xdist_group(item.cls.__name__))


@pytest.fixture(autouse=True)
def ftsdk_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state folder, not made yet; no setting of the user reaches a test."""
    for name in [name for name in os.environ if name.startswith(CLEARED_PREFIXES) and name not in KEPT_VARIABLES]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FTSDK_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    return folder / "state"


@pytest.fixture(autouse=True)
def _no_internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that connects to another machine fails with its address, even where the code ignores the error."""
    refused: list[str] = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _only_loopback(getattr(socket.socket, name), refused))
    yield
    assert refused == [], "a test tried to reach another machine"


def _only_loopback(connect: Callable[..., Any], refused: list[str]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            refused.append(address[0])
            raise ConnectionRefusedError(f"tests have no internet: {address[0]}")
        return connect(self, address)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder with tests/, docs/ and README.md. It is no checkout where the built wheel is tested."""
    return ROOT


@pytest.fixture
def example(root: Path) -> Callable[[str], ModuleType]:
    """Imports an example by its name."""

    def load(name: str) -> ModuleType:
        location = importlib.util.spec_from_file_location(name, root / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(location)
        location.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets: ``FTSDK_TEST_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("FTSDK_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("there are no real datasets here; FTSDK_TEST_DATA says where they are")
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The folder of the tiny model that ships with the package."""
    folder = Path(str(importlib.resources.files("ftsdk") / "demo" / "tiny-model"))
    if not (folder / "config.json").is_file():
        pytest.skip("the tiny model is not built yet")
    return folder
