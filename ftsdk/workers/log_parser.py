"""Read what trainers print: the values that Transformers' Trainer shows, and tqdm's progress bar."""

import ast
import json
import re
from typing import NamedTuple

_BAR = re.compile(r"(\d{1,9})/(\d{1,9}) \[(?:[\d:]+)<([\d:?]+)")
_BRACES = re.compile(r"\{[^{}]{2,2000}\}")
_PAIR = re.compile(r"['\"]([\w/.-]{1,60})['\"]: ['\"]?(-?(?:\d[\d.]*(?:e[+-]?\d+)?|inf|nan))['\"]?", re.IGNORECASE)
_SHOWN = frozenset({"loss", "train_loss", "eval_loss", "learning_rate", "grad_norm", "epoch"})
"""Of a set of values, one of these must be there: else it is something else in braces."""


class ProgressBar(NamedTuple):
    """A progress bar."""

    step: int
    total: int
    left: float | None
    """Seconds."""


def parse_progress_bar(line: str) -> ProgressBar | None:
    """The progress bar in a line."""
    found = _BAR.search(line)
    return ProgressBar(int(found[1]), int(found[2]), _seconds(found[3])) if found else None


def parse_metrics(line: str) -> dict[str, float]:
    """The values in a line such as ``{'loss': 1.2, 'learning_rate': 2e-4}``; finite ones, by plain names.

    Only braces that hold a value which Trainer shows: other lines have braces, too.
    """
    braces = _BRACES.search(line)
    found = _literal(braces[0]) if braces else {}
    return {_plain(name): value for name, value in found.items() if _finite(value)} if _SHOWN & found.keys() else {}


def _literal(text: str) -> dict[str, float]:
    for read in (json.loads, ast.literal_eval):
        try:
            values = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(values, dict):
            return {str(name): number for name, value in values.items() if (number := _number(value)) is not None}
    return {name: float(value) for name, value in _PAIR.findall(text)}  # nan and inf are no literals


def _number(value: object) -> float | None:
    """A number, also one in quotation marks, as Transformers 5 prints it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "value"


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


def _seconds(clock: str) -> float | None:
    """``1:02:03`` as seconds; None for a question mark."""
    if "?" in clock:
        return None
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part or 0)
    return float(seconds)
