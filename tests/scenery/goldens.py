"""Requests that are kept in files, so that a change of a translation is seen in review."""

import os
from pathlib import Path

ROOM = Path(__file__).parents[1] / "golden"


def golden(place: str, told: str) -> str:
    """What is kept; with ``UPDATE_GOLDEN=1``, what is told is written there first.

    Args:
        place: Below ``tests/golden``.
        told: Today's request.
    """
    path = ROOM / place
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told, encoding="utf-8")
    return path.read_text(encoding="utf-8")
