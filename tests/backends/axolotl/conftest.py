import pytest
from engine_jobs import Specs

from ftsdk.engines.environment import build
from ftsdk_axolotl.engine import ENGINE_ENVIRONMENT


@pytest.fixture
def axolotl_spec(tiny_model, tmp_path):
    """Makes a small spec for Axolotl."""
    return Specs("axolotl", tiny_model, tmp_path)


@pytest.fixture(scope="session")
def axolotl_python():
    """Axolotl's own Python, installed where it is missing: three gigabytes, once for all tests."""
    build(ENGINE_ENVIRONMENT, print)
    return ENGINE_ENVIRONMENT.interpreter
