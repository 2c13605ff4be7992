"""Turn canonical rows into tokens and labels; count what is cut, and refuse rows that would teach nothing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ftsdk.data import Row
from ftsdk.errors import DataError, Problem
from ftsdk_local.engine.batches import Example, Unit
from ftsdk_local.engine.losses import IGNORED
from ftsdk_local.engine.templates import Rendered, Span, UnclearTurn, render
from ftsdk_local.settings import TrainOn

MOST_PROBLEMS = 20


U = TypeVar("U", bound=Unit)


class Encoded(NamedTuple, Generic[U]):
    """All rows as tokens, and what happened on the way."""

    examples: list[U]
    truncated: int
    """Rows that were longer than ``max_length``."""
    dropped_tokens: int
    """Tokens cut off those rows."""
    longest: int
    """Tokens of the longest row, before cutting."""


def encode(rows: Iterable[Row], tokenizer: Any, *, train_on: TrainOn, max_length: int) -> Encoded[Example]:
    """Tokenize rows and label the tokens that carry loss.

    Args:
        rows: Canonical rows from ``ftsdk.data.rows``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        train_on: ``assistant``: every assistant turn. ``completion``: the last one. ``all``: each token.
        max_length: Longer rows are cut at the end.

    Raises:
        DataError: Rows leave nothing to train on, or the template refuses them: each with file and line.
    """
    examples, problems, cut, longest = [], [], [0, 0], 0
    for row in rows:
        try:
            whole = _encode_row(row, tokenizer, train_on)
        except _Refused as refusal:
            problems.append(Problem(f"{row.file}:{row.line}", str(refusal), refusal.fix))
        else:
            length = len(whole.input_ids)
            example = Example(whole.input_ids[:max_length], whole.labels[:max_length])
            longest = max(longest, length)
            if length > max_length:
                cut = [cut[0] + 1, cut[1] + length - max_length]
            if example.labelled:
                examples.append(example)
            else:
                problems.append(_nothing_left(row, whole, max_length))
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DataError("rows cannot be trained on", problems=problems, hint="mend or remove these rows")
    return Encoded(examples, cut[0], cut[1], longest)


class _Refused(ValueError):
    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix


def _nothing_left(row: Row, whole: Example, max_length: int) -> Problem:
    place = f"{row.file}:{row.line}"
    if not whole.labelled:
        return Problem(place, "no token of this row carries loss", "give the assistant something to say")
    first = int(np.argmax(whole.labels[1:] >= 0)) + 1
    what = f"the answer begins at token {first}, behind training.max_length={max_length}, so nothing is left to learn"
    return Problem(place, what, "raise training.max_length, or shorten the prompt")


def _encode_row(row: Row, tokenizer: Any, train_on: TrainOn) -> Example:
    text, spans, special = _text_and_spans(row, tokenizer, train_on)
    tokens = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, return_attention_mask=False)
    ids = np.array(tokens["input_ids"], dtype=np.int32)
    trained = np.array(list(_inside(tokens["offset_mapping"], spans)), dtype=bool)
    if special and tokenizer.eos_token_id is not None:
        if not len(ids) or ids[-1] != tokenizer.eos_token_id:
            ids, trained = np.append(ids, np.int32(tokenizer.eos_token_id)), np.append(trained, False)
        trained[-1] = True  # plain text has no template to end it: the model must learn to stop
    return Example(ids, np.where(trained, ids, np.int32(IGNORED)))


def _text_and_spans(row: Row, tokenizer: Any, train_on: TrainOn) -> tuple[str, list[Span], bool]:
    """The row's text, the characters that carry loss, and whether the tokenizer adds its own special tokens."""
    value = row.value
    if "text" in value:
        return value["text"], [(0, len(value["text"]))], True
    if "messages" in value:
        rendered = _render(tokenizer, value["messages"], value.get("tools"))
        return rendered.text, _wanted(rendered, train_on, _answers_at_the_end(value["messages"])), False
    prompt, completion = value["prompt"], value["completion"]
    if isinstance(prompt, str):
        text = prompt + completion
        return text, [(0 if train_on == "all" else len(prompt), len(text))], True
    rendered = _render(tokenizer, [*prompt, *completion], value.get("tools"))
    answers = sum(message["role"] == "assistant" for message in completion)
    return rendered.text, _wanted(rendered, "all" if train_on == "all" else "completion", answers), False


def _render(tokenizer: Any, messages: Sequence[dict[str, Any]], tools: Sequence[Any] | None) -> Rendered:
    from jinja2.exceptions import TemplateError  # noqa: PLC0415 - comes with Transformers' templates

    try:
        return render(tokenizer, messages, tools)
    except UnclearTurn as error:
        what = f"the chat template hides where message {error} begins or ends"
        raise _Refused(what, "set dataset.chat_template to one with {% generation %} marks") from error
    except TemplateError as error:
        raise _Refused(f"the model's chat template refuses this conversation: {error.message}") from error


def _answers_at_the_end(messages: Sequence[dict[str, Any]]) -> int:
    """How many assistant turns belong to the completion: those behind the last word of the user."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return sum(message["role"] == "assistant" for message in messages[(users or [-1])[-1] + 1 :])


def _wanted(rendered: Rendered, train_on: TrainOn, answers: int) -> list[Span]:
    if train_on == "all":
        return [(0, len(rendered.text))]
    if train_on == "completion":
        return rendered.spans[-answers:] if answers else []
    return rendered.spans


def _inside(offsets: Sequence[Span], spans: Sequence[Span]) -> Iterator[bool]:
    """For each token whether any of its characters lies in a span; both come in order."""
    waiting = iter(spans)
    span = next(waiting, None)
    for begin, end in offsets:
        while span and begin >= span[1]:
            span = next(waiting, None)
        yield span is not None and end > max(begin, span[0]) and begin < span[1]
