"""Rows of the format ``preference`` become pairs of tokens, or are refused with their place."""

import json

import pytest

from ftsdk.data import rows
from ftsdk.errors import DataError
from ftsdk.modeling.pairs import encode_pairs
from ftsdk.spec import Dataset

CLOSED = "{% for m in messages %}<|turn|>{{ m.role }}: {{ m.content }}<|stop|>\n{% endfor %}"
CHAT = {
    "prompt": [{"role": "user", "content": "2 + 2?"}],
    "chosen": [{"role": "assistant", "content": "Four, and gladly."}],
    "rejected": [{"role": "assistant", "content": "Five."}],
}
TEXT = {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}


@pytest.fixture
def pairs_of(tmp_path, tokenizer):
    """Encodes rows by way of a file, as the engine does."""

    def encode(*values, max_length=64, template=CLOSED):
        tokenizer.chat_template = template
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
        return encode_pairs(rows(Dataset(path=str(path)), "reward_modeling"), tokenizer, max_length=max_length)

    return encode


def test_a_row_ends_with_the_token_that_ends_its_answer(pairs_of, tokenizer):
    """The score is read where a sampled response ends: blanks that a template writes behind it are left out."""
    [pair] = pairs_of(CHAT).examples

    assert ["<|stop|>"] * 2 == [tokenizer.decode(row.input_ids[-1]) for row in pair.rows]


def test_text_ends_with_the_end_of_text(pairs_of, tokenizer):
    """Plain text is closed by the end-of-text token, as in supervised fine-tuning."""
    [pair] = pairs_of(TEXT).examples

    assert [*tokenizer("2 + 2 = 4").input_ids, tokenizer.eos_token_id] == pair.chosen.input_ids.tolist()


def test_both_rows_begin_with_the_prompt(pairs_of, tokenizer):
    """Prompt and answer are read together."""
    [pair] = pairs_of(CHAT).examples

    assert ["2 + 2?" in tokenizer.decode(row.input_ids) for row in pair.rows] == [True, True]


def test_what_is_cut_is_counted(pairs_of):
    """Rows are cut at the end; both of a pair count."""
    [pair], truncated, dropped, longest = pairs_of(CHAT, max_length=20)

    length = dropped + 20
    assert (20, 20, 1, length) == (len(pair.chosen.input_ids), longest - dropped, truncated, longest)


def test_answers_that_are_the_same_once_cut(pairs_of):
    """Two answers whose difference is cut off compare to nothing: the row is refused with file and line."""
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: chosen and rejected are the same within .*max_length=40"):
        pairs_of(
            CHAT,
            {**CHAT, "chosen": [{"role": "assistant", "content": "ha " * 40 + "!"}]}
            | {"rejected": [{"role": "assistant", "content": "ha " * 40 + "?"}]},
            max_length=40,
        )


def test_the_same_answer_twice_is_allowed(pairs_of):
    """A row that was written so was warned of when it was checked; it teaches nothing and does no harm."""
    [pair] = pairs_of({**TEXT, "rejected": TEXT["chosen"]}).examples

    assert pair.chosen.input_ids.tolist() == pair.rejected.input_ids.tolist()


def test_a_prompt_that_leaves_no_room(pairs_of):
    """A prompt as long as the budget is refused as in supervised fine-tuning."""
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: the answer begins at token \d+, behind"):
        pairs_of({**TEXT, "prompt": "word " * 100}, max_length=32)
