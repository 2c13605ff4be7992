"""The fake backend follows its script, including every failure."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import ftsdk
from ftsdk.backend import Plan
from ftsdk.errors import AmbiguousError, JobNotReady, RejectedError, UnreachableError, UnsupportedSpec
from ftsdk.job_types import JobState, Reason
from ftsdk.testing import FakeBackend, Script, service
from ftsdk.testing.script import RecordedRequest, timeline

TOKEN = "abcdefghijklmnopqrstuvwxyz"
backend = FakeBackend()


def plan(**script: object) -> Plan:
    spec = ftsdk.JobSpec(model="org/tiny", dataset="rows.jsonl", backend_options={"fake": script})
    return backend.plan(spec, Script(**script))


def submit(**script: object) -> str:
    return backend.submit(plan(**script), TOKEN, lambda **_: None)


def creations() -> int:
    return len(list(service.folder().glob("*.jsonl")))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


# The script


def test_succeeds_at_once() -> None:
    """Without a script, a job has succeeded at its first status."""
    status = backend.status(submit())

    assert (JobState.SUCCEEDED, 1.0, 10) == (status.state, status.progress, status.step)


def test_goes_through_its_states(clock: SimpleNamespace) -> None:
    """Time alone moves a job from the queue to its end."""
    job = submit(queue_seconds=10, run_seconds=20)
    statuses = []
    for clock.now in (1000, 1005, 1010, 1020, 1030, 9999):
        statuses.append(backend.status(job))

    assert ["queued", "queued", "running", "running", "succeeded", "succeeded"] == [status.state for status in statuses]
    assert [0, 0, 0, 5, 10, 10] == [status.step for status in statuses]
    assert 10 == statuses[3].eta_seconds


@pytest.mark.parametrize("reason", list(Reason))
def test_fails_with_each_reason(reason: Reason) -> None:
    """Every reason of the closed list can be scripted, and stops the job halfway."""
    status = backend.status(submit(outcome=reason.value, steps=8))

    assert (JobState.FAILED, reason, 4) == (status.state, status.reason, status.step)
    assert status.message


def test_the_loss_falls() -> None:
    """Metrics are the same each time, and the loss falls with every step."""
    losses = [event.metrics["loss"] for event in backend.events(submit(steps=30)) if event.kind == "metrics"]

    assert 30 == len(losses)
    assert sorted(losses, reverse=True) == losses


def test_cancel_stops_a_job(clock: SimpleNamespace) -> None:
    """A cancelled job stays cancelled, also when it is cancelled again."""
    job = submit(run_seconds=10)
    clock.now += 4
    backend.cancel(job)
    backend.cancel(job)
    clock.now += 100

    assert (JobState.CANCELLED, 4) == (backend.status(job).state, backend.status(job).step)


def test_cancel_can_be_ignored(clock: SimpleNamespace) -> None:
    """A job that ignores a cancel is cancelling, and then succeeds after all."""
    job = submit(run_seconds=10, ignore_cancel=True)
    backend.cancel(job)

    assert JobState.CANCELLING == backend.status(job).state
    clock.now += 10
    assert JobState.SUCCEEDED == backend.status(job).state


def test_resume_continues_from_the_checkpoint(clock: SimpleNamespace) -> None:
    """A failed job, resumed, trains the steps after its last checkpoint and succeeds."""
    job = submit(outcome="oom", steps=10)
    clock.now += 1
    event_count = len(list(backend.events(job)))
    backend.resume(job)

    assert JobState.SUCCEEDED == backend.status(job).state
    assert [6, 7, 8, 9, 10] == [
        event.step for event in backend.events(job, str(event_count)) if event.kind == "metrics"
    ]


@pytest.mark.parametrize("script", [{"run_seconds": 60}, {}])
def test_only_what_has_stopped_is_resumed(script: dict[str, float]) -> None:
    """A job that runs or has succeeded cannot be resumed."""
    with pytest.raises(JobNotReady):
        backend.resume(submit(**script))


def test_nothing_is_fetched_before_the_end(tmp_path: Path) -> None:
    """There is an artifact only when the job has succeeded."""
    with pytest.raises(JobNotReady, match="running"):
        backend.fetch(submit(run_seconds=60), tmp_path / "out")


def test_the_past_does_not_change() -> None:
    """Past events of a job do not change with later requests."""
    script = Script(queue_seconds=1, run_seconds=9)
    requests = [
        RecordedRequest("cancel", 5),
        RecordedRequest("cancel", 6),
        RecordedRequest("resume", 7),
        RecordedRequest("cancel", 9),
        RecordedRequest("resume", 9),
    ]
    lines = [timeline(script, 0, requests[:count]) for count in range(len(requests) + 1)]

    for request, before, after in zip(requests, lines, lines[1:], strict=False):
        past = [event for event in before if event.at <= request.at]
        assert past == after[: len(past)]
        assert [event.at for event in after] == sorted(event.at for event in after)


def test_unknown_words_are_kept() -> None:
    """An unknown status word is ``unknown``, and is kept."""
    status = backend.status(submit(unknown_status="HIBERNATING"))

    assert (JobState.UNKNOWN, "HIBERNATING") == (status.state, status.raw_status)


def test_outages_pass(clock: SimpleNamespace) -> None:
    """The system does not answer for a while, and then it does."""
    job = submit(unreachable_seconds=5)

    with pytest.raises(UnreachableError):
        backend.status(job)
    clock.now += 5
    assert JobState.SUCCEEDED == backend.status(job).state


def test_costs_its_price(clock: SimpleNamespace) -> None:
    """The price is in the plan, and the cost grows with the steps."""
    job = submit(price=3.0, run_seconds=10)
    clock.now += 5

    assert (3.0, 1.5) == (plan(price=3.0).price, backend.status(job).cost)


# Submitting when things go wrong


def test_one_token_makes_one_job() -> None:
    """The backend searches before it creates, so that a second submit finds the first job."""
    assert submit() == submit()
    assert 1 == creations()


def test_the_system_itself_has_no_idempotency() -> None:
    """A creation without a search before it makes a second job; tests can count them."""
    for _ in range(2):
        service.create(TOKEN, dict(plan().native))

    assert 2 == creations()


def test_a_lost_answer_leaves_a_job() -> None:
    """The job is there though no answer came, and the token finds it."""
    with pytest.raises(AmbiguousError):
        submit(lose_answer=True)

    assert 1 == creations()
    assert backend.find(TOKEN, plan()) == submit(lose_answer=True)


def test_a_lost_request_leaves_none() -> None:
    """Nothing was created when the request was lost; the second one arrives."""
    with pytest.raises(AmbiguousError):
        submit(lose_request=True)

    assert (0, None) == (creations(), backend.find(TOKEN, plan()))
    assert submit(lose_request=True)


def test_a_refusal_creates_nothing() -> None:
    """A refused request leaves nothing behind."""
    with pytest.raises(RejectedError):
        submit(reject=True)

    assert 0 == creations()


def test_find_can_be_undecided() -> None:
    """Where the system does not know whether there is a job, neither does the backend, and none is created twice."""
    submit(find_undecided=True)

    for _ in range(2):
        with pytest.raises(AmbiguousError):
            submit(find_undecided=True)
    assert 1 == creations()


def test_find_can_lag(clock: SimpleNamespace) -> None:
    """A job that is not listed yet is found later; until then the answer is an error."""
    job = submit(find_lag_seconds=5)

    with pytest.raises(AmbiguousError):
        backend.find(TOKEN, plan(find_lag_seconds=5))
    clock.now += 5
    assert job == backend.find(TOKEN, plan(find_lag_seconds=5))


def test_a_plan_names_what_it_refuses() -> None:
    """The one field that the fake backend does not support is refused by name; ignored advice is noted."""
    spec = ftsdk.JobSpec(model="m", dataset="d.jsonl", training={"quantization_aware": "int8"})
    advised = ftsdk.JobSpec(model="m", dataset="d.jsonl", compute={"attention": "eager"})

    with pytest.raises(UnsupportedSpec, match=r"training\.quantization_aware"):
        backend.plan(spec, Script())
    assert ["compute.attention"] == [note.field for note in backend.plan(advised, Script()).set_aside]


def test_a_full_model_is_fetched_without_an_adapter(tmp_path: Path) -> None:
    """Where every weight was trained, the artifact is a model."""
    spec = ftsdk.JobSpec(model="org/tiny", dataset="rows.jsonl", adapter=None)
    job = backend.submit(backend.plan(spec, Script()), TOKEN, lambda **_: None)

    assert "model" == backend.fetch(job, tmp_path / "out").kind
