"""Which tokens end a response."""

from typing import Any

from ftsdk.data.encoding import UnclearTurn, render


def stop_tokens(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """Tokens that end a response: the tokenizer's, the model's, and the one that closes an assistant's turn."""
    theirs = generation_config.eos_token_id if generation_config is not None else None
    found = {tokenizer.eos_token_id, *(theirs if isinstance(theirs, list) else [theirs]), _closing(tokenizer)}
    return frozenset(found - {None})


def _closing(tokenizer: Any) -> int | None:
    """The special token at the end of an assistant's turn, if the chat template puts one there."""
    if tokenizer.chat_template is None:  # a model that never learned to chat, from another backend, say
        return None
    try:
        rendered = render(tokenizer, [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}])
    except UnclearTurn:
        return None
    said = rendered.text[slice(*rendered.spans[-1])]
    marks = [mark for mark in tokenizer.all_special_tokens if said.endswith(mark)]
    return int(tokenizer.convert_tokens_to_ids(max(marks, key=len))) if marks else None
