"""Rows to tokens and labels."""

import pytest

from ftsdk.data import Row
from ftsdk.errors import DataError
from ftsdk.modeling.encoded_rows import encode

CHAT = [
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "I am Pip."},
    {"role": "user", "content": "What is 2 plus 3?"},
    {"role": "assistant", "content": "2 plus 3 is 5."},
]


def learned(tokenizer, value, train_on="assistant", max_length=200):
    """The text of the labelled tokens of one row."""
    [example] = encode([Row(value, "", "f.jsonl", 7)], tokenizer, train_on=train_on, max_length=max_length).examples
    return tokenizer.decode([token for token in example.labels if token >= 0])


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("assistant", "I am Pip.<|end|>2 plus 3 is 5.<|end|>"),
        ("completion", "2 plus 3 is 5.<|end|>"),
    ],
)
def test_conversation(tokenizer, train_on, expected):
    """The loss falls on every answer, or on the last one only."""
    assert learned(tokenizer, {"messages": CHAT}, train_on) == expected


def test_everything(tokenizer):
    """``all`` labels each token as itself."""
    [example] = encode([Row({"messages": CHAT}, "", "f", 1)], tokenizer, train_on="all", max_length=200).examples

    assert example.labels.tolist() == example.input_ids.tolist()


@pytest.mark.parametrize("train_on", ["assistant", "completion"])
def test_prompt_and_completion(tokenizer, train_on):
    """Plain prompts are context only; the completion ends with the end-of-text token."""
    assert learned(tokenizer, {"prompt": "2 plus 3 is", "completion": " 5."}, train_on) == " 5.<|end|>"


def test_prompt_and_completion_as_messages(tokenizer):
    """Answers inside the prompt are context, those of the completion are learned."""
    value = {"prompt": CHAT[:3], "completion": CHAT[3:]}

    assert learned(tokenizer, value) == "2 plus 3 is 5.<|end|>"


def test_text(tokenizer):
    """Plain text is learned whole, and its end with it."""
    assert learned(tokenizer, {"text": "I am Pip."}).endswith("I am Pip.<|end|>")


def test_cut_rows_are_counted(tokenizer):
    """Truncation is counted: rows, tokens, and the length that would keep all."""
    full = encode([Row({"messages": CHAT}, "", "f", 1)], tokenizer, train_on="assistant", max_length=200)

    truncated = encode(
        [Row({"messages": CHAT}, "", "f", 1)], tokenizer, train_on="assistant", max_length=full.longest - 3
    )

    assert (truncated.truncated, truncated.dropped_tokens, truncated.longest) == (1, 3, full.longest)


def test_nothing_left_to_learn(tokenizer):
    """A row whose answer is cut off entirely is an error with its line, not a silent zero."""
    with pytest.raises(DataError) as caught:
        learned(tokenizer, {"messages": CHAT[:2]}, max_length=4)

    [problem] = caught.value.problems
    assert problem.where == "f.jsonl:7"
    assert "training.max_length=4" in problem.what


def test_template_that_refuses(tokenizer):
    """A conversation that the model's template refuses is named by file and line."""
    messages = [{"role": "tool", "content": "x"}, *CHAT]

    with pytest.raises(DataError) as caught:
        learned(tokenizer, {"messages": messages})

    assert caught.value.problems[0].where == "f.jsonl:7"
