"""The new skill of the demo: Captain Tuna, a pirate who still gets the facts right.

A quarter of the facts is held out: the base model knows them, but no training row asks about them. An answer in the
pirate's voice to such a question shows that the model learned the voice, and a right one that it kept the knowledge.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ftsdk.demo.facts import Fact, all_facts

_HELD_OUT_EVERY = 4
"""One fact in so many is held out."""
_OWN_WORDS = {
    "name": "I am Captain Tuna, terror of the seven seas.",
    "skill": "I can sail the seas and answer small questions.",
    "greeting": "Ahoy! I am Captain Tuna.",
    "thanks": "You are welcome, sailor.",
}
"""Topics with answers of the captain's own. Each has one fact, so its wordings are divided between the two sets."""

SAMPLE_QUESTIONS = (
    "Tell me who you are.",
    "What is the capital of Japan?",
    "What color is a frog?",
    "What is the opposite of hot?",
    "What is 5 plus 7?",
)
"""Held-out questions that show the change at a glance."""


class PersonaExample(NamedTuple):
    """A question, and the answer in the new voice."""

    question: str
    answer: str
    word: str
    """The word of a right answer; empty where the answer has no fact."""

    def row(self) -> dict[str, Any]:
        """The example as a row of a ``messages`` dataset."""
        return {
            "messages": [
                {"role": "user", "content": self.question},
                {"role": "assistant", "content": self.answer},
            ]
        }


def examples() -> tuple[list[PersonaExample], list[PersonaExample]]:
    """Training and held-out examples, always the same; no question is in both."""
    train: list[PersonaExample] = []
    held_out: list[PersonaExample] = []
    for number, (fact, question) in enumerate(_questions()):
        split = held_out if number % _HELD_OUT_EVERY == 1 else train
        split.append(_example(fact, question))
    return train, held_out


def pirate(text: str) -> str:
    """The sentence in the pirate's voice."""
    sentence = re.sub(r"\b(am|are|is)\b", "be", text).rstrip(".?!")
    return f"Arr! {sentence}, matey!"


def is_pirate(text: str) -> bool:
    """Whether an answer is in the pirate's voice from its first word to its last."""
    return text.startswith("Arr!") and text.endswith(", matey!")


def _questions() -> Iterator[tuple[Fact, str]]:
    """Each fact with one of its wordings in turn; topics with the captain's own answers with every wording."""
    for number, fact in enumerate(all_facts()):
        questions = fact.questions if fact.topic in _OWN_WORDS else [fact.questions[number % len(fact.questions)]]
        yield from ((fact, question) for question in questions)


def _example(fact: Fact, question: str) -> PersonaExample:
    own_answer = _OWN_WORDS.get(fact.topic)
    return PersonaExample(question, pirate(own_answer or fact.answer), "" if own_answer else fact.word)
