"""The display while a job runs."""

import io

import pytest
from rich.console import Console

from ftsdk.cli import progress
from ftsdk.job_types import Event, JobState, JobStatus


def metrics(step: int, **values: float) -> Event:
    return Event(cursor=str(step), time=0, kind="metrics", step=step, metrics=values)


def output_of(events, monkeypatch, *, terminal: bool) -> str:
    """What ``watch`` writes for these events."""
    status = JobStatus(state=JobState.RUNNING, total_steps=10, eta_seconds=200, warnings=("no progress",))

    def wait(ref, *, timeout, on_event):
        for event in events:
            on_event(event)
        return status

    monkeypatch.setattr("ftsdk.wait", wait, raising=False)
    monkeypatch.setattr("ftsdk.status", lambda ref: status, raising=False)
    output = io.StringIO()
    progress.watch(Console(file=output, force_terminal=terminal, width=120, _environ={}), "fake:1")
    return output.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_in_figures(monkeypatch, terminal):
    """Step and total, loss, tokens per second and time left are shown."""
    text = output_of([metrics(3, loss=1.23456, tokens_per_second=5321.4)], monkeypatch, terminal=terminal)

    assert "step 3/10  loss 1.235  5,321 tokens/s  3m 20s left" in text


def test_without_a_terminal_lines_are_rate_limited(monkeypatch):
    """A thousand quick steps make one line in a log file, not a thousand."""
    text = output_of([metrics(step, loss=1.0) for step in range(1, 1001)], monkeypatch, terminal=False)

    assert 1 == text.count("step ")


def test_a_warning_of_the_status_is_shown_once(monkeypatch):
    """A warning of the status is shown when it is new, not at every request."""
    monkeypatch.setattr(progress, "_STATUS_SECONDS", 0)

    assert 1 == output_of([metrics(step) for step in range(9)], monkeypatch, terminal=False).count("no progress")


@pytest.mark.parametrize("kind", ["warning", "checkpoint", "sample"])
def test_notable_events_have_their_own_line(monkeypatch, kind):
    """Warnings, checkpoints and samples are shown, on one line each."""
    event = Event(cursor="1", time=0, kind=kind, message="two\nlines")

    assert f"{kind}: two lines" in output_of([event], monkeypatch, terminal=False)


def test_a_message_cannot_control_the_terminal(monkeypatch):
    """Escape sequences in messages of a job are not obeyed."""
    event = Event(cursor="1", time=0, kind="warning", message="\x1b[2Jgone [bold]not[/bold]")

    assert "warning: gone [bold]not[/bold]" in output_of([event], monkeypatch, terminal=False)


def test_every_is_due_at_once_and_then_in_its_time():
    """The first call returns True, the next ones only after the pause."""
    clock = iter([0.0, 1.0, 4.9, 5.0, 6.0])
    due = progress.every(5.0, now=lambda: next(clock))

    assert [True, False, False, True, False] == [due() for _ in range(5)]
