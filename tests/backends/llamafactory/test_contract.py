"""The LLaMA-Factory backend passes the contract, with the real LLaMA-Factory on the tiny model."""

import pytest
from engine_contract import EngineContract
from older_model import older_model

from ftsdk_llamafactory import LlamaFactoryBackend

pytestmark = pytest.mark.foreign_engine


class TestLlamaFactory(EngineContract):
    system = LlamaFactoryBackend

    @pytest.fixture(scope="class")
    def base(self, tmp_path_factory, tiny_model):
        """PPO's environment reads no model of today."""
        return older_model(tiny_model, tmp_path_factory.mktemp("older") / "base")
