"""The Unsloth backend passes the contract, with the real Unsloth on the tiny model."""

import pytest
from engine_contract import EngineContract

from ftsdk_unsloth import UnslothBackend

pytestmark = pytest.mark.foreign_engine


class TestUnsloth(EngineContract):
    system = UnslothBackend
