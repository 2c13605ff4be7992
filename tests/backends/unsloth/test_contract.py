"""The Unsloth backend passes the exam, with the real Unsloth on the tiny model."""

import pytest
from engine_contract import EngineExam

from ftsdk_unsloth import UnslothBackend

pytestmark = pytest.mark.foreign_engine


class TestUnsloth(EngineExam):
    system = UnslothBackend
