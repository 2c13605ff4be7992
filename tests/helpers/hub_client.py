"""Point the Hub's real client to the Hub on this machine."""

from pathlib import Path

import huggingface_hub  # noqa: F401 - before HF_ENDPOINT is set: the client builds its addresses when it is imported
import pytest
from hub_service import KEY, Service

from ftsdk.remote.retries import RetryPolicy, Timeouts

SHORT_TIMEOUTS = Timeouts(
    call=2.0, connect=0.5, retry_policy=RetryPolicy(attempts=3, first_pause=0.01, total_seconds=10), poll_interval=0.02
)
"""Timeouts for tests."""


def use_hub(running: Service, patch: pytest.MonkeyPatch, folder: Path, *, key: str = KEY) -> None:
    """Set address, token and an empty cache.

    Args:
        running: The Hub.
        patch: Restores everything.
        folder: For the cache.
        key: The token.
    """
    # Constants of the client are set as well: they were read from the environment when it was imported.
    patch.setenv("HF_ENDPOINT", running.url)
    patch.setenv("HF_TOKEN", key)
    patch.setenv("HF_HOME", str(folder / "hf"))
    # Without Xet the client uploads large files by LFS over plain HTTP, which the Hub on this machine understands.
    patch.setenv("HF_HUB_DISABLE_XET", "1")
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hf" / "hub"))
    patch.delenv("HF_HUB_OFFLINE", raising=False)
