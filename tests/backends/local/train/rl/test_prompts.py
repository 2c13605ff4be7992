"""Prompts become tokens that a response continues; what a row has beside them is kept for the reward."""

import json
from types import SimpleNamespace

import pytest
from tiny_models import RecordingReporter

from ftsdk.data import check
from ftsdk.data.row_labels import encode_prompt
from ftsdk.errors import DataError
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.workers.hardware import device
from ftsdk_local import translate
from ftsdk_local.settings import Settings
from ftsdk_local.train.rl.prompts import read_prompts

QUESTION = [{"role": "user", "content": "2 + 2?"}]


@pytest.fixture
def read(make_spec, tokenizer, tmp_path):
    """Reads rows as prompts."""

    def go(rows, max_length=64, **changes):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        method = {"type": "ppo", "reward": "toy_rewards:records_calls", "max_new_tokens": 8}
        spec = make_spec(dataset=str(path), method=method, training={"max_length": max_length}, **changes)
        check(spec.dataset, "ppo")
        settings = Settings.model_validate(translate.plan(spec, device("cpu")).native)
        return read_prompts(settings, tokenizer, JobFolder(tmp_path), RecordingReporter(), max_new_tokens=8)

    return go


def test_other_keys_are_kept_for_the_reward(read):
    """A key that no format knows is a column of the reward function."""
    prompts = read([{"prompt": "2 + 2?", "answer": 4, "source": "book"}])

    assert prompts.training[0].columns == {"answer": 4, "source": "book"}


def test_a_rows_own_answer_is_kept(read):
    """Prompt and completion: the prompt is used, the completion is a column."""
    prompts = read([{"prompt": "2 + 2?", "completion": "four"}])

    assert (prompts.training[0].content, prompts.training[0].columns) == ("2 + 2?", {"completion": "four"})


def test_a_conversation_is_asked_up_to_its_last_answer(read):
    """Of messages, the turns before the last answer are the prompt."""
    answer = [{"role": "assistant", "content": "four"}]

    prompts = read([{"messages": [*QUESTION, *answer]}])

    assert (prompts.training[0].content, prompts.training[0].columns) == (QUESTION, {"completion": answer})


def test_long_prompts_are_refused_with_their_lines(read):
    """A prompt is never cut: its question may be at its end."""
    rows = [{"prompt": "short"}, {"prompt": "a long story " * 30}]

    with pytest.raises(DataError) as caught:
        read(rows, max_length=32)

    (problem,) = caught.value.problems
    assert problem.where.endswith("rows.jsonl:2")
    assert "leaves 24" in problem.what


def test_rows_are_held_out(read):
    """val_size holds out prompts as it holds out rows."""
    prompts = read([{"prompt": f"{n} + {n}?"} for n in range(10)], val_size=3)

    assert (len(prompts.training), len(prompts.held_out)) == (7, 3)


def test_messages_end_with_the_generation_prompt(tokenizer):
    """The response begins where the assistant's turn does."""
    text = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)

    assert tokenizer.decode(encode_prompt(QUESTION, tokenizer)) == text


def test_stop_tokens_come_from_three_places(tokenizer):
    """The tokenizer's end, the model's list of ends, and the mark that closes an assistant's turn."""
    tokenizer.chat_template = (
        "{% for m in messages %}<|turn|>{{ m.role }} {{ m.content }}<|stop|>{% endfor %}"
        "{% if add_generation_prompt %}<|turn|>assistant {% endif %}"
    )
    expected = {tokenizer.eos_token_id, 7, 9, tokenizer.convert_tokens_to_ids("<|stop|>")}

    assert stop_tokens(tokenizer, SimpleNamespace(eos_token_id=[7, 9])) == expected


def test_a_word_is_no_stop_token(tokenizer):
    """A template that closes a turn with an ordinary word gives no token to stop at."""
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} end{% endfor %}"

    assert stop_tokens(tokenizer, None) == {tokenizer.eos_token_id}
