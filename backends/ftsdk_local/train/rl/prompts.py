"""From the dataset of a plan to prompts as tokens, for methods that sample their own responses."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ftsdk.data import MOST_PROBLEMS, Row, rows
from ftsdk.data.download import download_dataset
from ftsdk.data.row_labels import encode_prompt, prompt_and_answer
from ftsdk.errors import DataError, Problem
from ftsdk.job_folder import JobFolder
from ftsdk.spec import Dataset
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.sequences import split_examples
from ftsdk_local.train.rl.sampling import Tokens

PromptContent = str | list[dict[str, Any]]
"""A prompt as in its row: text, or messages."""


class Prompt(NamedTuple):
    """The prompt of one row."""

    content: PromptContent
    input_ids: Tokens
    columns: dict[str, Any]
    """The row's other keys, for a reward function."""
    place: str
    """File and line."""


class Prompts(NamedTuple):
    """Rows to train on, and rows held out."""

    training: list[Prompt]
    held_out: list[Prompt]


def read_prompts(
    settings: Settings, tokenizer: Any, folder: JobFolder, reporter: EventWriter, *, max_new_tokens: int
) -> Prompts:
    """Read and tokenize the prompts, and hold some out.

    Args:
        settings: The plan.
        tokenizer: With a chat template where prompts are messages.
        folder: Where remote datasets are cached.
        reporter: Logs the counts.
        max_new_tokens: The longest response; a prompt may have the rest of ``training.max_length``.

    Raises:
        DataError: Prompts are too long, each with file and line.
    """
    data = settings.data

    def read(dataset: Dataset, name: str) -> list[Prompt]:
        prompts = [_prompt(row, tokenizer) for row in rows(download_dataset(dataset, folder.cache), settings.method)]
        problems = list(_length_problems(prompts, data.max_length - max_new_tokens))
        if problems:
            raise DataError(
                "prompts are too long",
                problems=problems[:MOST_PROBLEMS],
                hint="raise training.max_length, lower method.max_new_tokens, or remove these rows",
            )
        longest = max(len(prompt.input_ids) for prompt in prompts)
        reporter.log(f"{name}: {len(prompts)} prompts, the longest {longest} tokens")
        return prompts

    training = read(data.dataset, "dataset")
    if data.eval_dataset is not None:
        return Prompts(training, read(data.eval_dataset, "eval_dataset"))
    return Prompts(*split_examples(training, data.val_size, settings.arguments["seed"]))


def _length_problems(prompts: list[Prompt], budget: int) -> Iterator[Problem]:
    # Refused, not truncated as in other methods: a prompt's question may stand at its end.
    for prompt in prompts:
        length = len(prompt.input_ids)
        if length > budget:
            problem = f"the prompt has {length} tokens; training.max_length less method.max_new_tokens leaves {budget}"
            yield Problem(prompt.place, problem)
        elif not length:
            yield Problem(prompt.place, "the prompt has no token")


def _prompt(row: Row, tokenizer: Any) -> Prompt:
    content, answer = prompt_and_answer(row.value)
    columns = {**row.extra, **({} if answer is None else {"completion": answer})}
    ids = np.array(encode_prompt(content, tokenizer, row.value.get("tools")), dtype=np.int32)
    return Prompt(content, ids, columns, f"{row.file}:{row.line}")
