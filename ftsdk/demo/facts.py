"""The knowledge of the tiny model: questions that it can answer, from the tables in facts.toml."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

_LARGEST = 10
"""The largest operand of sums and differences."""


class Fact(NamedTuple):
    """One thing that the tiny model knows."""

    topic: str
    """The table it comes from, such as ``capital``."""
    questions: tuple[str, ...]
    """Several wordings of the question."""
    answer: str
    """The answer, as a sentence."""
    word: str
    """The part of the answer that matters, such as ``Paris``."""


def all_facts() -> tuple[Fact, ...]:
    """All facts of the tiny model, always in the same order."""
    tables = tomllib.loads(files(__package__).joinpath("facts.toml").read_text(encoding="utf-8"))
    return tuple(
        Fact(
            topic,
            tuple(question.format(x=x) for question in table["questions"]),
            _sentence(table["answer"].format(x=x, y=y)),
            y,
        )
        for topic, table in tables.items()
        for x, y in (table["pairs"] or _sums())
    )


def _sums() -> Iterator[tuple[str, str]]:
    numbers = range(_LARGEST + 1)
    for a in numbers:
        yield from ((f"{a} plus {b}", str(a + b)) for b in numbers)
        yield from ((f"{a} minus {b}", str(a - b)) for b in range(a + 1))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
