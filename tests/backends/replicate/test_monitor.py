"""Where a training is and what has happened to it, from any answer of Replicate's."""

import pytest
from replicate_service import Fault

import ftsdk
from ftsdk.errors import JobFailed, JobNotFound, UnreachableError
from ftsdk.job_types import JobState, Reason

pytestmark = pytest.mark.usefixtures("backend")


def ended(service, job):
    """The training's own record, once it has ended."""
    job.wait(timeout=10)
    return service.trainings[job.ref.partition(":")[2]]


def test_a_training_runs(service, spec):
    """It is queued, runs, shows its metrics, and succeeds."""
    job = ftsdk.submit(spec())
    status = job.wait(timeout=10)

    events = list(job.events())
    states = [event.state for event in events if event.kind == "state"]
    assert [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED] == states
    assert [2.0, 1.0, 2 / 3, 0.5, 0.4] == [event.metrics["loss"] for event in events if event.kind == "metrics"]
    assert (JobState.SUCCEEDED, 5, 5, 0.4) == (status.state, status.step, status.total_steps, status.metrics["loss"])


def test_events_after_any_cursor_are_the_rest(service, backend, spec):
    """From any cursor, the rest comes, in order, nothing twice."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    native_id = job.ref.partition(":")[2]
    events = list(backend.events(native_id))

    for place, event in enumerate(events, 1):
        assert events[place:] == list(backend.events(native_id, event.cursor))


@pytest.mark.parametrize("logs", [None, "", "short"])
def test_logs_that_are_gone(service, backend, spec, logs):
    """Replicate removes logs: nothing is reported again, and nothing is taken for a new beginning."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    native_id = job.ref.partition(":")[2]
    last = list(backend.events(native_id))[-1].cursor
    service.changes = {"logs": logs}

    assert [] == list(backend.events(native_id, last))


def test_an_end_without_a_beginning(service, backend, spec):
    """A record that has lost its times still reports the end, once."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    native_id = job.ref.partition(":")[2]
    service.changes = {"started_at": None, "completed_at": None}
    states = [event for event in backend.events(native_id, "2.0") if event.kind == "state"]

    assert [JobState.SUCCEEDED] == [event.state for event in states]
    assert [] == list(backend.events(native_id, states[-1].cursor))


ODD = [
    ({"status": "aborted"}, JobState.FAILED, Reason.TIMEOUT),
    ({"status": "failed", "error": "CUDA out of memory"}, JobState.FAILED, Reason.OOM),
    ({"status": "failed", "error": "Prediction input failed validation: {...}"}, JobState.FAILED, Reason.DATA_ERROR),
    ({"status": "failed", "error": "Failed to create trained image"}, JobState.FAILED, Reason.PROVIDER_ERROR),
    ({"status": "failed", "error": None, "logs": "E1001"}, JobState.FAILED, Reason.OOM),
    ({"status": "failed", "error": None, "logs": None}, JobState.FAILED, Reason.PROVIDER_ERROR),
    ({"status": "brand_new"}, JobState.UNKNOWN, None),
    ({"status": None, "logs": None, "metrics": None, "created_at": None}, JobState.UNKNOWN, None),
    ({"status": "canceled", "logs": None, "output": None}, JobState.CANCELLED, None),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd[0])[:40])
def test_odd_answers(service, backend, spec, odd):
    """Unknown words, nulls and missing fields are an honest status, and never a crash."""
    native_id = ftsdk.submit(spec()).ref.partition(":")[2]
    service.changes = odd[0]
    status = backend.status(native_id)

    assert odd[1:] == (status.state, status.reason)
    assert all(event.kind in ("state", "log", "metrics") for event in backend.events(native_id))


def test_a_failure_has_its_cause(service, spec):
    """Waiting raises with the reason, the evidence, and the smallest change that helps."""
    service.ends, service.error = "failed", "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"
    with pytest.raises(JobFailed) as caught:
        ftsdk.submit(spec()).wait(timeout=10)

    assert ("oom", True) == (caught.value.reason, "Tried to allocate" in str(caught.value))


@pytest.mark.parametrize("fault", [Fault("status", 502, body=b"<html>"), Fault("garbage"), Fault("drop")], ids=str)
def test_a_page_for_browsers(service, backend, spec, fault):
    """An outage is reported as one; nothing is concluded about the training."""
    native_id = ftsdk.submit(spec()).ref.partition(":")[2]
    service.fail("GET", "/v1/trainings/.*", fault, times=9)

    with pytest.raises(UnreachableError):
        backend.status(native_id)


def test_a_vanished_training(service, spec):
    """A training that Replicate does not know any more is an error; the last observation is kept."""
    job = ftsdk.submit(spec())
    job.status()
    service.trainings.clear()

    with pytest.raises(JobNotFound, match="has no training"):
        job.status()


def test_cancel(service, spec):
    """It is requested once, and a second request changes nothing."""
    service.seconds = 30
    job = ftsdk.submit(spec())
    job.cancel()
    job.cancel()

    assert JobState.CANCELLED is job.status().state


def test_cancel_behind_the_end(service, spec):
    """A training that has succeeded stays so."""
    job = ftsdk.submit(spec())
    ended(service, job)
    job.cancel()

    assert (JobState.SUCCEEDED, 0) == (job.status().state, service.count("POST", "/v1/trainings/.*/cancel"))


def test_a_lost_answer_to_cancel(service, spec):
    """It is requested again, which is safe."""
    service.seconds = 30
    service.fail("POST", "/v1/trainings/.*/cancel", Fault("lose"))
    job = ftsdk.submit(spec())
    job.cancel()

    assert JobState.CANCELLED is job.status().state
