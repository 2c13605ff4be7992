"""Find the assistant's words in a rendered conversation, whatever the chat template.

A template with ``{% generation %}`` marks says it itself. For any other, each turn's place is found by rendering the
conversation up to the turn: what follows the generation prompt is what the model must learn to say. Templates that
render earlier turns differently once later ones are there (they drop thoughts, say) are asked a second way: with two
other texts in the turn's place, what stays equal around them is not the turn.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transformers.utils.chat_template_utils import render_jinja_template

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
