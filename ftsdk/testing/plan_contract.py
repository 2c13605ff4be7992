"""The part of the contract that needs no job: names, declarations, and the plan."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ftsdk.backend import Backend, Options, Plan
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.home import VARIABLE
from ftsdk.registry import load_backend
from ftsdk.spec import JobSpec
from ftsdk.testing.spec_cases import ADAPTERS, CASES, FORMATS, METHODS, QUANTIZATIONS, SpecCase, method_of


class PlanContract:
    """Tests of the backend's declarations, and of the plan's account of every field."""

    def test_is_found_by_its_name(self, backend: Backend) -> None:
        """The entry point of this name gives this backend."""
        assert isinstance(backend, type(load_backend(backend.name)))

    def test_options_refuse_unknown_keys(self, backend: Backend) -> None:
        """A misspelled option is an error, not ignored."""
        assert issubclass(backend.Options, Options)
        with pytest.raises(ValidationError, match="no_such_option"):
            backend.Options.model_validate({"no_such_option": 1})

    def test_capabilities_use_our_words(self, backend: Backend) -> None:
        """Declared names are ftsdk's own, and there is at least one method and format."""
        capabilities = backend.capabilities()

        assert capabilities.methods
        assert capabilities.formats
        assert capabilities.methods <= METHODS.keys()
        assert capabilities.formats <= set(FORMATS)
        assert capabilities.quantizations <= set(QUANTIZATIONS)

    def test_check_gives_problems(self, backend: Backend) -> None:
        """What makes it unusable is a list of problems, which ``ftsdk doctor`` prints."""
        assert all(isinstance(problem, Problem) for problem in backend.check())

    @pytest.mark.parametrize("kind", sorted(METHODS))
    def test_methods_are_as_declared(self, backend: Backend, spec: JobSpec, kind: str) -> None:
        """A method that is not declared is refused by name; a declared one is not."""
        refused = _refused(backend, _with(spec, method=method_of(kind)))

        assert _names(refused, "method") is (kind not in backend.capabilities().methods)

    @pytest.mark.parametrize("kind", sorted(ADAPTERS))
    def test_adapters_are_as_declared(self, backend: Backend, spec: JobSpec, kind: str) -> None:
        """An adapter that is not declared is refused by name; a declared one is not."""
        refused = _refused(backend, _with(spec, adapter=ADAPTERS[kind], compute={}))

        assert _names(refused, "adapter") is (kind not in backend.capabilities().adapters)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_formats_are_as_declared(self, backend: Backend, spec: JobSpec, kind: str) -> None:
        """A format of rows that is not declared is refused by name."""
        dataset = {**spec.dataset.model_dump(exclude_unset=True), "format": kind}
        refused = _refused(backend, _with(spec, dataset=dataset))

        assert kind in backend.capabilities().formats or _names(refused, "dataset")

    @pytest.mark.parametrize("kind", QUANTIZATIONS)
    def test_quantizations_are_as_declared(self, backend: Backend, spec: JobSpec, kind: str) -> None:
        """A quantization that is not declared is refused, or ignored with a note; never reported as used."""
        quantized = _with(spec, adapter=ADAPTERS["lora"], compute={"quantization": kind})

        assert (
            kind in backend.capabilities().quantizations
            or _outcome(backend, quantized, "compute.quantization") != "kept"
        )

    def test_plan_is_pure(
        self, backend: Backend, spec: JobSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Planning twice gives the same plan, and writes nothing to disk."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(VARIABLE, str(tmp_path))

        assert plan_of(backend, spec) == plan_of(backend, spec)
        assert list(tmp_path.rglob("*")) == []

    def test_plan_is_data(self, backend: Backend, spec: JobSpec) -> None:
        """A plan survives the job records: written as JSON and read back, it is the same."""
        plan = plan_of(backend, spec)

        assert plan == Plan.model_validate_json(plan.model_dump_json(exclude_unset=True))
        assert (backend.name, spec) == (plan.backend, plan.spec)

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_every_field_is_accounted_for(self, backend: Backend, spec: JobSpec, case: SpecCase) -> None:
        """A field that is set changes the request or is refused; only advice may be ignored, with a note.

        Where the system always does what the field says, the plan says so where the field is not set.
        """
        without, with_it = case.contrast(spec)
        outcome = _outcome(backend, with_it, case.field)

        assert outcome in ("kept", "refused", "ignored"), f"{case.field} was dropped silently"
        assert outcome != "ignored" or case.is_advice
        if outcome == "kept" and not case.is_advice:
            plan = plan_of(backend, without)
            always = _covers([note.field for note in plan.backends_own], case.field)
            assert always or plan.native != plan_of(backend, with_it).native


def plan_of(backend: Backend, spec: JobSpec) -> Plan:
    """The plan, with the backend's options as the spec gives them."""
    options = backend.Options.model_validate(spec.backend_options.get(backend.name, {}))
    return backend.plan(spec, options)


def _with(spec: JobSpec, **changes: Any) -> JobSpec:
    return JobSpec.model_validate({**spec.as_written(), **changes})


def _refused(backend: Backend, spec: JobSpec) -> list[str]:
    """The fields for which the backend refuses the spec."""
    try:
        plan_of(backend, spec)
    except UnsupportedSpec as error:
        return [problem.where for problem in error.problems]
    return []


def _names(fields: list[str], section: str) -> bool:
    return any(field.split(".")[0] == section for field in fields)


def _outcome(backend: Backend, spec: JobSpec, field: str) -> str:
    """How a field is handled: refused, ignored, kept, or dropped."""
    if refused := _refused(backend, spec):
        return "refused" if _covers(refused, field) else "dropped"
    plan = plan_of(backend, spec)
    if _covers([note.field for note in plan.set_aside], field):
        return "ignored"
    return "kept" if _covers(list(plan.honoured), field) else "dropped"


def _covers(accounted: list[str], field: str) -> bool:
    """Whether the field, or a section that holds it, is accounted for."""
    return any(field == name or field.startswith(f"{name}.") for name in accounted)
