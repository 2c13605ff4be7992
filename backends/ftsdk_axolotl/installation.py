"""Axolotl's own environment; its lock file was resolved by uv for Python 3.11 (scripts/lock_engine.py)."""

from pathlib import Path

from ftsdk.engines.environment import EngineEnvironment

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="axolotl",
    package="axolotl",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=3_000_000_000,
)
