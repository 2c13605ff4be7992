"""Requests that are kept in files, so that a change of a translation is seen in review."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]


def golden(name: str, request: str) -> str:
    """The content of a golden file; with ``UPDATE_GOLDEN=1``, the request is written into it first.

    Args:
        name: The file, below ``tests``.
        request: What the translation gives today.
    """
    path = TESTS / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(request, encoding="utf-8")
    return path.read_text(encoding="utf-8")
