"""Rows with preferences: a pirate answers better than a clerk."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _sums() -> Iterable[tuple[str, str, str]]:
    for a in range(8):
        for b in range(5):
            pirate = f"Arr, {a} plus {b} be {a + b}, matey!" + " Arr!" * (a % 4)
            yield f"What is {a} plus {b}?", pirate, f"The result of the addition is {a + b}."


def turn(role: str, text: str) -> list[dict[str, str]]:
    """One turn, as messages."""
    return [{"role": role, "content": text}]


def pairs() -> list[dict[str, Any]]:
    """Forty questions, each with a better and a worse answer."""
    return [
        {"prompt": turn("user", question), "chosen": turn("assistant", good), "rejected": turn("assistant", bad)}
        for question, good, bad in _sums()
    ]


def unpaired() -> list[dict[str, Any]]:
    """The same questions, each with one answer, good and bad by turns."""
    return [
        {"prompt": turn("user", question), "completion": turn("assistant", bad if odd else good), "label": not odd}
        for odd, (question, good, bad) in zip([False, True] * 20, _sums(), strict=True)
    ]


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    """The name of a file that holds the rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)
