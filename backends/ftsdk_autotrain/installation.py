"""AutoTrain's own environment. Its lock file was resolved by uv for Python 3.11; see docs/backends/autotrain.md."""

from pathlib import Path

from ftsdk.engines.environment import EngineEnvironment

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="autotrain",
    package="autotrain-advanced",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=3_000_000_000,
)
