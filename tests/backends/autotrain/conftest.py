import json

import pytest
from older_model import older_model

import ftsdk
from ftsdk.engines.environment import build
from ftsdk_autotrain.engine import ENGINE_ENVIRONMENT

ANSWER = "Arr, it be the number that ye count to, matey!"


@pytest.fixture(scope="session")
def older(tiny_model, tmp_path_factory):
    """The tiny model as Transformers 4 wrote models, which AutoTrain can read."""
    return older_model(tiny_model, tmp_path_factory.mktemp("older") / "model")


@pytest.fixture
def autotrain_spec(older, tmp_path):
    """Creates a small spec for AutoTrain."""

    def make(rows=None, **changes):
        path = tmp_path / "rows.jsonl"
        rows = rows or [{"prompt": f"What is {n} plus one?", "completion": ANSWER} for n in range(64)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        training = {"num_train_epochs": 1, "global_batch_size": 4, "max_length": 128}
        defaults = {"model": str(older), "dataset": str(path), "training": training, "backend": "autotrain"}
        return ftsdk.JobSpec.model_validate({**defaults, **changes})

    return make


@pytest.fixture(scope="session")
def autotrain_python():
    """AutoTrain's own Python, installed where it is missing: two gigabytes, once for all tests."""
    build(ENGINE_ENVIRONMENT, print)
    return ENGINE_ENVIRONMENT.interpreter
