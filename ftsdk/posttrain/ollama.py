"""The file that tells Ollama how to serve a folder: a Modelfile, with the trained chat template in Ollama's language.

Ollama knows no Jinja. It takes a template that looks like one of its own for that one, and sends any other model bare
prompts. Most chat templates say no more than what stands around each role's messages; that much is found by rendering,
put into Go's words, and compared with the trained template over whole conversations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError

_MARKS = ("<0-ftsdk>", "<1-ftsdk>", "<2-ftsdk>", "<3-ftsdk>")
"""Contents that no template changes, and that nobody's template holds."""

_ROLES = ("system", "user", "assistant")

Message = Mapping[str, str]


class Around(NamedTuple):
    """What a plain template writes around messages."""

    begin: str
    """Before all of them."""
    before: dict[str, str]
    """Before a role's message."""
    after: dict[str, str]
    """Behind it."""
    answer: str
    """Behind the last one, where the answer shall come."""

    def render(self, messages: Sequence[Message]) -> str:
        """What the template would write."""
        said = (self.before[m["role"]] + m["content"] + self.after[m["role"]] for m in messages)
        return self.begin + "".join(said) + self.answer


def modelfile(tokenizer: Any, stops: Sequence[str]) -> str:
    """A Modelfile for the folder that it stands in.

    Args:
        tokenizer: With the trained chat template.
        stops: Tokens that end an answer.
    """
    lines = ["FROM .", *(f"PARAMETER stop {_quoted(stop)}" for stop in stops)]
    around = around_messages(tokenizer)
    if around is not None:
        lines.append(f'TEMPLATE """{_in_go(around)}"""')
    elif tokenizer.chat_template is not None:
        lines.append("# The trained template says more than Ollama's language can: Ollama takes one of its own.")
    return "\n".join([*lines, ""])


def around_messages(tokenizer: Any) -> Around | None:
    """What the trained template writes around messages; None where it does anything else."""
    if tokenizer.chat_template is None:
        return None
    try:
        around = _found(tokenizer)
        if around is None or any(around.render(each) != _rendered(tokenizer, each) for each in _conversations()):
            return None
    except (TemplateError, ValueError, TypeError):  # it refuses a role, or an order of them
        return None
    adds_begin = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    plain = around._replace(begin="") if adds_begin and around.begin == tokenizer.bos_token else around
    text = _in_go(plain)
    return None if '"""' in text or any("{{" in part for part in _parts(plain)) else plain


def _found(tokenizer: Any) -> Around | None:
    """Taken from two conversations; whether it holds for others is not known yet."""
    system, user, assistant, again = _MARKS
    turns = [_said("user", user), _said("assistant", assistant), _said("user", again)]
    talk = _rendered(tokenizer, turns, answer=False)
    first, end_of_user, end_of_answer, last = _split(talk, (user, assistant, again))
    before, after = {"assistant": end_of_user.removeprefix(last)}, {"user": last}
    answer = _rendered(tokenizer, turns).removeprefix(talk)
    ruled = [_said("system", system), _said("user", user)]
    begin_system, end_of_system, _ = _split(_rendered(tokenizer, ruled, answer=False), (system, user))
    begin = tokenizer.bos_token if tokenizer.bos_token and first.startswith(tokenizer.bos_token) else ""
    before |= {"user": first.removeprefix(begin), "system": begin_system.removeprefix(begin)}
    if not (end_of_answer.endswith(before["user"]) and end_of_system.endswith(before["user"])):
        return None
    after |= {
        "assistant": end_of_answer.removesuffix(before["user"]),
        "system": end_of_system.removesuffix(before["user"]),
    }
    return Around(begin, before, after, answer)


def _conversations() -> list[list[Message]]:
    """Orders and lengths in which a template may do something else than in the two that it was taken from."""
    hello, lines = _said("user", "Hello!"), _said("user", "Two\n\nlines, and {{ braces }}")
    rules, answer = _said("system", "Be short."), _said("assistant", "Yes.")
    return [
        [hello],
        [rules, hello],
        [hello, answer, lines],
        [rules, lines, answer, hello],
        [lines, answer, hello, answer, hello],
    ]


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _rendered(tokenizer: Any, messages: Sequence[Message], *, answer: bool = True) -> str:
    text = tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=answer)
    return str(text)


def _split(text: str, marks: Sequence[str]) -> list[str]:
    """What stands before, between and behind the marks.

    Raises:
        ValueError: One of them is not there exactly once.
    """
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError(mark)
        pieces.append(piece)
    return [*pieces, text]


def _in_go(around: Around) -> str:
    """The template in the language of Go, as Ollama reads it."""
    cases = [f'if eq .Role "{role}" }}}}{around.before[role]}{{{{ .Content }}}}{around.after[role]}' for role in _ROLES]
    branches = "{{ else ".join(cases)
    return f"{around.begin}{{{{ range .Messages }}}}{{{{ {branches}{{{{ end }}}}{{{{ end }}}}{around.answer}"


def _parts(around: Around) -> list[str]:
    return [around.begin, around.answer, *around.before.values(), *around.after.values()]


def _quoted(stop: str) -> str:
    return '"' + stop.replace("\\", "\\\\").replace('"', '\\"') + '"'
