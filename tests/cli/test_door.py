"""Every error leaves through one door."""

import json

import pytest

from ftsdk.redact import MASK


@pytest.fixture
def bug(monkeypatch):
    """A mistake in the program itself, with a secret in its message."""

    def stumble(**how):
        raise ZeroDivisionError("canary-7f3k2m9q")

    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    monkeypatch.setattr("ftsdk.jobs", stumble, raising=False)


def test_the_unexpected_is_short(cli, bug):
    """A mistake of the program is exit code 1, in a few words, with the way to learn more and without secrets."""
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


def test_a_command_that_does_not_exist_has_a_near_one(cli):
    """A slip of the finger is answered with the right name."""
    result = cli("sumbit")

    assert 2 == result.exit_code
    assert "submit" in result.stderr


def test_several_problems_are_all_told(cli, write_spec):
    """Each problem of a spec is on its own line."""
    result = cli("plan", write_spec(fields={"training": {"max_steps": -1, "seed": -1}}))

    assert 1 == result.exit_code
    assert "training.max_steps" in result.stderr
    assert "training.seed" in result.stderr
