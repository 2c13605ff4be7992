"""The little world of the tiny model: questions it can answer, made from the tables in facts.toml."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

_LARGEST = 10  # sums and differences of whole numbers up to this one


class Fact(NamedTuple):
    """One thing that the tiny model knows."""

    topic: str
    """The table it comes from, such as ``capital``."""
    questions: tuple[str, ...]
    """Ways to ask for it."""
    answer: str
    """The answer, as a sentence."""
    word: str
    """The part of the answer that matters, such as ``Paris``."""


def all_facts() -> tuple[Fact, ...]:
    """Everything the tiny model knows, always in the same order."""
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
