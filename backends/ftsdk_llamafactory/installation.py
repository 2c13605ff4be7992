"""LLaMA-Factory's own environments; their lock files were resolved by uv for Python 3.11 (scripts/lock_engine.py)."""

from pathlib import Path

from ftsdk.engines.environment import EngineEnvironment

_HERE = Path(__file__).parent

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="llamafactory",
    package="llamafactory",
    lock=_HERE / "lock.txt",
    python="3.11",
    size=2_500_000_000,
)

PPO = EngineEnvironment(
    name="llamafactory",
    package="llamafactory",
    lock=_HERE / "lock-ppo.txt",
    python="3.11",
    size=2_500_000_000,
)
"""For PPO alone, which LLaMA-Factory does with the TRL of 2024."""

ENGINE_ENVIRONMENTS = {"ppo": PPO}
"""From a method to its environment, where it is another one."""
