import pytest
from engine_jobs import Specs

from ftsdk.engines.environment import build
from ftsdk_llamafactory.engine import ENGINE_ENVIRONMENT


@pytest.fixture
def factory_spec(tiny_model, tmp_path):
    """Makes a small spec for LLaMA-Factory."""
    return Specs("llamafactory", tiny_model, tmp_path)


@pytest.fixture(scope="session")
def factory_python():
    """LLaMA-Factory's own Python, installed where it is missing: two gigabytes, once for all tests."""
    build(ENGINE_ENVIRONMENT, print)
    return ENGINE_ENVIRONMENT.interpreter
