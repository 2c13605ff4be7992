"""A reward function gets its documented arguments, and every wrong result is reported with its place."""

import numpy as np
import pytest
import toy_rewards
from tiny_models import RecordingReporter

from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import RewardSettings
from ftsdk_local.train.rl.prompts import Prompt
from ftsdk_local.train.rl.rewards import Response, check_scores, function_reward

IDS = np.array([5, 6], dtype=np.int32)


def reward_named(name):
    return function_reward(RewardSettings(function=f"toy_rewards:{name}", path="."), RecordingReporter())


@pytest.fixture
def responses():
    return [
        Response(Prompt("2 + 2?", IDS, {"answer": 4}, "rows.jsonl:1"), IDS, "four"),
        Response(Prompt("3 + 3?", IDS, {}, "rows.jsonl:2"), IDS, "seven"),
    ]


def test_it_is_given_prompts_completions_and_columns(responses):
    """Each column is as long as the prompts, with None where a row lacks it."""
    reward_named("records_calls")(responses)

    assert toy_rewards.CALLS[-1] == {
        "prompts": ["2 + 2?", "3 + 3?"],
        "completions": ["four", "seven"],
        "answer": [4, None],
    }


WRONG = {
    "raises": r"toy_rewards:raises raised LookupError: no such answer \(toy_rewards.py, line \d+\)",
    "gives_nan": "returned nan for the prompt at rows.jsonl:2",
    "too_few": "returned 1 numbers for 2 responses",
    "returns_words": "returned str, not a float, for the prompt at rows.jsonl:1",
    "one_number": "returned float, not a list of floats",
}


@pytest.mark.parametrize(("name", "message"), WRONG.items(), ids=WRONG)
def test_a_wrong_answer_is_reported_with_its_place(responses, name, message):
    """The message names the function, what it did, and the row or the line."""
    with pytest.raises(WorkerError, match=message):
        reward_named(name)(responses)


NOT_THERE = {
    "toy_rewards:nowhere": "cannot be imported: AttributeError",
    "no_such_module:score": "cannot be imported: ModuleNotFoundError",
    "toy_rewards:not_a_function": "is not a function",
}


@pytest.mark.parametrize(("name", "message"), NOT_THERE.items(), ids=NOT_THERE)
def test_a_function_that_is_not_there(name, message):
    """A function that cannot be imported is refused before any model is loaded."""
    with pytest.raises(WorkerError, match=message):
        function_reward(RewardSettings(function=name, path="."), RecordingReporter())


@pytest.mark.parametrize("answer", [[1, 2.5], (1, 2.5), np.array([1, 2.5]), np.float32([1, 2.5]), [np.int64(1), 2.5]])
def test_every_kind_of_number_is_taken(answer):
    """Lists, tuples and arrays of any real numbers become floats."""
    assert check_scores("f", answer, ["a", "b"]) == [1.0, 2.5]


def test_a_changed_reward_file_gives_a_warning():
    """The plan pins the function's file by its hash."""
    reporter = RecordingReporter()

    function_reward(RewardSettings(function="toy_rewards:records_calls", path=".", sha256="0" * 64), reporter)

    assert "has changed since the job was submitted" in reporter.lines[0]
