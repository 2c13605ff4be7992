"""The AutoTrain backend passes the exam, with the real AutoTrain on the tiny model."""

import json
from pathlib import Path

import pytest
from older_model import older_model

import ftsdk
from ftsdk.kit.house import build
from ftsdk.testing import BackendContract
from ftsdk_autotrain import AutoTrainBackend
from ftsdk_autotrain.installation import HOUSE

pytestmark = pytest.mark.guest


def small(model: Path, folder: Path, rows: int) -> ftsdk.JobSpec:
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
        build(HOUSE, print)
        return AutoTrainBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
        return older_model(tiny_model, tmp_path_factory.mktemp("older") / "model")

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory, model: Path) -> ftsdk.JobSpec:
        return small(model, tmp_path_factory.mktemp("data"), rows=64)

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, tmp_path_factory: pytest.TempPathFactory, model: Path) -> ftsdk.JobSpec:
        """Its rows fill no block."""
        return small(model, tmp_path_factory.mktemp("few"), rows=1)
