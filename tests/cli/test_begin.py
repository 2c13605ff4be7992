"""The first minutes: help, version, doctor, init, demo."""

import json
from pathlib import Path

import pytest

import ftsdk
from ftsdk.errors import Problem


def test_asked_for_nothing_it_shows_help(cli):
    """``ftsdk`` alone shows the verbs, and that is no error."""
    result = cli()

    assert 0 == result.exit_code
    assert "submit" in result.stdout


def test_the_version_is_the_package_s(cli):
    """``--version`` tells the version."""
    assert f"ftsdk {ftsdk.__version__}\n" == cli("--version").stdout


def test_a_first_job_can_be_planned_as_it_is(cli):
    """What ``init`` writes is a valid spec of six lines, and its twenty rows are right."""
    cli("init")

    told = json.loads(cli("plan", "job.yaml", "--backend", "fake", "--json").stdout)

    assert (20, "messages") == (told["data"]["rows"], told["data"]["format"])
    assert 6 == len(Path("job.yaml").read_text(encoding="utf-8").splitlines())


def test_init_makes_the_folder_that_it_is_given(cli, tmp_path):
    """A folder that is missing is made, and the next step goes there."""
    result = cli("init", "first")

    assert "cd first && ftsdk plan job.yaml" in result.stderr
    assert (tmp_path / "first" / "train.jsonl").is_file()


@pytest.mark.parametrize("name", ["job.yaml", "train.jsonl"])
def test_init_overwrites_nothing(cli, tmp_path, name):
    """A file that is there stays as it is, and no other is written beside it."""
    (tmp_path / name).write_text("mine")

    result = cli("init")

    assert (1, "mine") == (result.exit_code, (tmp_path / name).read_text())
    assert [name] == [path.name for path in tmp_path.glob("*.*l*")]


def test_init_says_why_it_cannot_write(cli, tmp_path):
    """A folder that cannot be made is an error in words."""
    (tmp_path / "file").touch()

    result = cli("init", "file/first")

    assert 1 == result.exit_code
    assert "cannot write" in result.stderr


def test_doctor_is_well_with_a_usable_backend(cli, monkeypatch):
    """With a usable backend, the doctor lets one go on."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")

    result = cli("doctor")

    assert 0 == result.exit_code
    assert "fake (chosen)" in result.stdout


def test_doctor_names_what_is_missing(cli, monkeypatch):
    """A chosen backend that is not usable is exit code 1, with the cause and the line that mends it."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")
    problem = Problem("torch", "is not installed", "pip install 'ftsdk[fake]'")
    monkeypatch.setattr("ftsdk.testing.FakeBackend.check", lambda self: [problem])

    result = cli("doctor")

    assert 1 == result.exit_code
    assert "pip install 'ftsdk[fake]'" in result.stdout


def test_doctor_is_well_when_another_backend_is_not(cli, monkeypatch):
    """A backend that nobody chose may be unusable."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")
    monkeypatch.setattr("ftsdk_local.LocalBackend.check", lambda self: [Problem("torch", "is not installed")])

    assert 0 == cli("doctor").exit_code


def test_doctor_finds_a_backend_that_does_not_exist(cli, monkeypatch):
    """A chosen backend that is not installed is found, not stumbled over."""
    monkeypatch.setenv("FTSDK_BACKEND", "nonesuch")

    told = json.loads(cli("doctor", "--json").stdout)

    assert not told["ok"]
    assert any("nonesuch" in finding["text"] for finding in told["findings"])


def test_the_demo_shows_its_page_or_gives_its_findings(cli, monkeypatch):
    """``demo`` hands over the folder, and with ``--json`` keeps the show away from stdout."""
    seen = {}
    monkeypatch.setattr("ftsdk.demo.run", lambda console, **how: seen.update(how) or console.print("show") or {"a": 1})

    result = cli("demo", "--out", "here", "--keep", "--json")

    assert {"a": 1} == json.loads(result.stdout)
    assert ("here", True) == (str(seen["out"]), seen["keep"])
