from importlib import metadata

import pytest

from ftsdk.backend import Plan
from ftsdk.errors import RejectedError
from ftsdk.spec import JobSpec
from ftsdk_local import LocalBackend, requirements


def installed(monkeypatch, versions):
    """Pretend that these versions are installed, instead of or beside the real ones."""
    real = metadata.version

    def version(name):
        version = versions.get(name, "")
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version or real(name)

    monkeypatch.setattr(requirements.metadata, "version", version)


def test_what_is_there_is_no_problem():
    """With the extra installed, nothing stands in the way."""
    assert [] == requirements.check()


def test_a_missing_package_is_named_with_the_line_to_type(monkeypatch):
    """The problem names what is missing, and how to get it."""
    installed(monkeypatch, {"peft": None})

    assert [("peft", "is not installed", "pip install --upgrade 'ftsdk[local]'")] == requirements.check()


@pytest.mark.parametrize(("name", "version"), [("torch", "2.9.1"), ("transformers", "5.2.0"), ("datasets", "5.1.0")])
def test_a_version_that_is_not_safe_is_too_old(monkeypatch, name, version):
    """Versions in which loading a file can run code are refused."""
    installed(monkeypatch, {name: version})

    assert [name] == [problem.where for problem in requirements.check()]


@pytest.mark.parametrize("version", ["2.10.0+cpu", "2.14.0.dev20260901+cu130"])
def test_builds_of_its_own_are_fine(monkeypatch, version):
    """A build for one kind of hardware, or of last night, is as new as its number says."""
    installed(monkeypatch, {"torch": version})

    assert [] == requirements.check()


def test_nothing_is_created_where_nothing_can_run(ftsdk_home, monkeypatch):
    """Without its packages the backend refuses a job before it makes a folder."""
    installed(monkeypatch, {"trl": None})
    plan = Plan(backend="local", spec=JobSpec(model="m", dataset="d.jsonl"), native={})

    with pytest.raises(RejectedError, match="trl is not installed"):
        LocalBackend().submit(plan, "a" * 26, lambda **_: None)

    assert not (ftsdk_home / "jobs").exists()
