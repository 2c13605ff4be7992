"""The exam that ships for backends catches what it is there to catch, and asks about every field."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import ftsdk
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.testing import BackendContract, FakeBackend, Script, service
from ftsdk.testing import spec_cases as cases
from ftsdk.testing.fake import leaves
from ftsdk.testing.job_contract import Trace

TOKEN = "abcdefghijklmnopqrstuvwxyz"
backend = FakeBackend()


class Forgetful(FakeBackend):
    """Drops a field in silence."""

    def plan(self, spec, options):
        found = super().plan(spec, options)
        return found.model_copy(update={"honoured": {k: v for k, v in found.honoured.items() if "seed" not in k}})


class Boastful(FakeBackend):
    """Claims to honour a field that is not in the request."""

    def plan(self, spec, options):
        found = super().plan(spec, options)
        parameters = {k: v for k, v in found.native["parameters"].items() if "seed" not in k}
        return found.model_copy(update={"native": {"parameters": parameters}})


class Modest(FakeBackend):
    """Declares less than it takes."""

    def capabilities(self):
        return super().capabilities().model_copy(
            update={"methods": frozenset({"sft"}), "adapters": frozenset({"full"}), "formats": frozenset({"text"}),
                    "quantizations": frozenset(), "verbs": frozenset({"events", "metrics"})}
        )  # fmt: skip


class Littering(FakeBackend):
    """Leaves a file when it plans."""

    def plan(self, spec, options):
        (service.folder() / "cache").write_text("")
        return super().plan(spec, options)


class Scribbling(FakeBackend):
    """Plans something that JSON cannot say."""

    def plan(self, spec, options):
        return super().plan(spec, options).model_copy(update={"native": {"betas": (0.9, 0.99)}})


class Doubling(FakeBackend):
    """Creates without looking, and finds whatever it likes."""

    def submit(self, plan, token, record):
        return service.create(token, dict(plan.native))

    def find(self, token, plan):
        return "ft-000000000000"


class Chattering(FakeBackend):
    """Sends events in the wrong order, and again and again."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield from reversed(list(super().events(native_id)))
        yield from super().events(native_id)


class Mute(FakeBackend):
    """Says nothing of what happens."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield from ()


class Leaky(FakeBackend):
    """Tells a key."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield Event(cursor="1", time=0, kind="log", message="hf_abcdefghijklmnopqrstuvwxyz")


class Fickle(FakeBackend):
    """Changes its mind about the end, and knows every job."""

    def status(self, native_id):
        return JobStatus(state=JobState.QUEUED)

    def cancel(self, native_id):
        """Accepts anything."""


CASE = {case.name: case for case in cases.CASES}


@pytest.mark.parametrize(
    ("faulty", "test", "extra"),
    [
        (Forgetful, "every_field_is_accounted_for", {"case": CASE["training.seed"]}),
        (Boastful, "every_field_is_accounted_for", {"case": CASE["training.seed"]}),
        (Modest, "methods_are_as_declared", {"kind": "dpo"}),
        (Modest, "adapters_are_as_declared", {"kind": "lora"}),
        (Modest, "formats_are_as_declared", {"kind": "messages"}),
        (Modest, "quantizations_are_as_declared", {"kind": "nf4"}),
        (Littering, "plan_is_pure", {}),
        (Scribbling, "plan_is_data", {}),
        (Doubling, "one_token_makes_one_job", {}),
        (Doubling, "finds_a_job_by_its_token", {}),
        (Doubling, "finds_nothing_under_a_new_token", {}),
        (Chattering, "events_are_in_order", {}),
        (Chattering, "events_go_on_behind_any_cursor", {}),
        (Mute, "events_tell_the_states", {}),
        (Mute, "metrics_are_named_numbers", {}),
        (Modest, "what_is_not_declared_is_refused", {}),
        (Fickle, "the_end_is_the_end", {}),
        (Fickle, "cancel_leaves_a_finished_job_alone", {}),
        (Fickle, "unknown_jobs_are_not_found", {"native_id": "x", "verb": "status"}),
        (Fickle, "unknown_jobs_are_not_found", {"native_id": "x", "verb": "cancel"}),
        (Leaky, "secrets_stay_where_they_are", {}),
    ],
)
def test_the_exam_catches(faulty, test, extra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that breaks the promise fails the very test that holds it."""
    (tmp_path / "rows.jsonl").write_text('{"text": "hello"}\n', encoding="utf-8")
    spec = ftsdk.JobSpec(model="org/tiny", dataset=str(tmp_path / "rows.jsonl"))
    job = backend.submit(backend.plan(spec, Script()), TOKEN, lambda **_: None)
    given = {
        "backend": faulty(),
        "spec": spec,
        "finished": Trace(job, TOKEN, [backend.status(job)]),
        "tmp_path": tmp_path,
        "monkeypatch": monkeypatch,
        **extra,
    }
    ask = getattr(BackendContract(), f"test_{test}")

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        ask(**{name: given[name] for name in inspect.signature(ask).parameters})


def test_the_exam_asks_about_every_field() -> None:
    """No field of a spec, and of no method, can be added without a case for it."""
    bases = [*cases.METHODS, "sft"]
    specs = [ftsdk.JobSpec(model="m", dataset="d", eval_dataset="e", method=cases.method_of(kind)) for kind in bases]
    fields = {field for spec in specs for field in leaves(spec)} - {"method.type"}

    assert fields == {case.field for case in cases.CASES}


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_case_sets_its_field(case: cases.SpecCase) -> None:
    """Each case gives its field another value than the spec has without it."""
    without, with_it = case.contrast(ftsdk.JobSpec(model="m", dataset="d"))

    assert value(without, case.field) != value(with_it, case.field)


def value(section: object, field: str) -> object:
    for part in field.split("."):
        section = getattr(section, part, None)
    return section
