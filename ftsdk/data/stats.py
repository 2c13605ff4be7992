"""Count rows, characters, and what is legal but worth a look."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ftsdk.data.messages import PLAIN

_LONG = 200_000  # characters; some 50,000 tokens
_MOST_REMEMBERED = 1_000_000  # rows, in some 60 MB, to find duplicates of


class Tally:
    """The counts of one dataset."""

    def __init__(self) -> None:
        self.rows = 0
        self.characters = 0
        self.format = ""
        self._labels: set[bool] = set()
        self._seen: set[int] = set()
        self._found: Counter[str] = Counter()

    def add(self, row: dict[str, Any], format_: str) -> None:
        """Count one row in canonical form."""
        texts = _texts(row)
        length, mark = sum(map(len, texts)), hash((*texts, row.get("label")))
        self.rows += 1
        self.characters += length
        self.format = format_
        if mark in self._seen:
            self._found["the same as an earlier row"] += 1
        elif len(self._seen) < _MOST_REMEMBERED:
            self._seen.add(mark)
        if length > _LONG:
            self._found[f"longer than {_LONG:,} characters, likely to be cut at training.max_length"] += 1
        if (sign := _SIGNS.get(format_)) and sign.shows(row):
            self._found[sign.words] += 1
        if "label" in row:
            self._labels.add(row["label"])

    def warnings(self) -> Iterator[str]:
        """What was found, with counts."""
        yield from (counted(number, words) for words, number in self._found.items())
        if self.rows == 1:
            yield "there is one row only: a model learns it by heart, and nothing else"
        if self.rows > 1 and len(self._labels) == 1:
            yield "all rows have the same label: it takes good and bad ones to tell them apart"


def counted(rows: int, words: str) -> str:
    """``3 rows: WORDS``."""
    return f"{rows:,} row{'' if rows == 1 else 's'}: {words}"


class _Sign(NamedTuple):
    words: str
    shows: Callable[[dict[str, Any]], bool]


_SIGNS = {
    "messages": _Sign(
        "ending with words that no assistant answers",
        lambda row: bool(row["messages"][-1]["role"] != "assistant"),
    ),
    "preference": _Sign(
        "with the same answer chosen and rejected, which teaches nothing",
        lambda row: bool(row["chosen"] == row["rejected"]),
    ),
}
"""From a format to what is legal in it but worth a look."""


def _texts(row: dict[str, Any]) -> list[str]:
    """All that is said in a row, not who says it; calls and tools as they would be printed."""
    found: list[str] = []
    for part in row.values():
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, list):
            found += [item["content"] if item.keys() == PLAIN else str(item) for item in part]
    return found
