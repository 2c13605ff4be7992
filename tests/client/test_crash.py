"""A submitting process that is killed at any step: no job is lost or created twice."""

import multiprocessing
import os
import signal

import pytest

from ftsdk.client import lifecycle, submission
from ftsdk.job_types import JobState
from ftsdk.spec import JobSpec
from ftsdk.store.mirror import Mirror
from ftsdk.store.store import Store
from ftsdk.testing import FakeBackend, service
from ftsdk.testing.script import Script

PLAN = FakeBackend().plan(JobSpec(model="org/model", dataset="rows.jsonl"), Script())

STEPS = {
    "before the record": (Store, "create", 1, "before"),
    "while the record is written": (Mirror, "save", 1, "before"),
    "after the copy, before the record": (Mirror, "save", 1, "after"),
    "after the record": (FakeBackend, "submit", 1, "before"),
    "after a fact was recorded": (Store, "update", 1, "after"),
    "before the creation": (service, "create", 1, "before"),
    "after the creation": (service, "create", 1, "after"),
    "while the native id is written": (Mirror, "save", 3, "before"),
    "after the native id was copied": (Mirror, "save", 3, "after"),
    "after the end": (FakeBackend, "submit", 2, "before"),
}
RECORDED = list(STEPS)[3:]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(place, name, count, when):
    """Let this process die at the nth call of a function, before or after it."""
    work, calls = getattr(place, name), []

    def killing(*args, **kwargs):
        calls.append(name)
        if (len(calls), when) == (count, "before"):
            die()
        result = work(*args, **kwargs)
        if (len(calls), when) == (count, "after"):
            die()
        return result

    setattr(place, name, killing)


def submit(key="one"):
    return submission.submit(Store(), FakeBackend(), PLAN, key=key)


def kill_process_at(step, work=submit):
    """Do the work in a process that dies at the step; returns its exit code."""

    def run():
        kill_at(*STEPS[step])
        work()
        die()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("step", STEPS)
def test_same_key_finishes_the_job(step):
    """Submitting again with the same key ends with one record and one job."""
    exitcode = kill_process_at(step)
    record = submit()

    jobs = list(service.folder().glob("*.jsonl"))
    assert (-signal.SIGKILL, 1, 1) == (exitcode, len(jobs), len(Store().summaries()))
    assert JobState.SUCCEEDED == lifecycle.observe(Store(), FakeBackend(), record).state


@pytest.mark.parametrize("step", RECORDED)
def test_resume_finishes_the_job(step):
    """Observing or resuming completes the submission; one job exists in the end."""
    kill_process_at(step)
    record = lifecycle.observe(Store(), FakeBackend(), Store().get(Store().summaries()[0].id))
    if record.status.stage == "interrupted":
        record = lifecycle.resume(Store(), FakeBackend(), record)

    assert 1 == len(list(service.folder().glob("*.jsonl")))
    assert JobState.SUCCEEDED == lifecycle.observe(Store(), FakeBackend(), record).state


@pytest.mark.parametrize("step", ["before the creation", "after the creation"])
def test_killed_twice(step):
    """The process that finishes the job may be killed as well: the third one ends with one job."""
    kill_process_at("after the record")
    kill_process_at(step)
    submit()

    assert 1 == len(list(service.folder().glob("*.jsonl")))


@pytest.mark.parametrize("step", STEPS)
def test_database_lost_in_the_crash(step, ftsdk_home):
    """Even where the database is lost with the process, the copies prevent a second job."""
    kill_process_at(step)
    (ftsdk_home / "jobs.db").unlink(missing_ok=True)
    submit()

    assert 1 == len(list(service.folder().glob("*.jsonl")))
