"""The status, the events and the metrics of a job at Together, and its end."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from together_service import Fault

import ftsdk
from ftsdk.errors import AuthError, JobFailed, JobNotFound, UnreachableError
from ftsdk.job_types import JobState, Reason
from ftsdk_together import monitor
from ftsdk_together.monitor import OutputId
from ftsdk_together.states import metrics_of, reason_of, state_of

WORDS = {
    "pending": JobState.QUEUED, "queued": JobState.QUEUED, "running": JobState.RUNNING,
    "compressing": JobState.RUNNING, "uploading": JobState.RUNNING, "cancel_requested": JobState.CANCELLING,
    "cancelled": JobState.CANCELLED, "error": JobState.FAILED, "user_error": JobState.FAILED,
    "USER_ERROR": JobState.FAILED, "completed": JobState.SUCCEEDED, "hibernating": JobState.UNKNOWN, "":
    JobState.UNKNOWN,
}  # fmt: skip

REASONS = {
    ("user_error", "Row 3 has no content"): Reason.DATA_ERROR,
    ("user_error", "W&B key is wrong"): Reason.AUTH,
    ("error", "Internal error"): Reason.PROVIDER_ERROR,
    ("error", "CUDA out of memory"): Reason.OOM,
    ("error", "loss is NaN"): Reason.DIVERGED,
    ("cancelled", "Job stopped: insufficient funds"): Reason.QUOTA,
    ("cancelled", "Cancelled by the user"): None,
}

BODY = {
    "model": "Qwen/Qwen3-8B",
    "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
    "training_method": {"method": "sft"},
}


@pytest.mark.parametrize(("word", "state"), WORDS.items())
def test_words(word, state):
    """Every status has its state, in any case of letters; an unknown word is unknown."""
    assert state is state_of(word)


@pytest.mark.parametrize(("status_and_message", "reason"), REASONS.items(), ids=str)
def test_reasons(status_and_message, reason):
    """Why a job ended comes from its status and from its events."""
    assert reason is reason_of(*status_and_message)


def ended(service, ends, *events):
    """The id of a job that has ended."""
    service.events = list(events)
    past = {"created": time.time() - 5, "seconds": 1.0, "ends": ends}
    return service.add_job({**BODY, "suffix": f"ftsdk-{'a' * 26}"}, **past)["id"]


def event(kind, message, level="info"):
    return {"type": kind, "message": message, "level": level}


def test_a_failure_has_its_evidence(backend, service):
    """A failed job has the reason, the event that shows it, and the next step."""
    status = backend.status(ended(service, "user_error"))

    assert (JobState.FAILED, "user_error", Reason.DATA_ERROR) == (status.state, status.raw_status, status.reason)
    assert "Row 3 has no content" == status.message
    assert status.hint


def test_an_empty_balance(backend, service):
    """A job that the service cancels because the account cannot pay says so."""
    job_id = ended(service, "cancelled", event("billing_limit", "Your balance is used up", "warning"))

    status = backend.status(job_id)
    assert (JobState.CANCELLED, Reason.QUOTA) == (status.state, status.reason)


@pytest.mark.parametrize("words", ["Job restarted as {}", "a refund was made"])
def test_a_restarted_job_is_followed(backend, service, words):
    """Together restarts a job under a new id: named in an event, or found by the token in its suffix."""
    old, new = ended(service, "error"), ended(service, "completed")
    service.events = [event("JOB_RESTARTED", words.format(new))]

    states = [entry.state for entry in backend.events(old) if entry.kind == "state"]
    assert (JobState.SUCCEEDED, JobState.SUCCEEDED) == (backend.status(old).state, states[-1])


def test_a_circle_of_restarts_ends(backend, service):
    """Jobs that name each other are not followed for ever."""
    old = ended(service, "error")
    service.events = [event("job_restarted", f"restarted as {old}")]

    assert JobState.FAILED is backend.status(old).state


def test_events_and_metrics_in_order(backend, service):
    """Events, which come newest first, and metrics make one stream by time; steps and names are ours."""
    job_id = ended(service, "completed")

    events = list(backend.events(job_id))

    assert sorted(entry.time for entry in events) == [entry.time for entry in events]
    assert [1, 2, 3, 4] == [entry.step for entry in events if entry.kind == "metrics"]
    assert {"loss": 0.5, "learning_rate": 1e-4} == [entry.metrics for entry in events if entry.kind == "metrics"][-1]
    assert 1 == sum(entry.kind == "checkpoint" for entry in events)
    assert JobState.SUCCEEDED is events[-1].state


def test_events_after_a_cursor_are_those_missing(backend, service):
    """Behind any cursor comes exactly what is missing."""
    job_id = ended(service, "completed")
    events = list(backend.events(job_id))

    for place, entry in enumerate(events):
        assert events[place + 1 :] == list(backend.events(job_id, entry.cursor))


def test_no_metrics_yet(backend, service):
    """A service that has no metrics of a job, or says null, has its events all the same."""
    job_id = ended(service, "completed")
    service.fail("GET", f"/v1/fine-tunes/{job_id}/metrics", Fault("status", 404))

    assert list(backend.events(job_id))


def test_cancel_is_safe_to_repeat(backend, service):
    """A job is cancelled with one request; a second call, or one after its end, sends nothing."""
    service.seconds = 30
    job_id = service.add_job({**BODY, "suffix": "x"})["id"]
    backend.cancel(job_id)
    backend.cancel(job_id)
    backend.cancel(ended(service, "completed"))

    assert 1 == service.count("POST", ".*/cancel")


def test_a_lost_answer_to_a_cancellation(backend, service):
    """A cancellation is safe to repeat, and is."""
    service.seconds = 30
    job_id = service.add_job({**BODY, "suffix": "x"})["id"]
    service.fail("POST", ".*/cancel", Fault("lose"))

    backend.cancel(job_id)

    assert service.jobs[job_id]["cancelled"]


READS = {
    "500": Fault("status", 500),
    "429 with Retry-After": Fault("status", 429, {"Retry-After": "0.01"}),
    "dropped": Fault("drop"),
    "hang": Fault("hang"),
}


@pytest.mark.parametrize("fault", READS.values(), ids=READS)
def test_reads_have_patience(backend, service, fault):
    """One fault in a read is not noticed."""
    job_id = ended(service, "completed")
    service.fail("GET", ".*", fault)

    assert JobState.SUCCEEDED is backend.status(job_id).state


def test_reads_end(backend, service):
    """A service that never answers is given up in bounded time, and nothing is concluded about the job."""
    job_id = ended(service, "completed")
    service.fail("GET", ".*", Fault("hang"), times=50)
    begin = time.monotonic()

    with pytest.raises(UnreachableError):
        backend.status(job_id)
    assert time.monotonic() - begin < 10


def test_a_wrong_key(backend, service, monkeypatch):
    """A wrong key is an AuthError, and does not appear in it."""
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp_v1_another-key-0123456789")

    with pytest.raises(AuthError) as caught:
        backend.status("ft-1")
    assert "another-key" not in str(caught.value)


@pytest.mark.parametrize("native_id", ["ft-1:sideways", "ft-1:", "ft 1", "a/b", "..", "ft-1:1:2"])
def test_odd_ids(backend, native_id):
    """What is no id of Together's is not requested."""
    with pytest.raises(JobNotFound):
        backend.status(native_id)


def test_wait_raises_with_the_reason(backend, service, spec):
    """Waiting for a job that fails raises with the reason and the evidence."""
    service.ends = "user_error"

    with pytest.raises(JobFailed, match="Row 3 has no content") as caught:
        ftsdk.wait(ftsdk.submit(spec()), poll=0.05, timeout=20)
    assert "data_error" == caught.value.reason


NAMES = st.text(st.sampled_from("abz/_-. 1é"), max_size=12)


@given(st.dictionaries(NAMES, st.floats() | st.integers(-(10**300), 10**300) | st.none() | st.text(max_size=3)))
def test_any_metrics_become_plain_numbers(row):
    """Whatever is in a row of metrics, the converted ones have plain names and finite values."""
    metrics = metrics_of(row)

    assert all(name and name.replace("_", "a").isalnum() for name in metrics)
    assert all(abs(value) < float("inf") for value in metrics.values())


@given(st.text(max_size=30))
def test_any_cursor_can_be_read(cursor):
    """A text that is no cursor begins at the start."""
    assert all(count >= 0 for count in monitor._parse_cursor(cursor))


def test_parts_of_a_job():
    """A native id may name a checkpoint, the adapter, or the merged model."""
    assert OutputId("ft-1", "20") == OutputId.parse("ft-1:20")
    assert OutputId("ft-1", "") == OutputId.parse("ft-1")
