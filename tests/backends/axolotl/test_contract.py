"""The Axolotl backend passes the exam, with the real Axolotl on the tiny model."""

import pytest
from engine_contract import EngineExam

from ftsdk_axolotl import AxolotlBackend

pytestmark = pytest.mark.foreign_engine


class TestAxolotl(EngineExam):
    system = AxolotlBackend
