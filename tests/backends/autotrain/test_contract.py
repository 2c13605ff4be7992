"""The contract's tests of the AutoTrain backend, with the real AutoTrain on the tiny model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hub_client import SHORT_TIMEOUTS, use_hub
from hub_service import Service, serving
from older_model import older_model

import ftsdk
from ftsdk.backend import Capabilities
from ftsdk.engines.environment import build
from ftsdk.testing import BackendContract
from ftsdk_autotrain import AutoTrainBackend
from ftsdk_autotrain.engine import ENGINE_ENVIRONMENT, IMAGE

pytestmark = pytest.mark.foreign_engine

FOR_CPU = ftsdk.Compute(dtype="float32")
"""The tests' machine has no card."""


def small_spec(model: Path | str, folder: Path, rows: int) -> ftsdk.JobSpec:
    path = folder / "rows.jsonl"
    row = {"prompt": "What is one plus one?", "completion": "Arr, it be the number that ye count to, matey!"}
    path.write_text(f"{json.dumps(row)}\n" * rows, encoding="utf-8")
    training = {"num_train_epochs": 1, "global_batch_size": 4, "max_length": 128}
    return ftsdk.JobSpec(model=str(model), dataset=str(path), training=training)


class TestAutoTrain(BackendContract):
    patience = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> AutoTrainBackend:
        build(ENGINE_ENVIRONMENT, print)
        return AutoTrainBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
        return older_model(tiny_model, tmp_path_factory.mktemp("older") / "model")

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory, model: Path) -> ftsdk.JobSpec:
        return small_spec(model, tmp_path_factory.mktemp("data"), rows=64)

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, tmp_path_factory: pytest.TempPathFactory, model: Path) -> ftsdk.JobSpec:
        """Its rows fill no block."""
        return small_spec(model, tmp_path_factory.mktemp("few"), rows=1)


class Hosted(AutoTrainBackend):
    """AutoTrain with the capabilities of its jobs at Hugging Face: they cannot be started again."""

    def capabilities(self) -> Capabilities:
        local = super().capabilities()
        return local.model_copy(update={"verbs": local.verbs - {"resume"}, "costs_money": True})


class AtTheHub(BackendContract):
    """AutoTrain at Hugging Face: a Hub on this machine runs its Jobs and Spaces with the real AutoTrain."""

    patience = 300.0
    executor: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Service]:
        build(ENGINE_ENVIRONMENT, print)
        model = older_model(tiny_model, tmp_path_factory.mktemp("older") / "model")
        with serving() as running, pytest.MonkeyPatch.context() as patch:
            use_hub(running, patch, tmp_path_factory.mktemp("user"))
            running.images[IMAGE] = ENGINE_ENVIRONMENT.interpreter.parent
            tiny = running.add("org/tiny", model)
            tiny.names["0123abc"] = tiny.commit({"NOTES.md": b"another one"}, "a branch of its own")
            tiny.commit({"NOTES.md": b"the newest"}, "the newest")
            running.add("another/model", model)
            yield running

    @pytest.fixture(autouse=True)
    def _at_the_hub(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Again for each test, because a fixture removes all environment variables that a user may have set."""
        use_hub(service, monkeypatch, tmp_path_factory.getbasetemp() / "hub-user")

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, service: Service) -> Hosted:
        assert service.url
        return Hosted(SHORT_TIMEOUTS)

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        options = {"autotrain": {"executor": cls.executor}}
        local = small_spec("org/tiny", tmp_path_factory.mktemp("data"), rows=64)
        return local.model_copy(update={"backend_options": options, "compute": FOR_CPU})

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, spec: ftsdk.JobSpec, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        """Its rows fill no block."""
        few = small_spec("org/tiny", tmp_path_factory.mktemp("few"), rows=1)
        return spec.model_copy(update={"dataset": few.dataset})


class TestAutoTrainOnJobs(AtTheHub):
    executor = "jobs"


class TestAutoTrainInSpaces(AtTheHub):
    executor = "spaces"
