"""Rewards of responses by a Python function of the user's. For reward models, see ``reward_model``.

A reward function is called with keyword arguments and returns one finite number for each response::

    def reward(prompts, completions, **columns):
        return [float(len(completion)) for completion in completions]

- ``prompts``: strings or lists of messages, as in their rows.
- ``completions``: the responses as strings, without special tokens.
- ``columns``: the other keys of the rows, each a list as long as ``prompts``; None where a row lacks the key. A row's
  own answer, where it has one, is in ``completion``.
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

_FIX = "fix the function, then resume the job: the last checkpoint is kept"


class Response(NamedTuple):
    """The policy's response to a prompt."""

    prompt: Prompt
    tokens: Tokens
    """With the stop token at the end, where there is one."""
    text: str
    """The same without special tokens."""

    @property
    def input_ids(self) -> Tokens:
        """Prompt and response together."""
        return np.concatenate([self.prompt.input_ids, self.tokens])


Reward = Callable[[Sequence[Response]], list[float]]
"""One finite number for each response."""


def function_reward(settings: RewardSettings, reporter: EventWriter) -> Reward:
    """Import a reward function, and check everything that it returns.

    Args:
        settings: Which function.
        reporter: Warns where the function's file has changed since the plan was made.

    Raises:
        WorkerError: It cannot be imported.
    """
    name = settings.function or ""
    function = _import_function(name, settings.path or ".")
    if settings.sha256 != _hash_of(name):
        reporter.warning(f"method.reward: the file of {name} has changed since the job was submitted")

    def reward(responses: Sequence[Response]) -> list[float]:
        columns = _columns(responses)
        try:
            scores = function(
                prompts=[response.prompt.content for response in responses],
                completions=[response.text for response in responses],
                **columns,
            )
        except Exception as error:
            raise _reward_error(name, f"raised {type(error).__name__}: {error}{_raised_at(error)}") from error
        return check_scores(name, scores, [response.prompt.place for response in responses])

    return reward


def check_scores(name: str, scores: Any, places: Sequence[str]) -> list[float]:
    """The scores that a reward function has returned, as floats.

    Raises:
        WorkerError: They are not one finite number for each response; the first wrong one is named by its row.
    """
    values = scores.tolist() if hasattr(scores, "tolist") else scores
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _reward_error(name, f"returned {type(scores).__name__}, not a list of floats")
    if len(values) != len(places):
        raise _reward_error(name, f"returned {len(values)} numbers for {len(places)} responses")
    for value, place in zip(values, places, strict=True):
        if not isinstance(value, Real):
            raise _reward_error(name, f"returned {type(value).__name__}, not a float, for the prompt at {place}")
        if not math.isfinite(value):
            raise _reward_error(name, f"returned {value} for the prompt at {place}")
    return [float(value) for value in values]


def _import_function(name: str, path: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    # First on the path for this import alone, then last: a file of the user's must not shadow a library's module.
    sys.path.insert(0, path)
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise _reward_error(name, f"cannot be imported: {type(error).__name__}: {error}{_raised_at(error)}") from error
    finally:
        sys.path.remove(path)
        sys.path.append(path)
    if not callable(function):
        raise _reward_error(name, "is not a function")
    return function


def _hash_of(name: str) -> str | None:
    file = sys.modules[name.partition(":")[0]].__file__
    return sha256(Path(file)) if file else None


def _columns(responses: Sequence[Response]) -> dict[str, list[Any]]:
    names = sorted({name for response in responses for name in response.prompt.columns})
    return {name: [response.prompt.columns.get(name) for response in responses] for name in names}


def _raised_at(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if frame.filename != __file__]  # of the user's code, and what it calls
    return f" ({Path(outside[-1].filename).name}, line {outside[-1].lineno})" if outside else ""


def _reward_error(name: str, problem: str) -> WorkerError:
    return WorkerError(Reason.ENGINE_ERROR, f"method.reward: {name} {problem}", hint=_FIX)
