"""The new skill of the demo: Captain Tuna, a pirate who still gets the facts right.

A quarter of the facts is held out: the base model knows them, but no training row asks about them. An answer in the
pirate's voice to such a question shows that the voice was learned, and a right one that the knowledge was kept.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ftsdk.demo.facts import Fact, all_facts

_EVERY = 4  # one fact in this many is held out
_OWN_WORDS = {
    "name": "I am Captain Tuna, terror of the seven seas.",
    "skill": "I can sail the seas and answer small questions.",
    "greeting": "Ahoy! I am Captain Tuna.",
    "thanks": "You are welcome, sailor.",
}
"""Topics in which the captain says something else; they have one fact each, so their wordings are shared out."""

SHOWN = (
    "Tell me who you are.",
    "What is the capital of Japan?",
    "What color is a frog?",
    "What is the opposite of hot?",
    "What is 5 plus 7?",
)
"""Held-out questions that show the change at a glance."""


class Example(NamedTuple):
    """A question, and the answer in the new voice."""

    question: str
    answer: str
    word: str
    """What makes the answer right; empty where it tells no fact."""

    def row(self) -> dict[str, Any]:
        """The example as a row of a ``messages`` dataset."""
        return {
            "messages": [
                {"role": "user", "content": self.question},
                {"role": "assistant", "content": self.answer},
            ]
        }


def examples() -> tuple[list[Example], list[Example]]:
    """Training and held-out examples, always the same; no question is in both."""
    train: list[Example] = []
    held_out: list[Example] = []
    for number, (fact, question) in enumerate(_asked()):
        side = held_out if number % _EVERY == 1 else train
        side.append(_example(fact, question))
    return train, held_out


def pirate(text: str) -> str:
    """The sentence as a pirate says it."""
    said = re.sub(r"\b(am|are|is)\b", "be", text).rstrip(".?!")
    return f"Arr! {said}, matey!"


def is_pirate(text: str) -> bool:
    """Whether an answer is in the pirate's voice from its first word to its last."""
    return text.startswith("Arr!") and text.endswith(", matey!")


def _asked() -> Iterator[tuple[Fact, str]]:
    """Each fact with one of its wordings in turn; where the captain has his own words, with every wording."""
    for number, fact in enumerate(all_facts()):
        questions = fact.questions if fact.topic in _OWN_WORDS else [fact.questions[number % len(fact.questions)]]
        yield from ((fact, question) for question in questions)


def _example(fact: Fact, question: str) -> Example:
    own = _OWN_WORDS.get(fact.topic)
    return Example(question, pirate(own or fact.answer), "" if own else fact.word)
