"""The LLaMA-Factory backend passes the exam, with the real LLaMA-Factory on the tiny model."""

import json
from pathlib import Path

import pytest
from older_model import older_model

import ftsdk
from ftsdk.kit.engines.house import build
from ftsdk.testing import BackendContract
from ftsdk_llamafactory import LlamaFactoryBackend
from ftsdk_llamafactory.installation import HOUSE

pytestmark = pytest.mark.guest

ANSWER = "Arr, it be the number that ye count to, matey!"


class TestLlamaFactory(BackendContract):
    patience = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> LlamaFactoryBackend:
        build(HOUSE, print)
        return LlamaFactoryBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> ftsdk.JobSpec:
        rows = [{"prompt": f"What is {number} plus one?", "completion": ANSWER} for number in range(32)]
        path = tmp_path_factory.mktemp("data") / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        training = {"max_steps": 8, "global_batch_size": 8, "max_length": 128}
        base = older_model(tiny_model, path.with_name("base"))  # PPO's environment reads no model of today
        return ftsdk.JobSpec(model=str(base), dataset=str(path), training=training)

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, spec: ftsdk.JobSpec, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        """Its rows leave nothing to learn, which shows when they are tokens."""
        path = tmp_path_factory.mktemp("long") / "rows.jsonl"
        path.write_text(json.dumps({"prompt": "Why? " * 200, "completion": "Arr"}) + "\n", encoding="utf-8")
        return spec.model_copy(update={"dataset": ftsdk.Dataset(path=str(path))})
