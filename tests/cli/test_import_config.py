"""``ftsdk import`` in the shell."""

import json
from pathlib import Path

import pytest

from ftsdk.spec.loader import load_spec

FILE = "base_model: org/base\nlearning_rate: 2e-4\ndatasets: [{path: rows.jsonl, type: chat_template}]\ntf32: true\n"


@pytest.fixture
def axolotl_file(tmp_path):
    path = tmp_path / "axolotl.yaml"
    path.write_text(FILE)
    return path


def test_the_spec_goes_to_stdout_and_the_notes_to_stderr(cli, axolotl_file):
    """The output can be redirected into a file; notes on keys are on stderr."""
    result = cli("import", axolotl_file)
    Path("job.yaml").write_text(result.stdout)

    assert 2e-4 == load_spec("job.yaml").learning_rate
    assert "tf32" in result.stderr
    assert "ftsdk plan job.yaml" in result.stderr


def test_a_file_is_written_once(cli, axolotl_file):
    """--output writes a file, and over it only with --force."""
    new = cli("import", axolotl_file, "--output", "job.yaml")
    Path("job.yaml").write_text("mine")
    refused = cli("import", axolotl_file, "-o", "job.yaml")
    content = Path("job.yaml").read_text()
    forced = cli("import", axolotl_file, "-o", "job.yaml", "--force")

    assert ("job.yaml\n", 0, 1, 0) == (new.stdout, new.exit_code, refused.exit_code, forced.exit_code)
    assert ("mine", "org/base") == (content, load_spec("job.yaml").model)
    assert "--force" in refused.stderr


def test_a_folder_that_does_not_exist(cli, axolotl_file):
    """A file that cannot be written is an error with the reason."""
    result = cli("import", axolotl_file, "-o", "nowhere/job.yaml")

    assert (1, True) == (result.exit_code, "cannot write nowhere/job.yaml" in result.stderr)


def test_overrides_and_the_source(cli, axolotl_file):
    """Fields can be set after the file, and so can the tool that it belongs to."""
    document = json.loads(cli("import", axolotl_file, "--from", "axolotl", "training.seed=7", "--json").stdout)

    assert ("axolotl", 7) == (document["from"], document["spec"]["training"]["seed"])


def test_strict_refuses_inexact_settings(cli, axolotl_file):
    """--strict makes errors of the notes on settings that are not exactly the same."""
    result = cli("import", axolotl_file, "--strict")

    assert (1, True) == (result.exit_code, "excess_length_strategy" in result.stderr)
