"""Every error is reported in one way."""

import json
import shlex

import pytest

from ftsdk.redact import MASK


@pytest.fixture
def bug(monkeypatch):
    """A bug in the program itself, with a secret in its message."""

    def fail(**options):
        raise ZeroDivisionError("canary-7f3k2m9q")

    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    monkeypatch.setattr("ftsdk.jobs", fail, raising=False)


def test_the_unexpected_is_short(cli, bug):
    """A bug is exit code 1: one line with the next step, and without secrets."""
    result = cli("jobs")

    assert 1 == result.exit_code
    assert "ZeroDivisionError" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.output
    assert "canary" not in result.output


def test_debug_shows_where_it_comes_from(cli, bug):
    """With ``--debug`` the traceback is on stderr, secrets masked; the document stays alone on stdout."""
    result = cli("jobs", "--debug", "--json")

    assert "Traceback" in result.stderr
    assert MASK in json.loads(result.stdout)["message"]
    assert "canary" not in result.output


def test_the_next_step_of_a_bug_works_when_typed(cli, bug):
    """The command that the error names shows the traceback, and then no further command."""
    next_step = cli("jobs", "--limit", "3").stderr.partition("Next: ")[2].partition(" shows where")[0]

    program, *arguments = shlex.split(next_step)
    result = cli(*arguments)

    assert ("ftsdk", ["--debug", "jobs", "--limit", "3"]) == (program, arguments)
    assert "Traceback" in result.stderr
    assert "please report it, with the traceback" in result.stderr


@pytest.mark.parametrize("arguments", [("--debug", "submit", "{spec}"), ("submit", "{spec}", "--debug")])
def test_debug_is_an_option_of_the_program_and_of_each_command(cli, write_spec, arguments):
    """``--debug`` means the same before the command and after it."""
    spec = str(write_spec(reject=True))

    result = cli(*(argument.format(spec=spec) for argument in arguments))

    assert 1 == result.exit_code
    assert "Traceback" in result.stderr
    assert "RejectedError" in result.stderr


def test_a_misspelled_command_names_the_nearest(cli):
    """A misspelled command is answered with the right name."""
    result = cli("sumbit")

    assert 2 == result.exit_code
    assert "submit" in result.stderr


def test_several_problems_are_all_reported(cli, write_spec):
    """Each problem of a spec is on its own line."""
    result = cli("plan", write_spec(fields={"training": {"max_steps": -1, "seed": -1}}))

    assert 1 == result.exit_code
    assert "training.max_steps" in result.stderr
    assert "training.seed" in result.stderr
