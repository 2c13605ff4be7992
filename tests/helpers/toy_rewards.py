"""Reward functions that misbehave, each in its own way."""

import math

CALLS = []


def records_calls(prompts, completions, **columns):
    """Records its arguments."""
    CALLS.append({"prompts": prompts, "completions": completions, **columns})
    return [0.0] * len(prompts)


def raises(prompts, completions, **columns):
    """Raises an error."""
    raise LookupError("no such answer")


def gives_nan(prompts, completions, **columns):
    """Returns NaN as its second score."""
    return [0.0, math.nan, *[0.0] * (len(prompts) - 2)]


def too_few(prompts, completions, **columns):
    """Returns one score too few."""
    return [0.0] * (len(prompts) - 1)


def returns_words(prompts, completions, **columns):
    """Returns words instead of scores."""
    return ["good"] * len(prompts)


def one_number(prompts, completions, **columns):
    """Returns one score instead of a list."""
    return 1.0


not_a_function = 3


def longer(prompts, completions, **columns):
    """The longer the better."""
    return [len(completion) / 100 for completion in completions]
