"""A job's record over its lifecycle, with any answers of a backend and any number of clients."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ftsdk.backend import Backend, Capabilities, Plan
from ftsdk.client import lifecycle, submission
from ftsdk.errors import AmbiguousError, FtsdkError, JobNotReady, RejectedError, UnreachableError
from ftsdk.job_types import JobState, JobStatus
from ftsdk.spec import JobSpec
from ftsdk.store.store import Store

PLAN = Plan(backend="scripted", spec=JobSpec(model="org/model", dataset="rows.jsonl"), native={})


class ScriptableBackend(Backend):
    """Answers as the test sets it, and counts its creations."""

    name = "scripted"

    def __init__(self):
        self.created = 0
        self.error = None
        self.answer = JobStatus(state=JobState.QUEUED)

    def capabilities(self):
        return Capabilities(methods={"sft"}, adapters={"lora"}, formats={"text"}, verbs={"cancel", "resume"})

    def check(self):
        return []

    def plan(self, spec, options):
        return PLAN

    def submit(self, plan, token, record):
        if self.error is RejectedError:
            raise RejectedError("no")
        if self.error is not UnreachableError:
            self.created += 1
        if self.error:
            raise self.error("no answer")
        return "job-1"

    def find(self, token, plan):
        if self.error:
            raise AmbiguousError("cannot tell")
        return "job-1" if self.created else None

    def status(self, native_id):
        if self.error:
            raise UnreachableError("no answer")
        return self.answer

    def events(self, native_id, after=None):
        return ()

    def cancel(self, native_id):
        if self.error:
            raise UnreachableError("no answer")

    def resume(self, native_id):
        if self.error:
            raise self.error("no answer")
        self.answer = JobStatus(state=JobState.RUNNING)

    def fetch(self, native_id, folder):
        raise NotImplementedError


ERRORS = st.one_of(st.none(), st.sampled_from([AmbiguousError, UnreachableError, RejectedError, TypeError]))
MEMORY = Path("/dev/shm")  # a memory file system, where there is one


class JobLifecycle(RuleBasedStateMachine):
    """Submit, observe, cancel and resume in any order, while the backend fails and gives any answers."""

    @initialize(error=ERRORS)
    def submit(self, error):
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.system = ScriptableBackend()
        self.store = Store(f"sqlite:///{self.folder / 'jobs.db'}")
        self.system.error = error
        with contextlib.suppress(FtsdkError, TypeError):
            submission.submit(self.store, self.system, PLAN, key="one")
        self.before = self.old = self.record

    @property
    def record(self):
        return self.store.get(self.store.summaries()[0].id)

    @rule(error=ERRORS)
    def backend_changes_its_error(self, error):
        self.system.error = error

    @rule(state=st.sampled_from(JobState), step=st.integers(0, 3))
    def ask(self, state, step):
        self.system.answer = JobStatus(state=state, step=step)
        lifecycle.observe(self.store, self.system, self.record)

    @rule()
    def another_process_reads_the_record(self):
        self.old = self.record

    @rule(state=st.sampled_from(JobState))
    def another_process_asks_with_its_old_view(self, state):
        self.system.answer = JobStatus(state=state)
        lifecycle.observe(self.store, self.system, self.old)

    @rule()
    def cancel(self):
        with contextlib.suppress(FtsdkError):
            lifecycle.cancel(self.store, self.system, self.record)

    @rule()
    def resume(self):
        with contextlib.suppress(FtsdkError, TypeError):
            lifecycle.resume(self.store, self.system, self.record)

    @rule()
    def submit_again(self):
        with contextlib.suppress(FtsdkError, TypeError):
            submission.submit(self.store, self.system, PLAN, key="one")

    @invariant()
    def final_is_final(self):
        """Only another attempt ends a final state."""
        before, now = self.before, self.record
        assert not before.state.done or now.status == before.status or now.attempt > before.attempt
        assert now.rev >= before.rev
        assert now.attempt >= before.attempt - 1
        self.before = now

    @invariant()
    def nothing_is_created_twice(self):
        """However often it is submitted and resumed, at most one job is created."""
        assert self.system.created <= 1

    def teardown(self):
        shutil.rmtree(self.folder)


JobLifecycle.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJobLifecycle = JobLifecycle.TestCase


@pytest.fixture
def job():
    """A store, a backend, and a record that both know to be queued."""
    store, system = Store(), ScriptableBackend()
    return store, system, submission.submit(store, system, PLAN)


def test_final_state_outlives_a_slower_observation(job):
    """Of two simultaneous observations, the one with the final state wins; the slower one is logged and ignored."""
    store, system, old = job
    system.answer = JobStatus(state=JobState.SUCCEEDED)
    lifecycle.observe(store, system, old)
    system.answer = JobStatus(state=JobState.RUNNING)
    now = lifecycle.observe(store, system, old)

    assert (JobState.SUCCEEDED, "ignored") == (now.state, store.changes(old.id)[-1].what)


def test_observation_from_before_a_resume_does_not_count(job):
    """A failure that was observed before the job was resumed does not end the new attempt."""
    store, system, old = job
    system.answer = JobStatus(state=JobState.FAILED)
    lifecycle.resume(store, system, old)
    system.answer = JobStatus(state=JobState.FAILED)

    assert (JobState.QUEUED, 2) == ((now := lifecycle.observe(store, system, old)).state, now.attempt)


def test_interrupted_resume_is_resolved_by_the_next_observation(job):
    """Where it is not known whether a resume began, the job is neither failed nor stuck: the backend decides."""
    store, system, old = job
    system.answer = JobStatus(state=JobState.FAILED)
    failed = lifecycle.observe(store, system, old)
    system.resume = lambda _: (_ for _ in ()).throw(TypeError)
    with pytest.raises(TypeError):
        lifecycle.resume(store, system, failed)
    system.answer = JobStatus(state=JobState.RUNNING)

    assert JobState.RUNNING == lifecycle.observe(store, system, store.get(old.id)).state


def test_only_one_of_two_claims_a_job(job):
    """Two processes that read the same record cannot both act on it: the slower one gets an error."""
    store, _, old = job
    submission.claim(store, old, "resuming")
    store.update(old.id, "died", lambda now: now.replace(submitter=None))

    with pytest.raises(JobNotReady, match="changed by another process"):
        submission.claim(store, old, "resuming")


def test_claimed_job_is_left_alone(job):
    """While a live process resumes a job, no other one resumes or observes it."""
    store, system, old = job
    claimed = submission.claim(store, old, "resuming")
    system.answer = JobStatus(state=JobState.FAILED)

    with pytest.raises(JobNotReady, match="resuming scripted:job-1 right now"):
        lifecycle.resume(store, system, claimed)
    assert claimed == lifecycle.observe(store, system, claimed)
