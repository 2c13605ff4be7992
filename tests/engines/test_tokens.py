"""Rows as tokens in an engine's own Python: problem every engine is given."""

import hashlib
import json

import datasets
import pytest
from transformers import AutoTokenizer

from ftsdk.data.formats import PAIRED
from ftsdk.data.row_labels import IGNORED, encode_pair, encode_row
from ftsdk.engines import recorder, tokens
from ftsdk.engines.runner_support import RunnerError
from ftsdk.engines.tokens import EncodedRow, load_tokenizer, write_tokens

ROWS = {
    "sft": [{"prompt": f"What is {n}?", "completion": f"Arr {n}!"} for n in range(5)],
    "dpo": [{"prompt": f"What is {n}?", "chosen": f"Arr {n}!", "rejected": "A number."} for n in range(5)],
    "kto": [{"prompt": f"What is {n}?", "completion": f"Arr {n}!", "label": n > 2} for n in range(5)],
    "ppo": [{"prompt": f"What is {n}?"} for n in range(5)],
}


@pytest.fixture
def written(tmp_path, tiny_model, monkeypatch):
    """Writes the tokens of rows, and gives them with problem was counted."""
    monkeypatch.chdir(tmp_path)

    def write(method, rows=None, **changes):
        rows = rows or ROWS[method]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        request = {
            "model": str(tiny_model),
            "trust_remote_code": False,
            "chat_template": None,
            "method": method,
            "train_on": "assistant" if method == "sft" else "completion",
            "max_length": 64,
            "max_new_tokens": 16,
            **changes,
        }
        counts = write_tokens(request, load_tokenizer(request), columns)
        return datasets.load_from_disk("tokens")["train"].to_list(), counts

    return write


def columns(encoded: EncodedRow):
    return {f"{name}_{part}": getattr(text, part) for name, text in encoded.texts.items() for part in text._fields}


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def test_one_text(written, tokenizer):
    """Tokens and labels are those of the encoder that all engines share."""
    rows, counts = written("sft")
    ids, labels = encode_row(ROWS["sft"][1], tokenizer, "assistant")

    assert {"text_ids": ids, "text_labels": labels} == rows[1]
    template = hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()
    assert {"rows": 5, "truncated": 0, "chat_template": template} == counts


def test_two_answers(written, tokenizer):
    """A pair is two texts."""
    rows, _ = written("dpo")
    (chosen, _), (rejected, _) = encode_pair(ROWS["dpo"][3], tokenizer)

    assert (chosen, rejected) == (rows[3]["chosen_ids"], rows[3]["rejected_ids"])


def test_an_answer_to_another_question(written, tokenizer):
    """Beside its own answer, each prompt of KTO has that of the next row; the last has the first's."""
    rows, _ = written("kto")
    pairs = [(n, (n + 1) % 5) for n in range(5)]
    mismatched = [{**ROWS["kto"][n], "completion": ROWS["kto"][after]["completion"]} for n, after in pairs]

    assert [encode_row(row, tokenizer, "completion")[0] for row in mismatched] == [row["other_ids"] for row in rows]


def test_a_question_alone(written, tokenizer):
    """What the engine is to answer ends where the answer begins."""
    rows, _ = written("ppo")

    assert tokenizer("What is 2?")["input_ids"] == rows[2]["text_ids"]


def test_rows_that_are_cut_are_counted(written):
    """They are cut at their end."""
    rows, counts = written("sft", [{"prompt": "Why?", "completion": "Because. " * 100}, *ROWS["sft"]])

    assert (6, 1, 64) == (counts["rows"], counts["truncated"], len(rows[0]["text_ids"]))


BAD = {
    "no token carries loss": ("sft", {"prompt": "Why? " * 100, "completion": "Arr"}),
    "chosen and rejected are the same": (
        "dpo",
        {"prompt": "Why?", "chosen": "Because. " * 50 + "A", "rejected": "Because. " * 50 + "B"},
    ),
    "leaves 48": ("ppo", {"prompt": "Why? " * 100}),
}


@pytest.mark.parametrize("problem", BAD)
def test_rows_that_teach_nothing(written, problem):
    """They are named by their number."""
    method, row = BAD[problem]
    with pytest.raises(RunnerError, match=f"rows 2: .*{problem}") as caught:
        written(method, [ROWS[method][0], row])

    assert "data_error" == caught.value.kind


def test_many_rows(written):
    """Tables are made in pieces; none is lost between them, and their order is kept."""
    rows, _ = written("sft", [{"text": f"{n}"} for n in range(2500)], train_on="all")
    tokens = written("sft", [{"text": "2345"}], train_on="all")[0][0]

    assert (2500, tokens) == (len(rows), rows[2345])


def test_a_model_without_a_tokenizer(tmp_path, written):
    """The folder is named."""
    with pytest.raises(RunnerError, match="cannot be loaded"):
        written("sft", model=str(tmp_path / "none"))


def test_copies_of_constants_agree() -> None:
    """What runs in an engine's own Python has copies of two constants, which are those of ftsdk."""
    assert (PAIRED, IGNORED) == (tokens._PAIRED, recorder._IGNORED)
