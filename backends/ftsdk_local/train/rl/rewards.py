"""What a response is worth: a Python function of the user's. For a reward model, see ``reward_model``.

A reward function is called with keyword arguments and answers with one finite number for each response::

    def reward(prompts, completions, **columns):
        return [float(len(completion)) for completion in completions]

- ``prompts``: each a string or a list of messages, as its row has it.
- ``completions``: each the response as a string, without special tokens.
- ``columns``: every other key of the rows, each a list as long as the others; None where a row lacks it. A row's own
  answer, where it has one, comes as ``completion``.
"""

import importlib
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ftsdk.files import sha256
from ftsdk.job_types import Reason
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import RewardSettings
from ftsdk_local.train.rl.prompts import Prompt
from ftsdk_local.train.rl.sampling import Tokens

_MEND = "mend the function, then resume the job: the last checkpoint is kept"


class Response(NamedTuple):
    """What the policy said to a prompt."""

    prompt: Prompt
    tokens: Tokens
    """With the stop token at the end, where it came to one."""
    text: str
    """The same without special tokens."""

    @property
    def input_ids(self) -> Tokens:
        """Prompt and response together."""
        return np.concatenate([self.prompt.input_ids, self.tokens])


Reward = Callable[[Sequence[Response]], list[float]]
"""One finite number for each response."""


def function_reward(settings: RewardSettings, reporter: EventWriter) -> Reward:
    """Import a reward function, and check each of its answers.

    Args:
        settings: Which function.
        reporter: Warned where the function's file has changed since the plan was made.

    Raises:
        Failure: It cannot be imported.
    """
    name = settings.function or ""
    function = _imported(name, settings.path or ".")
    if settings.sha256 != _hash_of(name):
        reporter.warning(f"method.reward: the file of {name} has changed since the job was submitted")

    def reward(responses: Sequence[Response]) -> list[float]:
        columns = _columns(responses)
        try:
            answer = function(
                prompts=[response.prompt.said for response in responses],
                completions=[response.text for response in responses],
                **columns,
            )
        except Exception as error:
            raise _wrong(name, f"raised {type(error).__name__}: {error}{_place(error)}") from error
        return checked(name, answer, [response.prompt.place for response in responses])

    return reward


def checked(name: str, answer: Any, places: Sequence[str]) -> list[float]:
    """The answer of a reward function as floats.

    Raises:
        Failure: It is no list of one finite number for each response; the first wrong one is named by its row.
    """
    values = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _wrong(name, f"gave {type(answer).__name__}, not a list of floats")
    if len(values) != len(places):
        raise _wrong(name, f"gave {len(values)} numbers for {len(places)} responses")
    for value, place in zip(values, places, strict=True):
        if not isinstance(value, Real):
            raise _wrong(name, f"gave {type(value).__name__}, not a float, for the prompt at {place}")
        if not math.isfinite(value):
            raise _wrong(name, f"gave {value} for the prompt at {place}")
    return [float(value) for value in values]


def _imported(name: str, path: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    sys.path.insert(0, path)  # first, for this import alone: later ones must not find the user's files by chance
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise _wrong(name, f"cannot be imported: {type(error).__name__}: {error}{_place(error)}") from error
    finally:
        sys.path.remove(path)
        sys.path.append(path)
    if not callable(function):
        raise _wrong(name, "is no function")
    return function


def _hash_of(name: str) -> str | None:
    file = sys.modules[name.partition(":")[0]].__file__
    return sha256(Path(file)) if file else None


def _columns(responses: Sequence[Response]) -> dict[str, list[Any]]:
    names = sorted({name for response in responses for name in response.prompt.columns})
    return {name: [response.prompt.columns.get(name) for response in responses] for name in names}


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename != __file__]
    return f" ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else ""


def _wrong(name: str, what: str) -> WorkerError:
    return WorkerError(Reason.ENGINE_ERROR, f"method.reward: {name} {what}", hint=_MEND)
