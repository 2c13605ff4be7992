"""The formats: how each is recognised, checked and converted to canonical form, and which method takes which."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from ftsdk.data.convert import from_alpaca, from_sharegpt, preference_from_sharegpt
from ftsdk.data.fields import Values, optional_text, required_text, tools
from ftsdk.data.json_parsing import BadRow
from ftsdk.data.messages import check_messages
from ftsdk.errors import nearest

TAKES = {
    "sft": ("messages", "prompt_completion", "text"),
    "dpo": ("preference",),
    "orpo": ("preference",),
    "reward_modeling": ("preference",),
    "kto": ("unpaired_preference",),
    "ppo": ("prompt", "prompt_completion", "messages"),
    "grpo": ("prompt", "prompt_completion", "messages"),
}
"""From a method to the canonical formats that it can learn from."""

PAIRED = frozenset(method for method, formats in TAKES.items() if formats == ("preference",))
"""Methods that learn from two answers to one prompt."""

_CONVERTED_FORMATS = {
    "sft": ("alpaca", "sharegpt"),
    "ppo": ("alpaca", "sharegpt"),
    "grpo": ("alpaca", "sharegpt"),
    "dpo": ("sharegpt",),
    "orpo": ("sharegpt",),
    "reward_modeling": ("sharegpt",),
    "kto": ("sharegpt",),
}

FORMATS_OF_METHOD = {method: frozenset({*TAKES[method], *_CONVERTED_FORMATS[method]}) for method in TAKES}
"""From a method to the names of its formats, without ``auto``, where ftsdk itself converts rows."""

PASSES_EXTRA_KEYS = frozenset({"ppo", "grpo"})
"""Methods that pass the keys that a format does not use to the reward function."""


class Format(NamedTuple):
    """One format of rows."""

    name: str
    """Its name in ``dataset.format``."""
    needs: frozenset[str]
    """Keys by which it is recognised."""
    uses: frozenset[str]
    """These, and others that a row may have."""
    canonical: Callable[[Values], Values]
    """Gives a row that has the keys in canonical form, or raises BadRow."""


def _messages(row: Values) -> Values:
    return {"messages": check_messages(row["messages"], "messages", needs_answer=True), **tools(row)}


def _prompt(row: Values) -> Any:
    prompt = row["prompt"]
    return check_messages(prompt, "prompt") if isinstance(prompt, list) else optional_text(row, "prompt")


def _answer(row: Values, key: str, prompt: Any) -> Any:
    """An answer of the type of its prompt: text after text, messages after messages."""
    if isinstance(prompt, str) == isinstance(row[key], list):
        raise BadRow(f"prompt and {key} must both be text, or both be messages")
    if isinstance(prompt, str):
        return required_text(row, key)
    return check_messages(row[key], key, after=prompt[-1], needs_answer=True)


def _prompt_completion(row: Values) -> Values:
    prompt = _prompt(row)
    return {"prompt": prompt, "completion": _answer(row, "completion", prompt), **tools(row)}


def _prompt_only(row: Values) -> Values:
    prompt = required_text(row, "prompt") if isinstance(row["prompt"], str) else _prompt(row)
    if isinstance(prompt, list) and prompt[-1]["role"] == "assistant":
        raise BadRow("prompt ends with the assistant, so there is nothing to answer", "end it with the user")
    return {"prompt": prompt, **tools(row)}


def _preference(row: Values) -> Values:
    if isinstance(row["chosen"], list) and not isinstance(row.get("prompt"), list):
        row = {**row, **_split_conversations(row)}
    if "prompt" not in row:
        raise BadRow("prompt is missing", "without it, chosen and rejected must be whole conversations")
    prompt = _prompt(row)
    return {"prompt": prompt, **{key: _answer(row, key, prompt) for key in ("chosen", "rejected")}, **tools(row)}


def _split_conversations(row: Values) -> Values:
    """Whole conversations as prompt and answers: what chosen and rejected share at the beginning is the prompt."""
    chosen, rejected = (check_messages(row[key], key, needs_answer=True) for key in ("chosen", "rejected"))
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    # equal answers belong to the answers: a prompt ends before the assistant's turn
    while shared and chosen[shared - 1]["role"] == "assistant":
        shared -= 1
    if not shared:
        raise BadRow("chosen and rejected share no beginning, so there is no prompt", "give the prompt")
    prompt = chosen[:shared]
    if "prompt" in row and row["prompt"] not in [message["content"] for message in prompt]:
        raise BadRow("the prompt is not what chosen and rejected begin with", "remove it, or correct the conversations")
    return {"prompt": prompt, "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _labelled(row: Values) -> Values:
    if not isinstance(row["label"], bool):
        raise BadRow(
            "label must be true or false",
            "if it is another kind of label, set dataset.format to the format of the rows",
        )
    return {**_prompt_completion(row), "label": row["label"]}


def _labelled_messages(row: Values) -> Values:
    messages = check_messages(row["messages"], "messages", needs_answer=True)
    if messages[-1]["role"] != "assistant":
        raise BadRow("messages must end with the answer that the label rates")
    return _labelled({**row, "prompt": messages[:-1], "completion": messages[-1:]})


def _labelled_sharegpt(row: Values) -> Values:
    return _labelled_messages({**from_sharegpt(row), "label": row["label"]})


def _format(name: str, needs: str, may_have: str, canonical: Callable[[Values], Values]) -> Format:
    return Format(name, frozenset(needs.split()), frozenset(f"{needs} {may_have}".split()), canonical)


FORMATS = (
    _format("unpaired_preference", "prompt completion label", "tools", _labelled),
    _format("unpaired_preference", "messages label", "tools", _labelled_messages),
    _format("sharegpt", "conversations chosen rejected", "system tools", preference_from_sharegpt),
    _format("sharegpt", "conversations label", "system tools", _labelled_sharegpt),
    _format("sharegpt", "conversations", "system tools", from_sharegpt),
    _format("preference", "chosen rejected", "prompt tools", _preference),
    _format("messages", "messages", "tools", _messages),
    _format("prompt_completion", "prompt completion", "tools", _prompt_completion),
    _format("alpaca", "instruction output", "input system history", from_alpaca),
    _format("prompt", "prompt", "tools", _prompt_only),
    _format("text", "text", "", lambda row: {"text": required_text(row, "text")}),
)
"""In the order in which they are tried: a format that needs more keys comes before one that needs some of them."""

KEYS = frozenset().union(*(format_.uses for format_ in FORMATS))

_MOST_GUESSES = 20  # a guess takes time, and a hostile row may have a million keys

_NAME_BY_KEY = {
    "label": "unpaired_preference",
    "chosen": "preference",
    "completion": "prompt_completion",
    "messages": "messages",
    "prompt": "prompt",
    "text": "text",
}


@lru_cache(maxsize=64)
def recognise(keys: frozenset[str], name: str = "auto") -> Format:
    """The format of a row with these keys.

    Args:
        keys: The row's keys.
        name: Of the format; ``auto``: the first whose keys the row has.

    Raises:
        BadRow: No format fits, or not the one of this name.
    """
    candidates = [format_ for format_ in FORMATS if name in ("auto", format_.name)]
    for format_ in candidates:
        if format_.needs <= keys:
            return format_
    rename = "name your keys in dataset.columns, such as {prompt: question}"
    if name != "auto":
        missing = ", ".join(sorted(candidates[0].needs - keys))
        raise BadRow(f"the row has no {missing}, which the format {name} needs", rename)
    guess = next(filter(None, (nearest(key, KEYS) for key in sorted(keys)[:_MOST_GUESSES])), "")
    raise BadRow("the row's keys are those of no known format", guess or f"{rename}; see docs/data-formats.md")


def name_of(row: Values) -> str:
    """The canonical format of a row in canonical form."""
    for key, name in _NAME_BY_KEY.items():
        if key in row:
            return name
    raise AssertionError("a canonical row has one of these keys")
