"""Whether the rows of a task have answers that can be right."""

from itertools import islice
from typing import Any

_LONGEST = 40  # characters of an answer, in an error


def row_without_answer(task: Any, limit: int | None) -> str:
    """What is wrong with the first row of a choice that has no right answer; empty where all have one.

    The harness counts such a row as answered wrongly, whatever the model says.

    Args:
        task: The harness's, with its rows.
        limit: Rows that will be asked. None: all.
    """
    if getattr(task, "OUTPUT_TYPE", "") != "multiple_choice" or task.multiple_input:
        return ""
    for number, doc in enumerate(islice(task.eval_docs, limit), start=1):
        choices, told = task.doc_to_choice(doc), task.doc_to_target(doc)
        for answer in told if isinstance(told, list) else [told]:
            if answer not in (choices if isinstance(answer, str) else range(len(choices))):
                said = str(answer)[:_LONGEST]
                return f"row {number} of {len(choices)} choices has the answer {said!r}, which is none of them"
    return ""
