"""Check that each row of a multiple-choice task has a correct answer."""

from itertools import islice
from typing import Any

_ANSWER_LENGTH = 40  # characters of an answer, in an error


def row_without_answer(task: Any, limit: int | None) -> str:
    """A description of the first multiple-choice row without a correct answer; empty where all rows have one.

    The harness counts such a row as answered wrongly, whatever the model answers.

    Args:
        task: The harness's, with its rows.
        limit: Rows that are evaluated. None: all.
    """
    if getattr(task, "OUTPUT_TYPE", "") != "multiple_choice" or task.multiple_input:
        return ""
    for number, doc in enumerate(islice(task.eval_docs, limit), start=1):
        choices, target = task.doc_to_choice(doc), task.doc_to_target(doc)
        for answer in target if isinstance(target, list) else [target]:
            if answer not in (choices if isinstance(answer, str) else range(len(choices))):
                text = str(answer)[:_ANSWER_LENGTH]
                return f"row {number} of {len(choices)} choices has the answer {text!r}, which is none of them"
    return ""
