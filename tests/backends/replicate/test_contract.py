"""The Replicate backend passes the contract, against a service on this machine."""

import json
from collections.abc import Iterator

import pytest
from replicate_service import KEY, TRAINER, Service, serving

import ftsdk
from ftsdk.remote.retries import Timeouts
from ftsdk.testing import BackendContract
from ftsdk_replicate import ReplicateBackend


class TestReplicate(BackendContract):
    poll = 0.03

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls) -> Iterator[Service]:
        with serving() as running, pytest.MonkeyPatch.context() as patch:
            patch.setenv("REPLICATE_BASE_URL", running.url)
            patch.setenv("REPLICATE_API_TOKEN", KEY)
            yield running

    @pytest.fixture(autouse=True)
    def _address(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same for each test, because a fixture of all tests removes every variable that a user may have set."""
        monkeypatch.setenv("REPLICATE_BASE_URL", service.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, service: Service) -> ReplicateBackend:
        assert service.url
        return ReplicateBackend(Timeouts(poll_interval=0.02))

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        path = tmp_path_factory.mktemp("data") / "rows.jsonl"
        rows = ({"prompt": f"{number} + 1 =", "completion": f" {number + 1}"} for number in range(8))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        options = {"trainer": TRAINER, "destination": "me/tuned", "data_format": "prompt_completion"}
        return ftsdk.JobSpec(model="org/base", dataset=str(path), backend_options={"replicate": options})

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, spec: ftsdk.JobSpec) -> ftsdk.JobSpec:
        return spec.model_copy(update={"model": "fails/always"})
