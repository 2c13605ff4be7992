"""The local backend passes the contract's tests, with its real engine on the tiny model."""

import json
from pathlib import Path

import pytest

import ftsdk
from ftsdk.testing import BackendContract
from ftsdk_local import LocalBackend

pytestmark = pytest.mark.engine

ANSWER = "Arr, it be the number that ye count to, matey!"


def qlora(model: Path, folder: Path, **changes: object) -> ftsdk.JobSpec:
    rows = [{"prompt": f"What is {number} plus one?", "completion": ANSWER} for number in range(32)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    training = {"max_steps": 8, "global_batch_size": 8, "max_length": 512}
    return ftsdk.JobSpec.model_validate({"model": str(model), "dataset": str(path), "training": training, **changes})


class TestLocal(BackendContract):
    patience = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> LocalBackend:
        return LocalBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> ftsdk.JobSpec:
        return qlora(tiny_model, tmp_path_factory.mktemp("data"), compute={"quantization": "nf4"})

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> ftsdk.JobSpec:
        """Its time is up while the libraries are still being imported, and there is no time of grace."""
        at_once = {"compute": {"timeout": 1}, "backend_options": {"local": {"grace_seconds": 0}}}
        return qlora(tiny_model, tmp_path_factory.mktemp("data"), **at_once)
