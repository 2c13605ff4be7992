"""A job's record over its whole life, whatever a backend says and whoever asks."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ftsdk import lifecycle, submission
from ftsdk.backend import Backend, Capabilities, Plan
from ftsdk.errors import AmbiguousError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job import JobState, JobStatus
from ftsdk.spec import JobSpec
from ftsdk.store import Store

PLAN = Plan(backend="moody", spec=JobSpec(model="org/model", dataset="rows.jsonl"), native={})


class MoodyBackend(Backend):
    """Says whatever the test wants, and counts what it has created."""

    name = "moody"

    def __init__(self):
        self.created = 0
        self.mood = None
        self.says = JobStatus(state=JobState.QUEUED)

    def capabilities(self):
        return Capabilities(methods={"sft"}, adapters={"lora"}, formats={"text"}, verbs={"cancel", "resume"})

    def check(self):
        return []

    def plan(self, spec, options):
        return PLAN

    def submit(self, plan, token, record):
        if self.mood is RejectedError:
            raise RejectedError("no")
        if self.mood is not UnreachableError:
            self.created += 1
        if self.mood:
            raise self.mood("no answer")
        return "job-1"

    def find(self, token, plan):
        if self.mood:
            raise AmbiguousError("cannot tell")
        return "job-1" if self.created else None

    def status(self, native_id):
        if self.mood:
            raise UnreachableError("no answer")
        return self.says

    def events(self, native_id, after=None):
        return ()

    def cancel(self, native_id):
        if self.mood:
            raise UnreachableError("no answer")

    def resume(self, native_id):
        if self.mood:
            raise self.mood("no answer")
        self.says = JobStatus(state=JobState.RUNNING)

    def fetch(self, native_id, folder):
        raise NotImplementedError


class LifeOfAJob(RuleBasedStateMachine):
    """Submit, ask, cancel and resume in any order, while the backend fails and says anything at all."""

    @initialize(mood=st.sampled_from([None, AmbiguousError, UnreachableError, RejectedError, TypeError]))
    def submit(self, mood):
        self.folder = Path(tempfile.mkdtemp())
        self.system = MoodyBackend()
        self.store = Store(f"sqlite:///{self.folder / 'jobs.db'}")
        self.system.mood = mood
        with contextlib.suppress(FtsdkError, TypeError):
            submission.submit(self.store, self.system, PLAN, key="one")
        self.before = self.old = self.record

    @property
    def record(self):
        return self.store.get(self.store.summaries()[0].id)

    @rule(mood=st.sampled_from([None, None, AmbiguousError, UnreachableError, RejectedError, TypeError]))
    def backend_changes_its_mood(self, mood):
        self.system.mood = mood

    @rule(state=st.sampled_from(JobState), step=st.integers(0, 3))
    def backend_says(self, state, step):
        self.system.says = JobStatus(state=state, step=step)

    @rule()
    def ask(self):
        lifecycle.observe(self.store, self.system, self.record)

    @rule()
    def another_process_reads_the_record(self):
        self.old = self.record

    @rule()
    def another_process_asks_with_its_old_view(self):
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
        """Only another attempt leads out of a final state."""
        before, now = self.before, self.record
        assert not before.state.done or now.status == before.status or now.attempt > before.attempt
        assert now.rev >= before.rev
        assert now.attempt >= before.attempt - 1
        self.before = now

    @invariant()
    def nothing_is_created_twice(self):
        """However often it is submitted and resumed, one job exists over there at most."""
        assert self.system.created <= 1

    def teardown(self):
        shutil.rmtree(self.folder)


LifeOfAJob.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLifeOfAJob = LifeOfAJob.TestCase
