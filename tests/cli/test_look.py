"""Status, lists, logs and events as people see them."""

import json

import pytest

from ftsdk.cli.look import event_line
from ftsdk.job_types import Event
from ftsdk.redact import MASK


def test_status_names_state_steps_and_what_to_do_next(cli, submitted):
    """A status is a few aligned lines, and the commands that make sense in this state."""
    result = cli("status", submitted(outcome="oom"))

    assert "oom" in result.stdout
    assert "5 of 10" in result.stdout
    assert "ftsdk resume fake:" in result.stderr


def test_a_word_that_nobody_knows_is_shown(cli, submitted):
    """An unknown state keeps the system's own word."""
    told = json.loads(cli("status", submitted(unknown_status="MELTING"), "--json").stdout)

    assert ("unknown", "MELTING") == (told["state"], told["raw_status"])


def test_no_jobs_is_no_error(cli):
    """Without jobs, stdout stays empty, and stderr says how to begin."""
    result = cli("jobs")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "ftsdk init" in result.stderr


def test_jobs_are_limited_to_the_newest(cli, submitted):
    """``--limit`` takes the newest jobs."""
    refs = [submitted(steps=steps) for steps in (1, 2, 3)]

    told = json.loads(cli("jobs", "--limit", "2", "--json").stdout)

    assert [refs[2], refs[1]] == [job["ref"] for job in told]


def test_a_list_is_not_cut_for_programs(cli, submitted, write_spec):
    """Where no terminal sets a width, each job stays on one line, to be searched."""
    write = write_spec(fields={"model": "organization-with-a-long-name/" + "m" * 60, "name": "n" * 60})
    cli("submit", write)

    _heading, line = cli("jobs").stdout.splitlines()

    assert "n" * 60 in line


def test_logs_show_lines_as_they_are(cli, submitted, monkeypatch):
    """Lines are neither wrapped nor taken for markup; escape sequences and secrets do not get through."""
    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    line = "[red]loss[/red] \x1b[31mcanary-7f3k2m9q\x1b[0m " + "x" * 300
    monkeypatch.setattr("ftsdk.logs", lambda ref, follow: iter([line]), raising=False)

    result = cli("logs", "fake:1")

    assert f"[red]loss[/red] {MASK} {'x' * 300}\n" == result.stdout


@pytest.mark.parametrize("verb", ["logs", "events"])
def test_secrets_in_a_stream_are_masked_in_json(cli, monkeypatch, verb):
    """A document holds no secret either."""
    monkeypatch.setenv("ACME_API_KEY", "canary-7f3k2m9q")
    items = {"logs": "key canary-7f3k2m9q", "events": {"message": "canary-7f3k2m9q"}}
    monkeypatch.setattr(f"ftsdk.{verb}", lambda ref, **how: iter([items[verb]]), raising=False)

    result = cli(verb, "fake:1", "--json")

    assert "canary" not in result.output
    assert MASK in result.stdout


def test_events_go_on_behind_a_cursor(cli, submitted):
    """``--after`` leaves out what is known."""
    ref = submitted()
    told = json.loads(cli("events", ref, "--json").stdout)

    assert told[3:] == json.loads(cli("events", ref, "--after", told[2]["cursor"], "--json").stdout)


def test_an_event_is_one_line():
    """An event cannot pass itself off as two."""
    event = Event(cursor="1", time=0, kind="log", message="first\n2026-01-01 forged")

    assert 1 == len(event_line(event).plain.splitlines())
