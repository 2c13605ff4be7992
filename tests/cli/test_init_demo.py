"""The first commands of a new user: help, version, init, demo."""

import json
from pathlib import Path

import pytest

import ftsdk


def test_without_arguments_it_shows_help(cli):
    """``ftsdk`` alone lists the commands, and that is no error."""
    result = cli()

    assert 0 == result.exit_code
    assert "submit" in result.stdout


def test_the_version_is_the_package_s(cli):
    """``--version`` prints the version."""
    assert f"ftsdk {ftsdk.__version__}\n" == cli("--version").stdout


def test_a_first_job_can_be_planned_as_it_is(cli):
    """What ``init`` writes is a valid spec of six lines, and its twenty rows are right."""
    cli("init")

    plan = json.loads(cli("plan", "job.yaml", "--backend", "fake", "--json").stdout)

    assert (20, "messages") == (plan["data"]["rows"], plan["data"]["format"])
    assert 6 == len(Path("job.yaml").read_text(encoding="utf-8").splitlines())


def test_init_makes_the_folder_that_is_named(cli, tmp_path):
    """A missing folder is made, and the next step changes into it."""
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


def test_init_reports_why_it_cannot_write(cli, tmp_path):
    """A folder that cannot be made is an error with the reason."""
    (tmp_path / "file").touch()

    result = cli("init", "file/first")

    assert 1 == result.exit_code
    assert "cannot write" in result.stderr


def test_the_demo_shows_its_page_or_prints_its_results(cli, monkeypatch):
    """``demo`` passes on the folder, and with ``--json`` keeps its page away from stdout."""
    received = {}
    monkeypatch.setattr(
        "ftsdk.demo.run", lambda console, **options: received.update(options) or console.print("show") or {"a": 1}
    )

    result = cli("demo", "--out", "here", "--keep", "--json")

    assert {"a": 1} == json.loads(result.stdout)
    assert ("here", True) == (str(received["out"]), received["keep"])
