"""The Together AI backend passes the contract, against a service on this machine."""

import json
from collections.abc import Iterator

import pytest
from together_service import KEY, MODEL, Service, serving

import ftsdk
from ftsdk.remote.retries import Timeouts
from ftsdk.testing import BackendContract
from ftsdk_together import TogetherBackend


class TestTogether(BackendContract):
    poll = 0.03

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls) -> Iterator[Service]:
        with serving() as running, pytest.MonkeyPatch.context() as patch:
            patch.setenv("TOGETHER_BASE_URL", running.url)
            patch.setenv("TOGETHER_API_KEY", KEY)
            yield running

    @pytest.fixture(autouse=True)
    def _address(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same for each test, because a fixture of all tests removes every variable that a user may have set."""
        monkeypatch.setenv("TOGETHER_BASE_URL", service.url)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, service: Service) -> TogetherBackend:
        assert service.url
        return TogetherBackend(Timeouts(poll_interval=0.02))

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        path = tmp_path_factory.mktemp("data") / "rows.jsonl"
        rows = ({"prompt": f"{number} + 1 =", "completion": f" {number + 1}"} for number in range(8))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return ftsdk.JobSpec(model=MODEL, dataset=str(path))

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, spec: ftsdk.JobSpec) -> ftsdk.JobSpec:
        return spec.model_copy(update={"backend_options": {"together": {"suffix": "fails"}}})
