"""From one canonical row to tokens and labels, the same for every engine.

The labels need the place of each assistant turn in the rendered text, which there are three ways to find:

1. A template with ``{% generation %}`` marks reports it itself.
2. By prefix: the conversation is rendered up to the turn, with the generation prompt, and through it. What the second
   text adds is the turn, if both are beginnings of the whole text.
3. By placeholders: some templates render earlier turns differently once later ones follow (they drop reasoning, for
   example), so that the prefixes do not match. The whole conversation is rendered twice more, with two different texts
   in place of the turn; what remains equal around them is not the turn.

This file imports nothing of ours, and of Transformers what its versions since 5.0 have: it is also copied beside the
scripts that run in an engine's own Python.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from transformers.utils.chat_template_utils import render_jinja_template

IGNORED = -100
"""The label of a token that carries no loss, as everywhere in PyTorch and Transformers."""

Fields = dict[str, Any]
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
"""For models without a chat template: its marks are ordinary words, so that no new token must be learned."""

_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PLACEHOLDERS = ("alpha 1", "omega 2")  # no common beginning or end, and nothing that a template would trim


class Rendered(NamedTuple):
    """A conversation as text, and the places of the assistant's turns in it."""

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
        UnclearTurn: No way finds a turn.
    """
    template = tokenizer.get_chat_template(tools=tools)
    if _GENERATION_MARK.search(template):
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

    text = text_of(messages)
    turns = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    spans = [
        _by_prefix(text_of, text, messages, turn) or _by_placeholders(text_of, text, messages, turn, tokenizer)
        for turn in turns
    ]
    return Rendered(text, [_without_blank_tail(text, span, tokenizer) for span in spans])


def _by_prefix(text_of: Callable[..., str], text: str, messages: Sequence[Message], turn: int) -> Span | None:
    if turn == 0:
        return None
    before_turn = text_of(messages[:turn], prompt=True)
    through_turn = text_of(messages[: turn + 1])
    nested = through_turn.startswith(before_turn) and text.startswith(through_turn)
    return (len(before_turn), len(through_turn)) if nested else None


def _by_placeholders(
    text_of: Callable[..., str], text: str, messages: Sequence[Message], turn: int, tokenizer: Any
) -> Span:
    if not messages[turn].get("content"):
        raise UnclearTurn(turn)
    variants = [
        text_of([*messages[:turn], {**messages[turn], "content": content}, *messages[turn + 1 :]])
        for content in _PLACEHOLDERS
    ]
    head = _common_beginning(*variants)
    tail = _common_beginning(*(variant[::-1] for variant in variants))[::-1]
    end = len(text) - len(tail)
    if not (text.startswith(head) and text.endswith(tail) and len(head) < end):
        raise UnclearTurn(turn)
    return len(head), end + _length_of_end_mark(tail, tokenizer)


def _common_beginning(first: str, second: str) -> str:
    length = next((index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    return first[:length]


def _length_of_end_mark(tail: str, tokenizer: Any) -> int:
    """The special token that closes the turn belongs to it: the model must learn to stop."""
    marks = [mark for mark in tokenizer.all_special_tokens if tail.lstrip().startswith(mark)]
    return len(tail) - len(tail.lstrip()) + len(max(marks, key=len)) if marks else 0


def _without_blank_tail(text: str, span: Span, tokenizer: Any) -> Span:
    """Leave out blanks after a turn's closing special token: the model has stopped by then."""
    turn = text[slice(*span)]
    closed = turn.rstrip().endswith(tuple(tokenizer.all_special_tokens))
    return (span[0], span[0] + len(turn.rstrip())) if closed else span


class Refused(ValueError):
    """A row that cannot be learned from.

    Args:
        reason: Why.
        fix: The next step; empty where ``reason`` makes it plain.
    """

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


def encode_row(row: Fields, tokenizer: Any, train_on: str) -> tuple[list[int], list[int]]:
    """A row's tokens, and its labels: the token where it carries loss, else :data:`IGNORED`.

    Args:
        row: In a canonical form: ``messages``, ``prompt`` and ``completion``, or ``text``.
        tokenizer: A fast one; with a chat template where rows are conversations.
        train_on: ``assistant``: every assistant turn. ``completion``: the last one. ``all``: each token.

    Raises:
        Refused: The template refuses the row, or hides where a turn begins or ends.
    """
    text, spans, special = _text_and_spans(row, tokenizer, train_on)
    # One call over the whole text: tokenized turn by turn, tokens would not merge over the borders as in generation.
    tokens = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, return_attention_mask=False)
    ids: list[int] = list(tokens["input_ids"])
    trained = list(_tokens_in_spans(tokens["offset_mapping"], spans))
    if special and tokenizer.eos_token_id is not None:
        if not ids or ids[-1] != tokenizer.eos_token_id:
            ids, trained = [*ids, tokenizer.eos_token_id], [*trained, False]
        trained[-1] = True  # plain text has no template to end it: the model must learn to stop
    return ids, [token if is_trained else IGNORED for token, is_trained in zip(ids, trained, strict=True)]


def encode_pair(row: Fields, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """The prompt with the chosen answer, and with the rejected one, each up to the token that ends it.

    The score of a response is read there; blanks that a chat template writes after it are left out.
    """
    return [
        _up_to_last_label(*encode_row({**row, "completion": row[name]}, tokenizer, "completion"))
        for name in ("chosen", "rejected")
    ]


def prompt_and_answer(row: Fields) -> tuple[Any, Any]:
    """A row's prompt, as text or messages, and its own answer; None where it has none."""
    if "prompt" in row:
        return row["prompt"], row.get("completion")
    messages = row["messages"]
    last_prompt = max((index for index, message in enumerate(messages) if message["role"] != "assistant"), default=-1)
    return messages[: last_prompt + 1], messages[last_prompt + 1 :] or None


def encode_prompt(prompt: str | Sequence[Message], tokenizer: Any, tools: Sequence[Any] | None = None) -> list[int]:
    """A prompt as the tokens that a response follows."""
    if isinstance(prompt, str):
        ids: list[int] = tokenizer(prompt)["input_ids"]
        # some tokenizers append the end-of-text token themselves, but a response follows here
        return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids
    text = tokenizer.apply_chat_template(list(prompt), tools=tools, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _up_to_last_label(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
    end = max((place for place, label in enumerate(labels) if label != IGNORED), default=len(ids) - 1) + 1
    return ids[:end], labels[:end]


def _text_and_spans(row: Fields, tokenizer: Any, train_on: str) -> tuple[str, list[Span], bool]:
    """The row's text, the characters that carry loss, and whether the tokenizer adds its own special tokens."""
    if "text" in row:
        return row["text"], [(0, len(row["text"]))], True
    if "messages" in row:
        rendered = _render_or_refuse(tokenizer, row["messages"], row.get("tools"))
        return rendered.text, _trained_spans(rendered, train_on, _answers_at_the_end(row["messages"])), False
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str):
        text = prompt + completion
        return text, [(0 if train_on == "all" else len(prompt), len(text))], True
    rendered = _render_or_refuse(tokenizer, [*prompt, *completion], row.get("tools"))
    answers = sum(message["role"] == "assistant" for message in completion)
    return rendered.text, _trained_spans(rendered, "all" if train_on == "all" else "completion", answers), False


def _render_or_refuse(tokenizer: Any, messages: Sequence[Message], tools: Sequence[Any] | None) -> Rendered:
    from jinja2.exceptions import TemplateError  # noqa: PLC0415 - comes with Transformers' templates

    try:
        return render(tokenizer, messages, tools)
    except UnclearTurn as error:
        reason = f"the chat template hides where message {error} begins or ends"
        raise Refused(reason, "set dataset.chat_template to one with {% generation %} marks") from error
    except TemplateError as error:
        raise Refused(f"the model's chat template refuses this conversation: {error.message}") from error


def _answers_at_the_end(messages: Sequence[Message]) -> int:
    """How many assistant turns belong to the completion: those after the last message of the user."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return sum(message["role"] == "assistant" for message in messages[(users or [-1])[-1] + 1 :])


def _trained_spans(rendered: Rendered, train_on: str, answers: int) -> list[Span]:
    if train_on == "all":
        return [(0, len(rendered.text))]
    if train_on == "completion":
        return rendered.spans[-answers:] if answers else []
    return rendered.spans


def _tokens_in_spans(offsets: Sequence[Span], spans: Sequence[Span]) -> Iterator[bool]:
    """For each token whether any of its characters is in a span; both are sorted."""
    remaining = iter(spans)
    span = next(remaining, None)
    for begin, end in offsets:
        while span and begin >= span[1]:
            span = next(remaining, None)
        yield span is not None and end > max(begin, span[0]) and begin < span[1]


def choose_padding(tokenizer: Any, ends: Iterable[int] = ()) -> None:
    """Give a tokenizer a padding token; where scores are read, one that ends no row.

    Transformers reads the score at the last token that is not padding. Where padding is the end-of-text token, as in
    many tokenizers, that would be one token too early.

    Args:
        tokenizer: With or without a token to pad with.
        ends: Tokens that end rows; none where no score is read.
    """
    row_ends = {*ends, tokenizer.eos_token_id} if (ends := set(ends)) else set()
    special_ids = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.all_special_ids)
    vocabulary = sorted(tokenizer.get_vocab().values(), reverse=True)
    padding = next(token for token in (*special_ids, *vocabulary) if token is not None and token not in row_ends)
    if padding != tokenizer.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
