"""``ftsdk status``, ``jobs``, ``logs`` and ``events`` as people see them."""

import json

import pytest

from ftsdk.cli.job_rendering import event_line
from ftsdk.job_types import Event
from ftsdk.redact import MASK


def test_status_shows_state_steps_and_next_commands(cli, submitted):
    """A status is a few aligned lines, followed by the commands that make sense in this state."""
    result = cli("status", submitted(outcome="oom"))

    assert "oom" in result.stdout
    assert "5 of 10" in result.stdout
    assert "ftsdk resume fake:" in result.stderr


def test_an_unknown_status_word_is_shown(cli, submitted):
    """An unknown state keeps the system's own word."""
    status = json.loads(cli("status", submitted(unknown_status="MELTING"), "--json").stdout)

    assert ("unknown", "MELTING") == (status["state"], status["raw_status"])


def test_no_jobs_is_no_error(cli):
    """Without jobs, stdout stays empty, and stderr has the first commands."""
    result = cli("jobs")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "ftsdk init" in result.stderr


def test_jobs_are_limited_to_the_newest(cli, submitted):
    """``--limit`` takes the newest jobs."""
    refs = [submitted(steps=steps) for steps in (1, 2, 3)]

    summaries = json.loads(cli("jobs", "--limit", "2", "--json").stdout)

    assert [refs[2], refs[1]] == [job["ref"] for job in summaries]


def test_a_list_is_not_cut_for_programs(cli, submitted, write_spec):
    """Where no terminal sets a width, each job stays on one line, to be searched."""
    write = write_spec(fields={"model": "organization-with-a-long-name/" + "m" * 60, "name": "n" * 60})
    cli("submit", write)

    _heading, line = cli("jobs").stdout.splitlines()

    assert "n" * 60 in line


def test_logs_show_lines_as_they_are(cli, submitted, monkeypatch):
    """Lines are neither wrapped nor read as markup; escape sequences and secrets are removed."""
    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    line = "[red]loss[/red] \x1b[31mcanary-7f3k2m9q\x1b[0m " + "x" * 300
    monkeypatch.setattr("ftsdk.logs", lambda ref, follow: iter([line]), raising=False)

    result = cli("logs", "fake:1")

    assert f"[red]loss[/red] {MASK} {'x' * 300}\n" == result.stdout


@pytest.mark.parametrize("command", ["logs", "events"])
def test_secrets_in_a_stream_are_masked_in_json(cli, monkeypatch, command):
    """A document holds no secret either."""
    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    items = {"logs": "key canary-7f3k2m9q", "events": {"message": "canary-7f3k2m9q"}}
    monkeypatch.setattr(f"ftsdk.{command}", lambda ref, **options: iter([items[command]]), raising=False)

    result = cli(command, "fake:1", "--json")

    assert "canary" not in result.output
    assert MASK in result.stdout


def test_events_continue_after_a_cursor(cli, submitted):
    """``--after`` leaves out the events up to the cursor."""
    ref = submitted()
    events = json.loads(cli("events", ref, "--json").stdout)

    assert events[3:] == json.loads(cli("events", ref, "--after", events[2]["cursor"], "--json").stdout)


def test_an_event_is_one_line():
    """An event with line breaks cannot imitate two events."""
    event = Event(cursor="1", time=0, kind="log", message="first\n2026-01-01 forged")

    assert 1 == len(event_line(event).plain.splitlines())
