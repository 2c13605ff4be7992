"""The part of the contract that runs jobs: submit and find, status and events, cancel and resume, fetch."""

import base64
import math
import re
import secrets
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

import pytest

from ftsdk.artifact import Artifact
from ftsdk.backend import Backend, Plan, Verb
from ftsdk.data import check, is_local
from ftsdk.errors import ArtifactError, JobNotFound, JobNotReady, UnsupportedSpec
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.spec import JobSpec
from ftsdk.testing.plan_contract import plan_of

_ORDER = {state: place for place, state in enumerate(JobState) if state is not JobState.UNKNOWN}
_METRIC = re.compile(r"[a-z0-9_]+([/.][a-z0-9_]+)*")
_NO_JOBS = ("no-such-job", "ft-000000000000", "../../../etc", "*", "")


class Trace(NamedTuple):
    """A job that has ended, and every status that was observed, in order."""

    native_id: str
    token: str
    statuses: list[JobStatus]

    @property
    def states(self) -> list[JobState]:
        """The states, in order."""
        return [status.state for status in self.statuses]


class JobContract:
    """Tests of a job, from its token to its artifact."""

    patience: ClassVar[float] = 60.0
    """Seconds in which a job must end."""
    poll: ClassVar[float] = 0.05
    """Seconds between two requests for a job's status."""

    @classmethod
    def start(cls, backend: Backend, spec: JobSpec) -> Trace:
        """Submit a job under a new token."""
        token = _token()
        return Trace(backend.submit(_plan(backend, spec), token, _record), token, [])

    @classmethod
    def follow(cls, backend: Backend, trace: Trace) -> None:
        """Poll a job until it has ended."""
        deadline = time.monotonic() + cls.patience
        while not (trace.statuses and trace.statuses[-1].state.done):
            assert time.monotonic() < deadline, f"the job did not end in time: {describe(backend, trace)}"
            trace.statuses.append(backend.status(trace.native_id))
            time.sleep(cls.poll)

    def test_one_token_makes_one_job(self, backend: Backend, spec: JobSpec, finished: Trace) -> None:
        """Submitted again with its token, the job is found, not created again."""
        assert finished.native_id == backend.submit(_plan(backend, spec), finished.token, _record)

    def test_finds_a_job_by_its_token(self, backend: Backend, spec: JobSpec, finished: Trace) -> None:
        """The token finds the job, with the plan as it is read from the records."""
        stored = Plan.model_validate_json(_plan(backend, spec).model_dump_json(exclude_unset=True))

        assert finished.native_id == backend.find(finished.token, stored)

    def test_finds_nothing_under_a_new_token(self, backend: Backend, spec: JobSpec, finished: Trace) -> None:
        """For an unused token, the answer is that there is no job."""
        assert finished.token
        assert backend.find(_token(), _plan(backend, spec)) is None

    def test_states_go_forward(self, finished: Trace) -> None:
        """A job never goes back to an earlier state."""
        places = [_ORDER[state] for state in finished.states if state in _ORDER]

        assert sorted(places) == places

    def test_the_end_is_the_end(self, backend: Backend, finished: Trace) -> None:
        """A finished job has the same status when it is requested again."""
        assert finished.statuses[-1] == backend.status(finished.native_id)

    def test_progress_is_a_share(self, finished: Trace) -> None:
        """Progress runs from 0 to 1, and steps do not pass the total."""
        for status in finished.statuses:
            assert 0 <= (status.progress or 0) <= 1
            assert (status.step or 0) <= (status.total_steps or math.inf)

    def test_events_are_in_order(self, backend: Backend, finished: Trace) -> None:
        """Each event has a cursor of its own, and none is older than the one before."""
        events = _events(backend, finished)

        assert len(events) == len({event.cursor for event in events})
        assert all(earlier.time <= later.time for earlier, later in pairwise(events))

    def test_events_go_on_behind_any_cursor(self, backend: Backend, finished: Trace) -> None:
        """A reader that continues after any cursor gets every later event, once."""
        events = _events(backend, finished)

        for place in {0, len(events) // 3, len(events) // 2, len(events) - 1} & set(range(len(events))):
            assert events[place + 1 :] == list(backend.events(finished.native_id, events[place].cursor))

    def test_events_tell_the_states(self, backend: Backend, finished: Trace) -> None:
        """The last state among the events is that of the status."""
        states = [event.state for event in _events(backend, finished) if event.kind == "state"]

        assert states[-1:] == ([JobState.SUCCEEDED] if "events" in backend.capabilities().verbs else [])

    def test_metrics_are_named_numbers(self, backend: Backend, finished: Trace) -> None:
        """Metrics have plain names and finite values, the loss among them; undeclared, there are none."""
        metrics = [event.metrics for event in _events(backend, finished) if event.kind == "metrics"]

        assert all(_METRIC.fullmatch(name) and math.isfinite(value) for row in metrics for name, value in row.items())
        assert any("loss" in row for row in metrics) is ("metrics" in backend.capabilities().verbs)

    def test_cancel_ends_a_job(self, cancelled: Trace) -> None:
        """A cancelled job ends: cancelled, or succeeded where the request came too late."""
        assert cancelled.states[-1] in (JobState.CANCELLED, JobState.SUCCEEDED)

    def test_cancel_leaves_a_finished_job_alone(self, backend: Backend, finished: Trace) -> None:
        """A cancel after the end changes nothing."""
        if "cancel" in backend.capabilities().verbs:
            backend.cancel(finished.native_id)

        assert backend.status(finished.native_id).state is JobState.SUCCEEDED

    def test_resume_goes_on_to_the_end(self, backend: Backend, cancelled: Trace) -> None:
        """A cancelled job, resumed, succeeds."""
        if "resume" not in backend.capabilities().verbs or cancelled.states[-1] is not JobState.CANCELLED:
            pytest.skip("not declared, or the job had ended before it was cancelled")
        backend.resume(cancelled.native_id)
        resumed = Trace(cancelled.native_id, cancelled.token, [])
        self.follow(backend, resumed)

        assert resumed.states[-1] is JobState.SUCCEEDED

    def test_resume_refuses_a_success(self, backend: Backend, finished: Trace) -> None:
        """There is nothing to resume in a job that has succeeded."""
        with pytest.raises((JobNotReady, UnsupportedSpec)):
            backend.resume(finished.native_id)

    def test_what_is_not_declared_is_refused(self, backend: Backend, finished: Trace, tmp_path: Path) -> None:
        """A verb that is not declared raises an error."""
        verbs: dict[str, Callable[[], Any]] = {
            "events": lambda: list(backend.events(finished.native_id)),
            "cancel": lambda: backend.cancel(finished.native_id),
            "resume": lambda: backend.resume(finished.native_id),
            "fetch": lambda: backend.fetch(finished.native_id, tmp_path / "out"),
        }
        for verb in sorted((set(get_args(Verb)) & verbs.keys()) - backend.capabilities().verbs):
            with pytest.raises(UnsupportedSpec):
                verbs[verb]()

    @pytest.mark.parametrize("native_id", _NO_JOBS)
    @pytest.mark.parametrize("verb", ["status", "events", "cancel", "resume", "fetch"])
    def test_unknown_jobs_are_not_found(self, backend: Backend, native_id: str, verb: str, tmp_path: Path) -> None:
        """A job that does not exist is an error that says so, whatever its id looks like."""
        if verb != "status" and verb not in backend.capabilities().verbs:
            pytest.skip("not declared")
        call = getattr(backend, verb)
        with pytest.raises(JobNotFound):
            list(call(native_id)) if verb == "events" else call(native_id, *[tmp_path / "out"] * (verb == "fetch"))

    def test_a_failure_says_why(self, backend: Backend, failing_spec: JobSpec | None, tmp_path: Path) -> None:
        """A job that fails has a reason and a message, and there is nothing to fetch."""
        if failing_spec is None:
            pytest.skip("there is no failing_spec")
        trace = self.start(backend, failing_spec)
        self.follow(backend, trace)

        assert trace.states[-1] is JobState.FAILED
        assert trace.statuses[-1].reason is not None
        assert trace.statuses[-1].message
        with pytest.raises((JobNotReady, UnsupportedSpec)):
            backend.fetch(trace.native_id, tmp_path / "out")

    def test_fetch_gives_a_sealed_artifact(
        self, backend: Backend, spec: JobSpec, finished: Trace, tmp_path: Path
    ) -> None:
        """The fetched artifact verifies, has ftsdk's layout, and names its job."""
        _require_fetch(backend)
        artifact = backend.fetch(finished.native_id, tmp_path / "out")

        assert artifact == Artifact.open(tmp_path / "out")
        assert artifact.kind == ("adapter" if spec.adapter else "model")
        assert artifact.manifest.method == spec.method.type
        assert artifact.manifest.job == f"{backend.name}:{finished.native_id}"

    def test_fetch_is_repeatable(self, backend: Backend, finished: Trace, tmp_path: Path) -> None:
        """Fetched again into the same folder it is the same, and no temporary files remain."""
        _require_fetch(backend)
        first = backend.fetch(finished.native_id, tmp_path / "out")
        second = backend.fetch(finished.native_id, tmp_path / "out")

        assert first == second
        assert [tmp_path / "out"] == list(tmp_path.iterdir())

    def test_fetch_spares_what_is_there(self, backend: Backend, finished: Trace, tmp_path: Path) -> None:
        """A folder with other files is refused, and left unchanged."""
        _require_fetch(backend)
        (tmp_path / "mine.txt").write_text("keep me", encoding="utf-8")

        with pytest.raises(ArtifactError):
            backend.fetch(finished.native_id, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_secrets_stay_where_they_are(
        self, backend: Backend, spec: JobSpec, finished: Trace, tmp_path: Path
    ) -> None:
        """No key of the environment appears in plan, status, events or artifact."""
        outputs = [_plan(backend, spec), *finished.statuses, *_events(backend, finished)]
        if "fetch" in backend.capabilities().verbs:
            outputs.append(backend.fetch(finished.native_id, tmp_path / "out").manifest)
        text = "\n".join(section.model_dump_json() for section in outputs)

        assert redact(text) == text


def _token() -> str:
    """A token like those of the client: 26 characters of ``[a-z2-7]``."""
    return base64.b32encode(secrets.token_bytes(20)).decode().lower()[:26]


def _record(**facts: str) -> None:
    """Stores nothing, but checks that facts are plain strings without secrets."""
    assert all(isinstance(fact, str) and redact(fact) == fact for fact in facts.values())


def _plan(backend: Backend, spec: JobSpec) -> Plan:
    """The plan as the client submits it, with the rows checked where they are on this machine."""
    plan = plan_of(backend, spec)
    on_this_machine = all(is_local(path) for path in spec.dataset.paths)
    return plan.model_copy(update={"data": check(spec.dataset, spec.method.type) if on_this_machine else None})


def _events(backend: Backend, trace: Trace) -> list[Event]:
    return list(backend.events(trace.native_id)) if "events" in backend.capabilities().verbs else []


def describe(backend: Backend, trace: Trace) -> str:
    """The last status and the last events, for the message of a failed test."""
    last = "\n".join(event.message for event in _events(backend, trace)[-20:] if event.message)
    return f"{trace.statuses[-1] if trace.statuses else 'never observed'}\n{last}"


def _require_fetch(backend: Backend) -> None:
    if "fetch" not in backend.capabilities().verbs:
        pytest.skip("fetch is not declared")
