"""Which tokens end a response."""

from typing import Any

from ftsdk.data.row_labels import UnclearTurn, render


def stop_tokens(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """Tokens that end a response: the tokenizer's, the model's, and the one that closes an assistant's turn."""
    eos = generation_config.eos_token_id if generation_config is not None else None
    tokens = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos]), _turn_end(tokenizer)}
    return frozenset(tokens - {None})


def _turn_end(tokenizer: Any) -> int | None:
    """The special token at the end of an assistant's turn, if the chat template puts one there."""
    if tokenizer.chat_template is None:  # a model that never learned to chat, from another backend, say
        return None
    try:
        rendered = render(tokenizer, [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}])
    except UnclearTurn:
        return None
    turn = rendered.text[slice(*rendered.spans[-1])]
    marks = [mark for mark in tokenizer.all_special_tokens if turn.endswith(mark)]
    # The longest, because one special token may end with another one, such as "<|end|>" and "|>".
    return int(tokenizer.convert_tokens_to_ids(max(marks, key=len))) if marks else None
