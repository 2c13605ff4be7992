"""Reward functions that misbehave, each in its own way."""

import math

CALLS = []


def remembers(prompts, completions, **columns):
    """Keeps what it was given."""
    CALLS.append({"prompts": prompts, "completions": completions, **columns})
    return [0.0] * len(prompts)


def raises(prompts, completions, **columns):
    """Fails."""
    raise LookupError("no such answer")


def gives_nan(prompts, completions, **columns):
    """Its second number is none."""
    return [0.0, math.nan, *[0.0] * (len(prompts) - 2)]


def too_few(prompts, completions, **columns):
    """Forgets the last."""
    return [0.0] * (len(prompts) - 1)


def returns_words(prompts, completions, **columns):
    """Returns words."""
    return ["good"] * len(prompts)


def one_number(prompts, completions, **columns):
    """Returns one number for all."""
    return 1.0


not_a_function = 3


def longer(prompts, completions, **columns):
    """The longer the better."""
    return [len(completion) / 100 for completion in completions]
