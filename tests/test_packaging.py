"""What is shipped is what is meant: the right files, the right metadata, ranges that hold what was tested."""

import importlib.metadata
import json
import re
import zipfile
from importlib.metadata import Distribution, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository_backends import PACKAGES
from trove_classifiers import classifiers

import ftsdk

FTSDK = Distribution.from_name("ftsdk")
NOT_CODE = {"ftsdk/py.typed", "ftsdk/cli/starter/job.yaml", "ftsdk/cli/starter/train.jsonl", "ftsdk/demo/facts.toml"}
TINY_MODEL = "ftsdk/demo/tiny-model/"


def _is_editable() -> bool:
    return bool(json.loads(FTSDK.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"))


@pytest.fixture(scope="module")
def shipped(root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all files in the wheel: of the one installed, or of one built from the checkout."""
    if not _is_editable():
        names = {str(file) for file in FTSDK.files or ()}
        return {name for name in names if not name.startswith("..") and "__pycache__" not in name}
    wheel = next(WheelBuilder(str(root)).build(directory=str(tmp_path_factory.mktemp("wheel"))))
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_our_packages_alone(shipped: set[str]) -> None:
    """Nothing lands in a user's site-packages but ``ftsdk`` and ``ftsdk_*``: no tests, no docs, no scripts."""
    top = {name.split("/")[0] for name in shipped}

    assert {"ftsdk", *PACKAGES.values(), f"ftsdk-{ftsdk.__version__}.dist-info"} == top


def test_the_wheel_holds_code_and_the_tiny_model_alone(shipped: set[str]) -> None:
    """Every file is a module, but for the type marker, what ``ftsdk init`` writes, the demo's and backends' lists."""
    packages = {name for name in shipped if ".dist-info/" not in name}
    extra_files = {name for name in packages if not name.endswith(".py") and not name.startswith(TINY_MODEL)}
    backend_lists = {
        f"{package}/{file.name}"
        for package in PACKAGES.values()
        for file in files(package).iterdir()
        if file.name.endswith(".txt")
    }

    assert NOT_CODE | backend_lists == extra_files


def test_the_tiny_model_is_shipped(shipped: set[str]) -> None:
    """The demo runs offline: its model, safetensors and no pickle, is in the wheel."""
    files = {name.removeprefix(TINY_MODEL) for name in shipped if name.startswith(TINY_MODEL)}

    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files
    assert set() == {name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))}


def test_the_license_is_shipped(shipped: set[str]) -> None:
    """The license travels with the wheel, as text and by name."""
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in shipped)
    assert FTSDK.metadata["License-Expression"] == "Apache-2.0"


def test_the_version_is_one(root: Path) -> None:
    """Package, metadata and changelog have the same version."""
    newest = re.search(r"^## \[(\d[^\]]*)\]", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert newest is not None
    assert (ftsdk.__version__, ftsdk.__version__) == (FTSDK.version, newest[1])


def test_classifiers_are_known() -> None:
    """The package index accepts every classifier."""
    assert set() == set(FTSDK.metadata.get_all("Classifier") or ()) - classifiers


def _requirements(extra: str) -> list[Requirement]:
    requirements = [Requirement(line) for line in FTSDK.requires or ()]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def test_ranges_hold_what_was_tested() -> None:
    """Each declared range admits the version that these tests run with."""
    installed = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions()}
    outside = [r for r in _requirements("local") if not r.specifier.contains(installed[canonicalize_name(r.name)])]

    assert [] == outside


def test_the_tested_environment_is_pinned(root: Path) -> None:
    """The constraints name one exact version of every package that the tests need."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if not line.startswith("#")}

    assert set() == {canonicalize_name(r.name) for r in [*_requirements("local"), *_requirements("dev")]} - pinned


def test_every_requirement_has_a_floor() -> None:
    """No requirement allows any version: users would be the first to find an old one broken."""
    bare = [
        r.name for e in ("local", "postgres", "trackers") for r in _requirements(e) if not r.specifier and not r.extras
    ]

    assert [] == bare


@pytest.mark.parametrize("group", ["ftsdk.backends", "ftsdk.importers", "ftsdk.steps", "console_scripts"])
def test_entry_points_lead_somewhere(group: str) -> None:
    """Each entry point of ours names a module that is shipped."""
    targets = [entry for entry in FTSDK.entry_points if entry.group == group]

    assert targets
    assert [] == [entry.value for entry in targets if find_spec(entry.module) is None]


def test_one_name_everywhere() -> None:
    """A backend that needs packages has an extra of its own name, so that ``ftsdk[NAME]`` is always right."""
    extras = set(FTSDK.metadata.get_all("Provides-Extra") or ())
    names = {entry.name for entry in entry_points(group="ftsdk.backends") if entry.value.startswith("ftsdk_")}

    assert set() == names - extras
