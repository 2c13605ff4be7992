import time

import psutil
import pytest

from ftsdk.job_types import JobState, Reason


def child_is_gone(bench, job, seconds=10):
    """The exit report comes before the signal, since no process is left to write one after it."""
    pid = int((bench.folder(job).path / "child").read_text())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_cancelled_job_saves_first(bench):
    """The engine finishes its step and saves; then the job is cancelled."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)

    bench.backend.cancel(job)
    status = bench.wait(job)

    assert (JobState.CANCELLED, True) == (status.state, bench.folder(job).checkpoints.exists())


def test_a_cancelled_job_can_be_resumed(bench):
    """The request to stop does not outlive the attempt that it was meant for."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    bench.backend.cancel(job)
    bench.wait(job)

    bench.backend.resume(job)

    assert JobState.RUNNING == bench.wait(job, JobState.RUNNING).state


def test_a_job_that_ignores_a_stop_request_is_killed(bench):
    """After the grace time the worker ends its whole group, though no other process is there to do so."""
    job = bench.submit("ignores_stop_request", grace_seconds=1)
    bench.wait(job, JobState.RUNNING)
    time.sleep(0.3)

    bench.backend.cancel(job)
    state = bench.status(job).state
    status = bench.wait(job, seconds=10)

    assert (JobState.CANCELLING, JobState.CANCELLED, True) == (state, status.state, child_is_gone(bench, job))


def test_the_second_cancel_kills(bench):
    """A second cancel does not wait for the grace time."""
    job = bench.submit("ignores_stop_request", grace_seconds=600)
    bench.wait(job, JobState.RUNNING)
    time.sleep(0.3)

    bench.backend.cancel(job)
    bench.backend.cancel(job)

    assert (JobState.CANCELLED, True) == (bench.wait(job, seconds=5).state, child_is_gone(bench, job))


def test_a_job_is_cancelled_while_it_starts(bench):
    """A request that comes before the worker can receive signals is not lost."""
    job = bench.submit("stops_on_request")

    bench.backend.cancel(job)

    assert JobState.CANCELLED == bench.wait(job, seconds=20).state


def test_a_job_that_is_done_is_left_alone(bench):
    """Cancelling a job that is done changes nothing."""
    job = bench.submit("failure")
    bench.wait(job)

    bench.backend.cancel(job)

    assert (JobState.FAILED, False) == (bench.status(job).state, bench.folder(job).cancel_request.exists())


@pytest.mark.parametrize("engine", ["stops_on_request", "ignores_stop_request"])
def test_the_time_of_a_job_is_limited(bench, engine):
    """When compute.timeout has passed, the job stops, by itself or by force, as failed."""
    status = bench.wait(bench.submit(engine, timeout=1, grace_seconds=1), seconds=20)

    assert (JobState.FAILED, Reason.TIMEOUT) == (status.state, status.reason)


def test_a_forked_child_does_not_stop_its_parent(bench, tmp_path):
    """A signal that ends a data loader's process is not taken for a request to end the job."""
    job = bench.submit("forks")

    status = bench.wait(job)

    assert JobState.SUCCEEDED == status.state


def test_the_end_is_the_last_event(bench):
    """The events have each state in order."""
    job = bench.submit("quick")
    bench.wait(job)

    states = [event.state for event in bench.backend.events(job) if event.kind == "state"]

    assert [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED] == states
