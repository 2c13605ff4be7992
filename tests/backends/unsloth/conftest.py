import pytest
from engine_jobs import Specs

from ftsdk.engines.environment import build
from ftsdk_unsloth.engine import ENGINE_ENVIRONMENT


@pytest.fixture
def unsloth_spec(tiny_model, tmp_path):
    """Makes a small spec for Unsloth."""
    return Specs("unsloth", tiny_model, tmp_path)


@pytest.fixture(scope="session")
def unsloth_python():
    """Unsloth's own Python, installed where it is missing: two gigabytes, once for all tests."""
    build(ENGINE_ENVIRONMENT, print)
    return ENGINE_ENVIRONMENT.interpreter
