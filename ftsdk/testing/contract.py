r"""The contract that every backend passes, those of ftsdk and of third parties.

Subclass it, and provide a backend and a small spec that it can run::

    class TestAcme(BackendContract):
        @pytest.fixture(scope="class")
        @classmethod
        def backend(cls):
            return AcmeBackend()

        @pytest.fixture(scope="class")
        @classmethod
        def spec(cls, tmp_path_factory):
            rows = tmp_path_factory.mktemp("data") / "rows.jsonl"
            rows.write_text('{"prompt": "2 + 2 =", "completion": " 4"}\n' * 8)
            return ftsdk.JobSpec(model="org/tiny", dataset=str(rows), training={"max_steps": 4})

It starts two jobs, and one more for each of ``resume`` and ``failing_spec``. Both fixtures have the scope of the
class, because its tests share those jobs. A job should take half a second or more, or there is nothing to cancel.
"""

import secrets
from collections.abc import Iterator

import pytest

from ftsdk.backend import Backend
from ftsdk.home import VARIABLE
from ftsdk.job_types import JobState
from ftsdk.spec import JobSpec
from ftsdk.testing.job_contract import JobContract, Trace, describe
from ftsdk.testing.plan_contract import PlanContract


class BackendContract(PlanContract, JobContract):
    """Subclass this in a test module as ``Test...``, and provide the fixtures ``backend`` and ``spec``."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend:
        """To override: the backend, as the entry point gives it."""
        raise NotImplementedError("provide the fixture 'backend', with scope='class'")

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> JobSpec:
        """To override: a small spec that it can run, with the backend's options if it needs any."""
        raise NotImplementedError("provide the fixture 'spec', with scope='class'")

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls) -> JobSpec | None:
        """To override, optionally: a spec whose job is accepted and then fails."""
        return None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _environment(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
        """A state folder for the class, and a fake key in the environment, which must not appear in any output."""
        variables = {
            VARIABLE: str(tmp_path_factory.mktemp("home")),
            "CONTRACT_API_KEY": f"canary-{secrets.token_hex(8)}",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield variables

    @pytest.fixture(autouse=True)
    def _class_environment(self, _environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """The same for each test, also where a fixture of yours gives every test its own state folder."""
        for name, value in _environment.items():
            monkeypatch.setenv(name, value)

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, backend: Backend, spec: JobSpec, _environment: dict[str, str]) -> Trace:
        """A job that has run to its end."""
        trace = cls.start(backend, spec)
        cls.follow(backend, trace)
        assert trace.states[-1] is JobState.SUCCEEDED, f"the spec's job must succeed: {describe(backend, trace)}"
        return trace

    @pytest.fixture(scope="class")
    @classmethod
    def cancelled(cls, backend: Backend, spec: JobSpec, _environment: dict[str, str]) -> Trace:
        """A job that was cancelled twice, right after its creation."""
        trace = cls.start(backend, spec)
        if "cancel" in backend.capabilities().verbs:
            backend.cancel(trace.native_id)
            backend.cancel(trace.native_id)
        cls.follow(backend, trace)
        return trace
