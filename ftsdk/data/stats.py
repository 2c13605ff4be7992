"""Count rows, characters, and what is valid but may be a mistake."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ftsdk.data.messages import PLAIN

_LONG_ROW = 200_000  # characters; some 50,000 tokens
_MOST_FINGERPRINTS = 1_000_000  # of rows, in some 60 MB, to find duplicates


class DatasetStats:
    """The counts of one dataset."""

    def __init__(self) -> None:
        self.rows = 0
        self.characters = 0
        self.format = ""
        self._labels: set[bool] = set()
        self._fingerprints: set[int] = set()
        self._warnings: Counter[str] = Counter()

    def add(self, row: dict[str, Any], format_: str) -> None:
        """Count one row in canonical form."""
        texts = _texts(row)
        # a hash of 8 bytes instead of the row: two different rows of a million collide with a chance of 1 in 37 million
        length, fingerprint = sum(map(len, texts)), hash((*texts, row.get("label")))
        self.rows += 1
        self.characters += length
        self.format = format_
        if fingerprint in self._fingerprints:
            self._warnings["the same as an earlier row"] += 1
        elif len(self._fingerprints) < _MOST_FINGERPRINTS:
            self._fingerprints.add(fingerprint)
        if length > _LONG_ROW:
            self._warnings[f"longer than {_LONG_ROW:,} characters, likely to be cut at training.max_length"] += 1
        if (check := _CHECKS.get(format_)) and check.applies(row):
            self._warnings[check.message] += 1
        if "label" in row:
            self._labels.add(row["label"])

    def warnings(self) -> Iterator[str]:
        """One line for each kind, with its count."""
        yield from (counted(number, message) for message, number in self._warnings.items())
        if self.rows == 1:
            yield "there is one row only: the model will memorize it"
        if self.rows > 1 and len(self._labels) == 1:
            yield "all rows have the same label: good and bad ones are needed"


def counted(rows: int, message: str) -> str:
    """``3 rows: MESSAGE``."""
    return f"{rows:,} row{'' if rows == 1 else 's'}: {message}"


class _Check(NamedTuple):
    message: str
    applies: Callable[[dict[str, Any]], bool]


_CHECKS = {
    "messages": _Check(
        "ending with a message that the assistant does not answer",
        lambda row: bool(row["messages"][-1]["role"] != "assistant"),
    ),
    "preference": _Check(
        "with the same answer chosen and rejected, which teaches nothing",
        lambda row: bool(row["chosen"] == row["rejected"]),
    ),
}
"""From a format to what is valid in it but may be a mistake."""


def _texts(row: dict[str, Any]) -> list[str]:
    """The texts of a row without its roles; calls and tools as they would be printed."""
    texts: list[str] = []
    for part in row.values():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, list):
            texts += [item["content"] if item.keys() == PLAIN else str(item) for item in part]
    return texts
