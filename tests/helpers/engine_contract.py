"""The contract for a backend that runs a foreign engine: with the real engine, on the tiny model."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from engine_jobs import ANSWERS, PATIENCE

import ftsdk
from ftsdk.engines.backend import TokensBackend
from ftsdk.engines.environment import build
from ftsdk.testing import BackendContract

_UNLEARNABLE = {"prompt": "Why? " * 200, "completion": "Arr"}
"""Leaves nothing to learn, which shows when it is tokens."""


class EngineContract(BackendContract):
    """The complete contract; a test names the backend, and may choose another base."""

    system: ClassVar[type[TokensBackend]]
    patience = PATIENCE

    @pytest.fixture(scope="class")
    def backend(self) -> TokensBackend:
        build(self.system.environment, print)
        return self.system()

    @pytest.fixture(scope="class")
    def base(self, tiny_model: Path) -> Path:
        """The model that is trained."""
        return tiny_model

    @pytest.fixture(scope="class")
    def spec(self, tmp_path_factory: pytest.TempPathFactory, base: Path) -> ftsdk.JobSpec:
        path = tmp_path_factory.mktemp("data") / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ANSWERS[:32]), encoding="utf-8")
        training = {"max_steps": 8, "global_batch_size": 8, "max_length": 128}
        return ftsdk.JobSpec(model=str(base), dataset=str(path), training=training)

    @pytest.fixture(scope="class")
    def failing_spec(self, spec: ftsdk.JobSpec, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        path = tmp_path_factory.mktemp("long") / "rows.jsonl"
        path.write_text(json.dumps(_UNLEARNABLE) + "\n", encoding="utf-8")
        return spec.model_copy(update={"dataset": ftsdk.Dataset(path=str(path))})
