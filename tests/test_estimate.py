"""The forecast's parts, against counts of real models and against closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk import JobSpec
from ftsdk.forecast import Shape, forecast, responses_that_fit, tokens_that_fit

LLAMA_3_8B = {
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
}
SHAPE = Shape.from_config(LLAMA_3_8B)
GIB = 2**30


def spec(**changes):
    return JobSpec(**{"model": "a", "dataset": "b.jsonl", **changes})


def need(job, **changes):
    return forecast(job, SHAPE, **{"tokens": 1024, "checkpointing": True, "width": 2, "cuda": True, **changes})


def test_weights_of_llama_3_8b():
    """The counts are those of the real model, built on the meta device."""
    assert (SHAPE.linear_weights, SHAPE.linear_weights + SHAPE.other_weights) == (6_979_321_856, 8_030_261_248)


def test_nf4_with_double_quantization():
    """0.5159 bytes for each packed weight, two for the rest."""
    expected = 6_979_321_856 * (0.5 + 1 / 64 + 4 / (64 * 256)) + 2 * 1_050_939_392

    assert need(spec(compute={"quantization": "nf4"})).weights == pytest.approx(expected, rel=1e-6)


def test_lora_weights():
    """2,621,440 trained weights for each unit of rank, at 16 bytes with gradient and Adam."""
    assert need(spec(adapter={"r": 16})).adapter == 16 * 16 * 2_621_440


def test_full_fine_tune():
    """Every weight in float32 with gradient and Adam: 16 bytes."""
    found = need(spec(adapter=None))

    assert found.weights + found.adapter == 16 * 8_030_261_248


def test_logits_stop_growing():
    """Beyond one chunk, more tokens need no more memory for logits."""
    assert need(spec(), tokens=8192).logits == need(spec(), tokens=1024).logits


def test_qlora_of_8b_fits_24_gb():
    """The promise of the example: Llama-3-8B in nf4 trains on 24 GB, with room."""
    assert need(spec(compute={"quantization": "nf4"})).total < 24e9 / 2


@given(st.integers(1, 10**5), st.booleans(), st.sampled_from([2, 4]))
def test_more_tokens_never_need_less(tokens, checkpointing, width):
    """The forecast grows with the tokens, so that a search for what fits is right."""
    options = {"checkpointing": checkpointing, "width": width}

    assert need(spec(), tokens=tokens, **options).total <= need(spec(), tokens=tokens + 1, **options).total


@given(st.integers(6 * GIB, 80 * GIB))
def test_tokens_that_fit(limit):
    """The number found fits, and one more would not."""
    job = spec(compute={"quantization": "nf4"})

    tokens = tokens_that_fit(job, SHAPE, limit=limit, checkpointing=True, width=2, cuda=True)

    assert tokens == 0 or need(job, tokens=tokens).total <= limit
    assert tokens == 1 << 20 or need(job, tokens=tokens + 1).total > limit


@pytest.mark.parametrize("key", LLAMA_3_8B.keys() - {"num_key_value_heads"})
def test_unknown_shape(key):
    """A model of another shape gets no forecast rather than a wrong one."""
    assert Shape.from_config({k: v for k, v in LLAMA_3_8B.items() if k != key}) is None


PPO_8B = {
    "method": {"type": "ppo", "reward": "out/reward", "max_new_tokens": 512},
    "compute": {"quantization": "nf4"},
    "training": {"global_batch_size": 32, "max_length": 1024},
}


def test_ppo_holds_two_trained_adapters_and_a_frozen_one():
    """Policy and value train; the reward model's adapter only speaks; there is one base."""
    function = {**PPO_8B, "method": {**PPO_8B["method"], "reward": "module:function"}}
    sft = need(spec(compute={"quantization": "nf4"}))

    with_model, with_function = need(spec(**PPO_8B)), need(spec(**function))

    adapter = 16 * 2_621_440
    assert (with_model.weights, with_function.adapter) == (sft.weights, 2 * 16 * adapter)
    assert with_model.adapter == with_function.adapter + 4 * adapter


def test_a_reward_model_has_no_output_head():
    """It is lighter than a language model by the head, and by all logits."""
    found, sft = need(spec(method="reward_modeling")), need(spec())

    assert (sft.weights - found.weights, found.logits) == (2 * 128256 * 4096, 0)


def test_the_cache_of_responses():
    """131,072 bytes for each token of Llama-3-8B's cache in bfloat16, for every response in full."""
    cache = 32 * 1024 * 131_072

    found = need(spec(**PPO_8B)).generation

    assert cache < found < 2 * cache


def test_ppo_of_8b_fits_24_gb():
    """The promise of the docs: PPO of Llama-3-8B in nf4, with a reward model, on one card of 24 GB."""
    assert need(spec(**PPO_8B)).total < 24e9


@given(st.integers(10 * GIB, 80 * GIB))
def test_responses_that_fit(limit):
    """The responses that are sampled at a time fit beside the weights; at least one is tried."""
    job = spec(**PPO_8B)
    held = need(job).weights + need(job).adapter
    one = need(job).generation / 32

    count = responses_that_fit(job, SHAPE, limit=limit, width=2)

    assert count == 1 or held + count * one <= limit
    assert held + (count + 1) * one > limit
