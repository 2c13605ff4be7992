"""``ftsdk import`` in the shell."""

import json
from pathlib import Path

import pytest

from ftsdk.spec.loader import load_spec

FILE = "base_model: org/base\nlearning_rate: 2e-4\ndatasets: [{path: rows.jsonl, type: chat_template}]\ntf32: true\n"


@pytest.fixture
def theirs(tmp_path):
    path = tmp_path / "axolotl.yaml"
    path.write_text(FILE)
    return path


def test_the_spec_goes_to_stdout_and_the_notes_to_stderr(cli, theirs):
    """What is printed can be piped into a file; what is told of keys stands apart."""
    result = cli("import", theirs)
    Path("job.yaml").write_text(result.stdout)

    assert 2e-4 == load_spec("job.yaml").learning_rate
    assert "tf32" in result.stderr
    assert "ftsdk plan job.yaml" in result.stderr


def test_a_file_is_written_once(cli, theirs):
    """--output writes a file, and over it only with --force."""
    first = cli("import", theirs, "--output", "job.yaml")
    Path("job.yaml").write_text("mine")
    second = cli("import", theirs, "-o", "job.yaml")
    kept = Path("job.yaml").read_text()
    third = cli("import", theirs, "-o", "job.yaml", "--force")

    assert ("job.yaml\n", 0, 1, 0) == (first.stdout, first.exit_code, second.exit_code, third.exit_code)
    assert ("mine", "org/base") == (kept, load_spec("job.yaml").model)
    assert "--force" in second.stderr


def test_a_folder_that_is_not_there(cli, theirs):
    """A file that cannot be written is an error in words."""
    result = cli("import", theirs, "-o", "nowhere/job.yaml")

    assert (1, True) == (result.exit_code, "cannot write nowhere/job.yaml" in result.stderr)


def test_overrides_and_the_source(cli, theirs):
    """Fields can be said behind the file, and whose file it is."""
    told = json.loads(cli("import", theirs, "--from", "axolotl", "training.seed=7", "--json").stdout)

    assert ("axolotl", 7) == (told["from"], told["spec"]["training"]["seed"])


def test_strict_refuses_what_comes_near(cli, theirs):
    """--strict makes errors of the notes on what is not the same to the letter."""
    result = cli("import", theirs, "--strict")

    assert (1, True) == (result.exit_code, "excess_length_strategy" in result.stderr)
