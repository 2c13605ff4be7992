"""Responses are drawn from the model's own distribution, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from tiny_models import tiny

from ftsdk_local.train.rl.sampling import draw, sample

pytestmark = pytest.mark.numeric

ARCHITECTURES = {
    "Llama": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 7},
    "Gemma2": {"final_logit_softcapping": 5.0, "sliding_window": 6},
}
PROMPTS = [np.arange(3, 3 + length, dtype=np.int32) for length in (9, 2, 5)]
UNIFORM = torch.from_numpy(np.random.default_rng(0).random((3, 12)))


def alone_and_without_cache(model, prompt, uniform, temperature, stops):
    """The same response by whole forward passes over one row."""
    ids = prompt.tolist()
    for number in uniform:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]
        ids.append(draw(logits, number[None], temperature).item())
        if ids[-1] in stops:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize(("architecture", "changes"), ARCHITECTURES.items(), ids=ARCHITECTURES)
def test_batch_cache_and_padding_change_nothing(architecture, changes):
    """Each response is the one that its prompt gets alone, without cache and padding."""
    model = tiny(architecture, **changes)
    stops = frozenset(range(40, 60))
    expected = [
        alone_and_without_cache(model, prompt, uniform, 0.9, stops)
        for prompt, uniform in zip(PROMPTS, UNIFORM, strict=True)
    ]

    responses = sample(model, PROMPTS, UNIFORM, temperature=0.9, stops=stops)

    assert [response.tolist() for response in responses] == expected


def test_a_response_ends_with_its_first_stop_token():
    """The stop token is kept, and nothing follows it."""
    stops = frozenset(range(30, 128))

    responses = sample(tiny("Llama"), PROMPTS, UNIFORM, temperature=1.0, stops=stops)

    assert all(response[-1] in stops and not stops & set(response[:-1].tolist()) for response in responses)


def test_without_stop_tokens_every_response_is_full():
    """A model without an end token generates up to the limit."""
    responses = sample(tiny("Llama"), PROMPTS, UNIFORM, temperature=1.0, stops=frozenset())

    assert [len(response) for response in responses] == [12, 12, 12]


def test_tokens_come_by_their_probability():
    """Evenly spread chance gives each token its share, at the temperature's distribution."""
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0]])
    uniform = (torch.arange(10_000) + 0.5) / 10_000

    shares = torch.bincount(draw(logits.expand(10_000, 4), uniform, 0.5), minlength=4) / 10_000

    assert shares.tolist() == pytest.approx((logits / 0.5).softmax(-1)[0].tolist(), abs=2e-4)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_chance_are_tokens(uniform):
    """Neither the least nor the greatest number falls outside the vocabulary, nor on a token that cannot be."""
    logits = torch.tensor([[float("-inf"), 0.0, 0.0, float("-inf")]])

    assert draw(logits, torch.tensor([uniform], dtype=torch.float64), 1.0).item() in (1, 2)
