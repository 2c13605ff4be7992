"""The contract for backends fails for faulty backends, and has a case for every field."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ftsdk
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.testing import BackendContract, FakeBackend, Script, service
from ftsdk.testing import spec_cases as cases
from ftsdk.testing.fake import field_names
from ftsdk.testing.job_contract import Trace

TOKEN = "abcdefghijklmnopqrstuvwxyz"
backend = FakeBackend()


class Dropping(FakeBackend):
    """Drops a field silently."""

    def plan(self, spec, options):
        plan = super().plan(spec, options)
        return plan.model_copy(update={"honoured": {k: v for k, v in plan.honoured.items() if "seed" not in k}})


class Overclaiming(FakeBackend):
    """Reports a field as used that is not in the request."""

    def plan(self, spec, options):
        plan = super().plan(spec, options)
        parameters = {k: v for k, v in plan.native["parameters"].items() if "seed" not in k}
        return plan.model_copy(update={"native": {"parameters": parameters}})


class Underdeclaring(FakeBackend):
    """Declares less than it supports."""

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


class Unserializable(FakeBackend):
    """Plans something that JSON cannot express."""

    def plan(self, spec, options):
        return super().plan(spec, options).model_copy(update={"native": {"betas": (0.9, 0.99)}})


class Doubling(FakeBackend):
    """Creates without a search, and finds a job that does not exist."""

    def submit(self, plan, token, record):
        return service.create(token, dict(plan.native))

    def find(self, token, plan):
        return "ft-000000000000"


class Disordered(FakeBackend):
    """Sends events in the wrong order, and repeatedly."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield from reversed(list(super().events(native_id)))
        yield from super().events(native_id)


class Eventless(FakeBackend):
    """Has no events."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield from ()


class Leaky(FakeBackend):
    """Logs a key."""

    def events(self, native_id, after=None) -> Iterator[Event]:
        yield Event(cursor="1", time=0, kind="log", message="hf_abcdefghijklmnopqrstuvwxyz")


class Unstable(FakeBackend):
    """Changes a final state, and accepts every job id."""

    def status(self, native_id):
        return JobStatus(state=JobState.QUEUED)

    def cancel(self, native_id):
        """Accepts anything."""


CASE = {case.name: case for case in cases.CASES}


@pytest.mark.parametrize(
    ("faulty", "test", "extra"),
    [
        (Dropping, "every_field_is_accounted_for", {"case": CASE["training.seed"]}),
        (Overclaiming, "every_field_is_accounted_for", {"case": CASE["training.seed"]}),
        (Underdeclaring, "methods_are_as_declared", {"kind": "dpo"}),
        (Underdeclaring, "adapters_are_as_declared", {"kind": "lora"}),
        (Underdeclaring, "formats_are_as_declared", {"kind": "messages"}),
        (Underdeclaring, "quantizations_are_as_declared", {"kind": "nf4"}),
        (Littering, "plan_is_pure", {}),
        (Unserializable, "plan_is_data", {}),
        (Doubling, "one_token_makes_one_job", {}),
        (Doubling, "finds_a_job_by_its_token", {}),
        (Doubling, "finds_nothing_under_a_new_token", {}),
        (Disordered, "events_are_in_order", {}),
        (Disordered, "events_go_on_behind_any_cursor", {}),
        (Eventless, "events_tell_the_states", {}),
        (Eventless, "metrics_are_named_numbers", {}),
        (Underdeclaring, "what_is_not_declared_is_refused", {}),
        (Unstable, "the_end_is_the_end", {}),
        (Unstable, "cancel_leaves_a_finished_job_alone", {}),
        (Unstable, "unknown_jobs_are_not_found", {"native_id": "x", "verb": "status"}),
        (Unstable, "unknown_jobs_are_not_found", {"native_id": "x", "verb": "cancel"}),
        (Leaky, "secrets_stay_where_they_are", {}),
    ],
)
def test_the_contract_catches(faulty, test, extra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A faulty backend fails the test that it violates."""
    (tmp_path / "rows.jsonl").write_text('{"text": "hello"}\n', encoding="utf-8")
    spec = ftsdk.JobSpec(model="org/tiny", dataset=str(tmp_path / "rows.jsonl"))
    job = backend.submit(backend.plan(spec, Script()), TOKEN, lambda **_: None)
    fixtures = {
        "backend": faulty(),
        "spec": spec,
        "finished": Trace(job, TOKEN, [backend.status(job)]),
        "tmp_path": tmp_path,
        "monkeypatch": monkeypatch,
        **extra,
    }
    test_method = getattr(BackendContract(), f"test_{test}")

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test_method(**{name: fixtures[name] for name in inspect.signature(test_method).parameters})


def test_the_contract_has_a_case_for_every_field() -> None:
    """No field of a spec, and of no method, can be added without a case for it."""
    bases = [*cases.METHODS, "sft"]
    specs = [ftsdk.JobSpec(model="m", dataset="d", eval_dataset="e", method=cases.method_of(kind)) for kind in bases]
    fields = {field for spec in specs for field in field_names(spec)} - {"method.type"}

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


def test_failed_asserts_are_explained(tmp_path: Path) -> None:
    """Pytest rewrites the asserts of all the contract's modules, so that a failure shows the compared values."""
    names = ("plan_contract", "job_contract", "contract")
    code = "import sys; from ftsdk.testing import BackendContract\ndef test_loaders():\n"
    code += f"    loaders = [type(sys.modules['ftsdk.testing.' + name].__loader__).__name__ for name in {names}]\n"
    code += "    assert ['AssertionRewritingHook'] * 3 == loaders\n"
    (tmp_path / "test_rewriting.py").write_text(code, encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert 0 == process.returncode, process.stdout
