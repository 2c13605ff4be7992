"""Write a Modelfile, by which Ollama serves a folder, with the trained chat template as a Go template.

Ollama does not read Jinja. It guesses one of its own templates from the model's, and sends bare prompts where it finds
none. Most chat templates only write fixed text around the messages of each role. That text is found by rendering
marked messages, written as a Go template, and compared with the trained template over complete conversations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError

_MARKS = ("<0-ftsdk>", "<1-ftsdk>", "<2-ftsdk>", "<3-ftsdk>")
"""Contents of messages that occur in no template, and that no template changes (by trimming, say)."""

_ROLES = ("system", "user", "assistant")

Message = Mapping[str, str]


class TemplateParts(NamedTuple):
    """The fixed text that a chat template writes around messages."""

    begin: str
    """Before the first message."""
    before: dict[str, str]
    """From a role to the text before its messages."""
    after: dict[str, str]
    """From a role to the text behind its messages."""
    answer: str
    """Behind the last message, where the answer begins."""

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation, as the template writes it."""
        turns = (self.before[m["role"]] + m["content"] + self.after[m["role"]] for m in messages)
        return self.begin + "".join(turns) + self.answer


def modelfile(tokenizer: Any, stops: Sequence[str]) -> str:
    """A Modelfile for the folder that it stands in.

    Args:
        tokenizer: With the trained chat template.
        stops: Tokens that end an answer.
    """
    lines = ["FROM .", *(f"PARAMETER stop {_quoted(stop)}" for stop in stops)]
    parts = template_parts(tokenizer)
    if parts is not None:
        lines.append(f'TEMPLATE """{_go_template(parts)}"""')
    elif tokenizer.chat_template is not None:
        lines.append(
            "# The trained chat template cannot be written as a template of Ollama's: Ollama takes one of its own."
        )
    return "\n".join([*lines, ""])


def template_parts(tokenizer: Any) -> TemplateParts | None:
    """The parts of the trained template; None where it does anything else than write fixed text around messages."""
    if tokenizer.chat_template is None:
        return None
    try:
        parts = _candidate_parts(tokenizer)
        if parts is None or any(parts.render(turns) != _render(tokenizer, turns) for turns in _conversations()):
            return None
    except (TemplateError, ValueError, TypeError):  # the template refuses a role, or an order of roles
        return None
    # Ollama writes the begin token itself where the tokenizer does: it must not be written twice.
    adds_begin = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    parts = parts._replace(begin="") if adds_begin and parts.begin == tokenizer.bos_token else parts
    # Neither a Modelfile nor a Go template has a way to write its own delimiters as plain text.
    return None if '"""' in _go_template(parts) or any("{{" in text for text in _texts(parts)) else parts


def _candidate_parts(tokenizer: Any) -> TemplateParts | None:
    """Parts that two conversations show; other conversations may still disprove them."""
    system, user, assistant, follow_up = _MARKS
    turns = [_message("user", user), _message("assistant", assistant), _message("user", follow_up)]
    rendered = _render(tokenizer, turns, answer=False)
    first, end_of_user, end_of_answer, last = _split(rendered, (user, assistant, follow_up))
    before, after = {"assistant": end_of_user.removeprefix(last)}, {"user": last}
    answer = _render(tokenizer, turns).removeprefix(rendered)
    with_system = [_message("system", system), _message("user", user)]
    begin_system, end_of_system, _ = _split(_render(tokenizer, with_system, answer=False), (system, user))
    begin = tokenizer.bos_token if tokenizer.bos_token and first.startswith(tokenizer.bos_token) else ""
    before |= {"user": first.removeprefix(begin), "system": begin_system.removeprefix(begin)}
    if not (end_of_answer.endswith(before["user"]) and end_of_system.endswith(before["user"])):
        return None
    after |= {
        "assistant": end_of_answer.removesuffix(before["user"]),
        "system": end_of_system.removesuffix(before["user"]),
    }
    return TemplateParts(begin, before, after, answer)


def _conversations() -> list[list[Message]]:
    """Orders and contents for which a template may do something else than for the two of the candidate."""
    hello, lines = _message("user", "Hello!"), _message("user", "Two\n\nlines, and {{ braces }}")
    rules, answer = _message("system", "Be short."), _message("assistant", "Yes.")
    return [
        [hello],
        [rules, hello],
        [hello, answer, lines],
        [rules, lines, answer, hello],
        [lines, answer, hello, answer, hello],
    ]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _render(tokenizer: Any, messages: Sequence[Message], *, answer: bool = True) -> str:
    text = tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=answer)
    return str(text)


def _split(text: str, marks: Sequence[str]) -> list[str]:
    """The text before, between and after the marks.

    Raises:
        ValueError: A mark does not occur exactly once, in this order.
    """
    pieces = []
    for mark in marks:
        piece, separator, text = text.partition(mark)
        if not separator or mark in text:
            raise ValueError(mark)
        pieces.append(piece)
    return [*pieces, text]


def _go_template(parts: TemplateParts) -> str:
    """The template in the syntax of Go's text/template, which Ollama uses."""
    cases = [f'if eq .Role "{role}" }}}}{parts.before[role]}{{{{ .Content }}}}{parts.after[role]}' for role in _ROLES]
    branches = "{{ else ".join(cases)
    return f"{parts.begin}{{{{ range .Messages }}}}{{{{ {branches}{{{{ end }}}}{{{{ end }}}}{parts.answer}"


def _texts(parts: TemplateParts) -> list[str]:
    return [parts.begin, parts.answer, *parts.before.values(), *parts.after.values()]


def _quoted(stop: str) -> str:
    return '"' + stop.replace("\\", "\\\\").replace('"', '\\"') + '"'
