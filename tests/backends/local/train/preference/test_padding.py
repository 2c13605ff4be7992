"""Batches for TRL: every unit once, as much at a time as fits, and the tokens that supervised fine-tuning would see."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from preference_rows import pairs, unpaired

from ftsdk.data.check import Row
from ftsdk.modeling.batches import Example, Pair
from ftsdk.modeling.encoded_rows import encode
from ftsdk.modeling.pairs import encode_pairs
from ftsdk_local.train.preference.padding import (
    dpo_batch,
    kto_batch,
    mismatch_answers,
    orpo_batch,
    pad_rows,
    split_units,
)
from ftsdk_local.train.preference.unpaired import UnpairedExample, encode_unpaired

PAD = 0
lengths = st.lists(st.integers(2, 50), min_size=1, max_size=40)


def example(length, prompt=1, token=7):
    ids = np.full(length, token, dtype=np.int32)
    return Example(ids, np.where(np.arange(length) < prompt, -100, ids))


def rows_of(values):
    return [Row(value, "", "rows.jsonl", number) for number, value in enumerate(values, 1)]


@given(lengths, st.integers(1, 400), st.none() | st.integers(1, 8))
def test_parts_hold_every_unit_once_and_fit(lengths, capacity, most):
    """No unit is lost, no part is larger than asked for but for a single unit, and parts are of like size."""
    units = [Pair(example(length), example(length + 1)) for length in lengths]

    parts = split_units(units, capacity, most)

    longest = 2 * (max(lengths) + 1)
    assert sorted(map(id, units)) == sorted(id(unit) for part in parts for unit in part)
    assert all(len(part) == 1 or len(part) * longest <= capacity for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert most is None or max(map(len, parts)) <= most


def test_padding_is_masked_and_the_first_token_is_asked_for_by_nobody():
    """Two rows of different length side by side; a row without a prompt has one labelled token less."""
    batch = pad_rows([example(2, prompt=0), example(4, prompt=2)], PAD)

    assert [[7, 7, 0, 0], [7, 7, 7, 7]] == batch["input_ids"].tolist()
    assert [[1, 1, 0, 0], [1, 1, 1, 1]] == batch["attention_mask"].tolist()
    assert [[0, 1, 0, 0], [0, 0, 1, 1]] == batch["completion_mask"].tolist()


def test_kto_pairs_each_prompt_with_the_answer_before_it():
    """The prompt stays, the answer is the one before, cut to the length; the label has no effect."""
    units = [UnpairedExample(example(5, prompt=2, token=token), good=token == 7) for token in (7, 8, 9)]

    actual = mismatch_answers(units, max_length=4)

    assert [[7, 7, 9, 9], [8, 8, 7, 7], [9, 9, 8, 8]] == [unit.example.input_ids.tolist() for unit in actual]
    assert [-100, -100, 9, 9] == actual[0].example.labels.tolist()


TEXT = [
    {"prompt": "Who are you?", "chosen": " A pirate!", "rejected": " A clerk, madam."},
    {"prompt": "How many?", "chosen": " Two.", "rejected": " One."},
]


@pytest.mark.parametrize("rows", [TEXT, pairs()[:2]], ids=["text", "messages"])
def test_pairs_are_tokens_of_supervised_rows(tokenizer, rows):
    """The better answers are the very tokens, the end and the labels that supervised fine-tuning would learn."""
    encoded = encode_pairs(rows_of(rows), tokenizer, max_length=200).examples
    same = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    labelled = encode(rows_of(same), tokenizer, train_on="completion", max_length=200).examples

    dpo, orpo, expected = dpo_batch(encoded, PAD), orpo_batch(encoded, PAD), pad_rows(labelled, PAD)

    width = expected["input_ids"].shape[1]
    assert all(torch.equal(expected[name], dpo[name][: len(rows), :width]) for name in expected)
    assert torch.equal(expected["input_ids"], orpo["chosen_input_ids"])
    assert torch.equal(expected["completion_mask"] == 1, orpo["chosen_labels"] >= 0)
    assert {tokenizer.eos_token_id} == {int(row.input_ids[-1]) for row in labelled}


def test_unpaired_rows_keep_their_labels(tokenizer):
    """Each row's label stands beside its tokens."""
    rows = unpaired()[:3]

    batch = kto_batch(encode_unpaired(rows_of(rows), tokenizer, max_length=200).examples, PAD)

    assert [row["label"] for row in rows] == batch["label"].tolist()
