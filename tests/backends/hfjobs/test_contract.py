"""The contract's tests of the Hugging Face Jobs backend; a Hub on this machine runs its Jobs with the real engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_client import SHORT_TIMEOUTS, use_hub
from hub_service import Service, serving

import ftsdk
from ftsdk.testing import BackendContract
from ftsdk_hfjobs import HfJobsBackend

pytestmark = pytest.mark.engine

ANSWER = "Arr, it be the number that ye count to, matey!"


class TestHfJobs(BackendContract):
    patience = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Service]:
        with serving() as running, pytest.MonkeyPatch.context() as patch:
            use_hub(running, patch, tmp_path_factory.mktemp("user"))
            tiny = running.add("org/tiny", tiny_model)
            tiny.names["0123abc"] = tiny.commit({"NOTES.md": b"another one"}, "a branch of its own")
            tiny.commit({"NOTES.md": b"the newest"}, "the newest")
            for name in ("another/model", "org/reward", "another/reward"):
                running.add(name, tiny_model)
            yield running

    @pytest.fixture(autouse=True)
    def _at_the_hub(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Again for each test, because a fixture removes all environment variables that a user may have set."""
        use_hub(service, monkeypatch, tmp_path_factory.getbasetemp() / "hub-user")

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, service: Service) -> HfJobsBackend:
        assert service.url
        return HfJobsBackend(SHORT_TIMEOUTS)

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        rows = [{"prompt": f"What is {number} plus one?", "completion": ANSWER} for number in range(32)]
        path = tmp_path_factory.mktemp("data") / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        training = {"max_steps": 8, "global_batch_size": 8, "max_length": 512}
        return ftsdk.JobSpec(model="org/tiny", dataset=str(path), training=training)

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, spec: ftsdk.JobSpec, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        """Its template refuses every row, which shows in the container alone."""
        folder = tmp_path_factory.mktemp("broken")
        (folder / "template.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
        chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr"}]
        (folder / "rows.jsonl").write_text(json.dumps({"messages": chat}) + "\n", encoding="utf-8")
        dataset = ftsdk.Dataset(path=str(folder / "rows.jsonl"), chat_template=str(folder / "template.jinja"))
        return spec.model_copy(update={"dataset": dataset})
