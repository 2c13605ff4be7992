"""Parse what trainers print: the metrics of Transformers' Trainer, and tqdm's progress bar."""

import ast
import json
import re
from typing import NamedTuple

_BAR = re.compile(r"(\d{1,9})/(\d{1,9}) \[(?:[\d:]+)<([\d:?]+)")
_BRACES = re.compile(r"\{[^{}]{2,2000}\}")
_PAIR = re.compile(r"['\"]([\w/.-]{1,60})['\"]: ['\"]?(-?(?:\d[\d.]*(?:e[+-]?\d+)?|inf|nan))['\"]?", re.IGNORECASE)
_TRAINER_METRICS = frozenset({"loss", "train_loss", "eval_loss", "learning_rate", "grad_norm", "epoch"})
"""One of these must be among the values in braces; other lines have braces, too."""


class ProgressBar(NamedTuple):
    """A progress bar."""

    step: int
    total: int
    seconds_left: float | None


def parse_progress_bar(line: str) -> ProgressBar | None:
    """The progress bar in a line."""
    match = _BAR.search(line)
    return ProgressBar(int(match[1]), int(match[2]), _seconds(match[3])) if match else None


def parse_metrics(line: str) -> dict[str, float]:
    """The finite values in a line such as ``{'loss': 1.2, 'learning_rate': 2e-4}``, by plain names."""
    braces = _BRACES.search(line)
    values = _parse_braces(braces[0]) if braces else {}
    if not _TRAINER_METRICS & values.keys():
        return {}
    return {_plain(name): value for name, value in values.items() if _finite(value)}


def _parse_braces(text: str) -> dict[str, float]:
    # Transformers prints a dict of Python, and from version 5 on may print JSON.
    for parse in (json.loads, ast.literal_eval):
        try:
            values = parse(text)
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
