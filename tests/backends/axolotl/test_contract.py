"""The Axolotl backend passes the contract, with the real Axolotl on the tiny model."""

import pytest
from engine_contract import EngineContract

from ftsdk_axolotl import AxolotlBackend

pytestmark = pytest.mark.foreign_engine


class TestAxolotl(EngineContract):
    system = AxolotlBackend
