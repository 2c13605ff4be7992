"""Unsloth's own environment; its lock file was resolved by uv for Python 3.11 (scripts/lock_engine.py)."""

from pathlib import Path

from ftsdk.engines.environment import EngineEnvironment

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="unsloth",
    package="unsloth",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=2_500_000_000,
)
