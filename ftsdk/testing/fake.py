"""A backend that trains nothing: scripted jobs, at once and for free, to test code that uses ftsdk.

>>> import ftsdk
>>> options = {"fake": {"outcome": "oom", "run_seconds": 2}}
>>> spec = ftsdk.JobSpec(model="m", dataset="rows.jsonl", backend="fake", backend_options=options)
>>> ftsdk.wait(ftsdk.submit(spec))  # doctest: +SKIP
"""

import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic_core import to_jsonable_python

from ftsdk.artifact import Artifact, place
from ftsdk.backend import Backend, Capabilities, Plan, Record
from ftsdk.errors import AmbiguousError, InputError, JobNotReady, Problem, RejectedError, UnreachableError
from ftsdk.job_types import Event, JobState, JobStatus, Reason
from ftsdk.spec import BOOKKEEPING, JobSpec, Section
from ftsdk.testing import service, weights
from ftsdk.testing.script import Script, ScriptedEvent, last_status_word
from ftsdk.testing.spec_cases import FORMATS
from ftsdk.translation.ledger import Ledger

STATES = {
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "STOPPING": JobState.CANCELLING,
    "COMPLETED": JobState.SUCCEEDED,
    "ERROR": JobState.FAILED,
    "STOPPED": JobState.CANCELLED,
}
"""The system's status words as states; any other word is ``unknown``."""

RENAMED = {"training.num_train_epochs": "n_epochs", "training.learning_rate": "lr", "adapter.r": "lora_rank"}
"""Native names, where they are not the spec's own."""


class FakeBackend(Backend):
    """Jobs that follow a script (``backend_options.fake``) and are known to every process with the same home."""

    name = "fake"
    Options = Script
    pause = 0.05

    def capabilities(self) -> Capabilities:
        """Everything in a spec, except quantization-aware training."""
        return Capabilities(
            methods=frozenset({"sft", "dpo", "kto", "orpo", "reward_modeling", "ppo", "grpo"}),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset({"nf4", "fp4", "int8"}),
            formats=frozenset(FORMATS),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def check(self) -> list[Problem]:
        """There is nothing to install."""
        return []

    def plan(self, spec: JobSpec, options: Script) -> Plan:
        """Use every field under its native name, and show the script beside it."""
        ledger = Ledger(self.name, spec)
        if spec.training.quantization_aware:
            ledger.refuse("training.quantization_aware", "the fake backend does not round weights", "leave it blank")
        if spec.compute.attention != "auto":
            ledger.ignore("compute.attention", "the fake backend has no attention kernels")
        unsupported = {"training.quantization_aware", "compute.attention"}
        names = {field: RENAMED.get(field, field) for field in field_names(spec) if field not in unsupported}
        parameters = {native: to_jsonable_python(ledger.use(field, native)) for field, native in names.items()}
        ledger.close()
        return Plan(
            backend=self.name,
            spec=spec,
            native={"parameters": parameters, "labels": spec.as_written(), "script": options.model_dump(mode="json")},
            honoured=ledger.honoured,
            set_aside=tuple(ledger.set_aside),
            price=options.price,
        )

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Find an earlier job, else create one; the system itself would create a second one."""
        if earlier := self.find(token, plan):
            return earlier
        script = Script.model_validate(plan.native["script"])
        if script.reject:
            raise RejectedError("the fake system refuses the request", hint="unset backend_options.fake.reject")
        record(upload=f"file-{token}")
        if script.lose_request and service.first_request(token):
            raise AmbiguousError("the connection to the fake system dropped before an answer came")
        native_id = service.create(token, dict(plan.native))
        if script.lose_answer:
            raise AmbiguousError("the connection to the fake system dropped before an answer came")
        return native_id

    def find(self, token: str, plan: Plan) -> str | None:
        """The first job with this token."""
        script = Script.model_validate(plan.native["script"])
        jobs = service.created_with(token)
        if jobs and (script.find_undecided or time.time() < jobs[0].created + script.find_lag_seconds):
            raise AmbiguousError("the fake system's list of jobs is not up to date", hint="look again later")
        return jobs[0].native_id if jobs else None

    def status(self, native_id: str) -> JobStatus:
        """The job's status at this time of its timeline."""
        job, now = _get_job(native_id), time.time()
        past, script = job.events_until(now), job.script
        word = script.unknown_status or last_status_word(past)
        state = STATES.get(word, JobState.UNKNOWN)
        measured = next((entry for entry in reversed(past) if entry.kind == "metrics"), None)
        step = measured.step if measured and measured.step else 0
        failed = state is JobState.FAILED and isinstance(script.outcome, Reason)
        return JobStatus(
            state=state,
            raw_status=word,
            reason=Reason(script.outcome) if failed else None,
            message=f"the script ends the job with {script.outcome}" if failed else "",
            hint="change backend_options.fake.outcome, or resume: a resumed fake job succeeds" if failed else "",
            progress=step / script.steps,
            step=step,
            total_steps=script.steps,
            metrics=measured.metrics if measured else {},
            eta_seconds=max(0.0, job.all_events()[-1].at - now) if state is JobState.RUNNING else None,
            cost=None if script.price is None else script.price * step / script.steps,
        )

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """The timeline up to now; a cursor is an index in it."""
        past = _get_job(native_id).events_until(time.time())
        if after is not None and not after.isdecimal():
            raise InputError("this cursor is not one of this job's", hint="use the cursor of an event of the job")
        start = int(after or 0)
        return (_to_event(index, entry) for index, entry in enumerate(past[start:], start=start + 1))

    def cancel(self, native_id: str) -> None:
        """Request it once; a job that is done or stopping is not changed."""
        if STATES[last_status_word(_get_job(native_id).events_until(time.time()))] in (
            JobState.QUEUED,
            JobState.RUNNING,
        ):
            service.add_request(native_id, "cancel")

    def resume(self, native_id: str) -> None:
        """Continue from the last checkpoint; a resumed fake job succeeds."""
        state = self.status(native_id).state
        if state not in (JobState.FAILED, JobState.CANCELLED):
            raise JobNotReady(
                f"a job that is {state} cannot be resumed", ref=f"fake:{native_id}", hint="resume failed jobs"
            )
        service.add_request(native_id, "resume")

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """A small artifact, the same each time."""
        job = _get_job(native_id)
        state = self.status(native_id).state
        if state is not JobState.SUCCEEDED:
            raise JobNotReady(
                f"the job is {state}, there is nothing to fetch", ref=f"fake:{native_id}", hint="wait for its success"
            )
        return place(functools.partial(weights.write, job), folder)


def _get_job(native_id: str) -> service.RemoteJob:
    job = service.get(native_id)
    if time.time() < job.created + job.script.unreachable_seconds:
        raise UnreachableError("the fake system does not answer", hint="try again later")
    return job


def _to_event(index: int, entry: ScriptedEvent) -> Event:
    is_state = entry.kind == "state"
    return Event(
        cursor=str(index),
        time=entry.at,
        kind=entry.kind,
        message=entry.text,
        state=STATES.get(entry.text, JobState.UNKNOWN) if is_state else None,
        step=entry.step,
        metrics=entry.metrics,
    )


def field_names(section: Section, prefix: str = "") -> Iterator[str]:
    """The dotted names of all fields except the bookkeeping, also of those in sections."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from field_names(value, f"{prefix}{name}.")
        elif name not in BOOKKEEPING or prefix:
            yield f"{prefix}{name}"
