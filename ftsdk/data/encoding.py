"""From one canonical row to tokens and labels, the same for every engine: which words are the assistant's.

A chat template with ``{% generation %}`` marks says it itself. For any other, each turn's place is found by rendering
the conversation up to the turn: what follows the generation prompt is what the model must learn to say. Templates that
render earlier turns differently once later ones are there (they drop thoughts, say) are asked a second way: with two
other texts in the turn's place, what stays equal around them is not the turn.

This file needs nothing of ours, and of Transformers what its versions since 5.0 have: it is also laid beside the
scripts that run in an engine's own Python.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from transformers.utils.chat_template_utils import render_jinja_template

IGNORED = -100
"""The label of a token that carries no loss."""

Row = dict[str, Any]
Message = dict[str, Any]
Span = tuple[int, int]
"""Begin and end of some characters."""

PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '### Assistant\\n' -}}
{%- generation -%}{{- message.content + eos_token -}}{%- endgeneration -%}
{{- '\\n\\n' -}}
{%- else -%}
{{- '### ' + message.role | capitalize + '\\n' + message.content + '\\n\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '### Assistant\\n' -}}{%- endif -%}
"""
"""For models that have no chat template of their own: ordinary words as marks, so that no new token must be learned."""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_STAND_INS = ("alpha 1", "omega 2")  # no common beginning, no common end, and nothing a template would trim


class Rendered(NamedTuple):
    """A conversation as text, and where the assistant speaks in it."""

    text: str
    spans: list[Span]


class UnclearTurn(ValueError):
    """The template hides where an assistant turn begins or ends."""


def render(tokenizer: Any, messages: Sequence[Message], tools: Sequence[Any] | None = None) -> Rendered:
    """Render a conversation with the tokenizer's chat template and find every assistant turn.

    Args:
        tokenizer: With a ``chat_template``.
        messages: The conversation.
        tools: Tools that the conversation may call, as JSON schemas.

    Raises:
        UnclearTurn: Neither way finds a turn.
    """
    template = tokenizer.get_chat_template(tools=tools)
    if _MARKED.search(template):
        texts, indices = render_jinja_template(
            conversations=[list(messages)],
            tools=list(tools) if tools else None,
            chat_template=template,
            return_assistant_tokens_mask=True,
            **tokenizer.special_tokens_map,
        )
        return Rendered(texts[0], [(begin, end) for begin, end in indices[0]])

    def text_of(part: Sequence[Message], *, prompt: bool = False) -> str:
        return str(tokenizer.apply_chat_template(list(part), tools=tools, tokenize=False, add_generation_prompt=prompt))

    whole = text_of(messages)
    turns = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    spans = [
        _by_prefix(text_of, whole, messages, turn) or _by_stand_ins(text_of, whole, messages, turn, tokenizer)
        for turn in turns
    ]
    return Rendered(whole, [_without_blank_tail(whole, span, tokenizer) for span in spans])


def _by_prefix(text_of: Callable[..., str], whole: str, messages: Sequence[Message], turn: int) -> Span | None:
    if turn == 0:
        return None
    before = text_of(messages[:turn], prompt=True)
    upto = text_of(messages[: turn + 1])
    return (len(before), len(upto)) if upto.startswith(before) and whole.startswith(upto) else None


def _by_stand_ins(
    text_of: Callable[..., str], whole: str, messages: Sequence[Message], turn: int, tokenizer: Any
) -> Span:
    if not messages[turn].get("content"):
        raise UnclearTurn(turn)
    others = [
        text_of([*messages[:turn], {**messages[turn], "content": text}, *messages[turn + 1 :]]) for text in _STAND_INS
    ]
    head = _common_beginning(*others)
    tail = _common_beginning(*(other[::-1] for other in others))[::-1]
    end = len(whole) - len(tail)
    if not (whole.startswith(head) and whole.endswith(tail) and len(head) < end):
        raise UnclearTurn(turn)
    return len(head), end + _length_of_end_mark(tail, tokenizer)


def _common_beginning(one: str, other: str) -> str:
    length = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[:length]


def _length_of_end_mark(tail: str, tokenizer: Any) -> int:
    """The special token that closes the turn belongs to it: the model must learn to stop."""
    marks = [mark for mark in tokenizer.all_special_tokens if tail.lstrip().startswith(mark)]
    return len(tail) - len(tail.lstrip()) + len(max(marks, key=len)) if marks else 0


def _without_blank_tail(whole: str, span: Span, tokenizer: Any) -> Span:
    """Blanks behind a turn's closing special token are never generated: the model has stopped by then."""
    spoken = whole[slice(*span)]
    closed = spoken.rstrip().endswith(tuple(tokenizer.all_special_tokens))
    return (span[0], span[0] + len(spoken.rstrip())) if closed else span


class Refused(ValueError):
    """A row that cannot be learned from.

    Args:
        what: Why.
        fix: The next step; empty where ``what`` makes it plain.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix


def encode_row(row: Row, tokenizer: Any, train_on: str) -> tuple[list[int], list[int]]:
    """A row's tokens, and its labels: the token where it carries loss, else :data:`IGNORED`.

    Args:
        row: In a canonical form: ``messages``, ``prompt`` and ``completion``, or ``text``.
        tokenizer: A fast one; with a chat template where rows are conversations.
        train_on: ``assistant``: every assistant turn. ``completion``: the last one. ``all``: each token.

    Raises:
        Refused: The template refuses the row, or hides where a turn begins or ends.
    """
    text, spans, special = _text_and_spans(row, tokenizer, train_on)
    tokens = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, return_attention_mask=False)
    ids: list[int] = list(tokens["input_ids"])
    trained = list(_inside(tokens["offset_mapping"], spans))
    if special and tokenizer.eos_token_id is not None:
        if not ids or ids[-1] != tokenizer.eos_token_id:
            ids, trained = [*ids, tokenizer.eos_token_id], [*trained, False]
        trained[-1] = True  # plain text has no template to end it: the model must learn to stop
    return ids, [token if learned else IGNORED for token, learned in zip(ids, trained, strict=True)]


def encode_pair(row: Row, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """The prompt with the chosen answer, and with the rejected one, each up to the token that ends it.

    The score of a response is read there; blanks that a chat template writes behind it are left out.
    """
    return [
        _to_its_end(*encode_row({**row, "completion": row[name]}, tokenizer, "completion"))
        for name in ("chosen", "rejected")
    ]


def prompt_and_answer(row: Row) -> tuple[Any, Any]:
    """What a row asks, as text or messages, and its own answer; None where it has none."""
    if "prompt" in row:
        return row["prompt"], row.get("completion")
    messages = row["messages"]
    asked = max((place for place, message in enumerate(messages) if message["role"] != "assistant"), default=-1)
    return messages[: asked + 1], messages[asked + 1 :] or None


def encode_prompt(said: str | Sequence[Message], tokenizer: Any, tools: Sequence[Any] | None = None) -> list[int]:
    """A prompt as the tokens that a response goes on from."""
    if isinstance(said, str):
        ids: list[int] = tokenizer(said)["input_ids"]
        # some tokenizers end each text themselves, but this one goes on
        return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids
    text = tokenizer.apply_chat_template(list(said), tools=tools, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _to_its_end(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
    end = max((place for place, label in enumerate(labels) if label != IGNORED), default=len(ids) - 1) + 1
    return ids[:end], labels[:end]


def _text_and_spans(row: Row, tokenizer: Any, train_on: str) -> tuple[str, list[Span], bool]:
    """The row's text, the characters that carry loss, and whether the tokenizer adds its own special tokens."""
    if "text" in row:
        return row["text"], [(0, len(row["text"]))], True
    if "messages" in row:
        rendered = _rendered(tokenizer, row["messages"], row.get("tools"))
        return rendered.text, _wanted(rendered, train_on, _answers_at_the_end(row["messages"])), False
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str):
        text = prompt + completion
        return text, [(0 if train_on == "all" else len(prompt), len(text))], True
    rendered = _rendered(tokenizer, [*prompt, *completion], row.get("tools"))
    answers = sum(message["role"] == "assistant" for message in completion)
    return rendered.text, _wanted(rendered, "all" if train_on == "all" else "completion", answers), False


def _rendered(tokenizer: Any, messages: Sequence[Message], tools: Sequence[Any] | None) -> Rendered:
    from jinja2.exceptions import TemplateError  # noqa: PLC0415 - comes with Transformers' templates

    try:
        return render(tokenizer, messages, tools)
    except UnclearTurn as error:
        what = f"the chat template hides where message {error} begins or ends"
        raise Refused(what, "set dataset.chat_template to one with {% generation %} marks") from error
    except TemplateError as error:
        raise Refused(f"the model's chat template refuses this conversation: {error.message}") from error


def _answers_at_the_end(messages: Sequence[Message]) -> int:
    """How many assistant turns belong to the completion: those behind the last word of the user."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return sum(message["role"] == "assistant" for message in messages[(users or [-1])[-1] + 1 :])


def _wanted(rendered: Rendered, train_on: str, answers: int) -> list[Span]:
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


def choose_padding(tokenizer: Any, ends: Iterable[int] = ()) -> None:
    """Let a tokenizer pad, and where scores are read, with a token that ends no row.

    Transformers reads the score at the last token that is not padding. Where padding is the end-of-text token, as in
    many tokenizers, that would be one token too early.

    Args:
        tokenizer: With or without a token to pad with.
        ends: Tokens that end rows; none where no score is read.
    """
    taken = {*ends, tokenizer.eos_token_id} if (ends := set(ends)) else set()
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.all_special_ids)
    others = sorted(tokenizer.get_vocab().values(), reverse=True)
    fitting = next(found for found in (*named, *others) if found is not None and found not in taken)
    if fitting != tokenizer.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(fitting)
